// MaxPool, AveragePool, LpPool and their global forms. A window's value comes from its taps inside the input; taps in
// the padding count for nothing, except in AveragePool's divisor with count_include_pad. A NaN under a window makes its
// maximum NaN. A window that lies in the padding altogether has the lowest maximum (index -1), average 0 and norm 0.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/kernel.h"
#include "kernels/window.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

using MaxPoolTypes = tensor::TypeList<float, double, std::int8_t, std::uint8_t>;

template <typename T>
constexpr T lowest() {
  if constexpr (std::numeric_limits<T>::has_infinity) return -std::numeric_limits<T>::infinity();
  return std::numeric_limits<T>::lowest();
}

template <typename T>
T larger(T held, T next) {
  return next > held || next != next ? next : held;
}

std::int64_t plane_grain(std::int64_t work) {
  return std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(work, 1));
}

// Calls row(input row, output row, depth, height) for each output row of each plane, in parallel.
template <typename Row>
void for_each_output_row(const Window& window, int threads, std::int64_t planes, Row&& row) {
  const std::int64_t rows = window.output[0] * window.output[1];
  base::parallel_for(threads, planes * rows, plane_grain(window.output[2] * window.tap_count()),
                     [&](std::int64_t begin, std::int64_t end) {
                       for (std::int64_t item = begin; item < end; ++item) {
                         const std::int64_t d = item % rows / window.output[1];
                         const std::int64_t h = item % rows % window.output[1];
                         row(item / rows, item, d, h);
                       }
                     });
}

// Calls tap(depth, height) for each row of the input, by its position, that the windows of an output row read.
template <typename Tap>
void for_each_input_row(const Window& window, std::int64_t d, std::int64_t h, Tap&& tap) {
  const Window::Range depths = window.taps_inside(0, d);
  const Window::Range heights = window.taps_inside(1, h);
  for (std::int64_t kd = depths.first; kd < depths.last; ++kd) {
    const std::int64_t depth = d * window.stride[0] + kd * window.dilation[0] - window.pad_begin[0];
    for (std::int64_t kh = heights.first; kh < heights.last; ++kh) {
      tap(depth, h * window.stride[1] + kh * window.dilation[1] - window.pad_begin[1]);
    }
  }
}

// y = the fold of each window's elements, from `initial`.
template <typename T, typename Fold>
void fold_windows(const Window& window, int threads, std::int64_t planes, const T* x, T* y, T initial, Fold fold) {
  const std::int64_t plane = window.input[0] * window.input[1] * window.input[2];
  // Of any output of a row.
  const Window::Range taps{window.taps_inside(2, window.output[2] - 1).first, window.taps_inside(2, 0).last};
  for_each_output_row(window, threads, planes, [&](std::int64_t p, std::int64_t row, std::int64_t d, std::int64_t h) {
    T* out = y + row * window.output[2];
    std::fill_n(out, window.output[2], initial);
    for_each_input_row(window, d, h, [&](std::int64_t depth, std::int64_t height) {
      const T* in = x + p * plane + (depth * window.input[1] + height) * window.input[2];
      const std::int64_t stride = window.stride[2];
      for (std::int64_t k = taps.first; k < taps.last; ++k) {
        const Window::Range range = window.outputs_inside(2, k);
        if (range.first >= range.last) continue;
        const T* from = in + (range.first * stride + k * window.dilation[2] - window.pad_begin[2]);
        T* to = out + range.first;
        const std::int64_t count = range.last - range.first;
        if (stride == 1) {
          for (std::int64_t i = 0; i < count; ++i) to[i] = fold(to[i], from[i]);
        } else if (stride == 2) {
          for (std::int64_t i = 0; i < count; ++i) to[i] = fold(to[i], from[2 * i]);
        } else {
          for (std::int64_t i = 0; i < count; ++i) to[i] = fold(to[i], from[i * stride]);
        }
      }
    });
  });
}

// The maxima and where they are: positions in the whole input, counted down the columns of each plane with
// `column_major`. Of equal maxima the first in row-major order.
template <typename T>
void max_with_indices(const Window& window, int threads, std::int64_t planes, bool column_major, const T* x, T* y,
                      std::int64_t* indices) {
  const std::int64_t plane = window.input[0] * window.input[1] * window.input[2];
  for_each_output_row(window, threads, planes, [&](std::int64_t p, std::int64_t row, std::int64_t d, std::int64_t h) {
    for (std::int64_t w = 0; w < window.output[2]; ++w) {
      T best = lowest<T>();
      std::int64_t index = -1;
      const Window::Range taps = window.taps_inside(2, w);
      for_each_input_row(window, d, h, [&](std::int64_t depth, std::int64_t height) {
        const T* in = x + p * plane + (depth * window.input[1] + height) * window.input[2];
        for (std::int64_t k = taps.first; k < taps.last; ++k) {
          const std::int64_t width = w * window.stride[2] + k * window.dilation[2] - window.pad_begin[2];
          const T value = in[width];
          if (index >= 0 && !(value > best) && !(value != value && best == best)) continue;
          best = value;
          index = p * plane + (column_major ? (width * window.input[1] + height) * window.input[0] + depth
                                            : (depth * window.input[1] + height) * window.input[2] + width);
        }
      });
      y[row * window.output[2] + w] = best;
      indices[row * window.output[2] + w] = index;
    }
  });
}

// For each output along an axis, how many of its taps count: those inside the input, or inside the padded input.
std::vector<std::int64_t> count_taps(const Window& window, std::size_t axis, bool include_pad) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(window.output[axis]));
  Window padded = window;
  if (include_pad) {
    padded.input[axis] += window.pad_begin[axis] + window.pad_end[axis];
    padded.pad_begin[axis] = 0;
  }
  for (std::int64_t o = 0; o < window.output[axis]; ++o) {
    const Window::Range taps = padded.taps_inside(axis, o);
    counts[static_cast<std::size_t>(o)] = std::max<std::int64_t>(taps.last - taps.first, 0);
  }
  return counts;
}

template <typename T>
void divide_by_counts(const Window& window, int threads, std::int64_t planes, bool include_pad, T* y) {
  const std::vector<std::int64_t> depths = count_taps(window, 0, include_pad);
  const std::vector<std::int64_t> heights = count_taps(window, 1, include_pad);
  const std::vector<std::int64_t> widths = count_taps(window, 2, include_pad);
  for_each_output_row(window, threads, planes, [&](std::int64_t, std::int64_t row, std::int64_t d, std::int64_t h) {
    const std::int64_t outer = depths[static_cast<std::size_t>(d)] * heights[static_cast<std::size_t>(h)];
    for (std::int64_t w = 0; w < window.output[2]; ++w) {
      const std::int64_t count = outer * widths[static_cast<std::size_t>(w)];
      if (count != 0) y[row * window.output[2] + w] /= static_cast<T>(count);
    }
  });
}

// The run's windows for a pooling operator whose input has `kernel_shape` as attribute.
Window pool_window(const WindowAttributes& attributes, const Tensor& x) {
  return make_window(attributes, x.shape(), attributes.kernel);
}

WindowAttributes parse_pool(const KernelInfo& info) {
  WindowAttributes attributes = parse_window(info.attributes);
  if (attributes.kernel.empty()) base::invalid("op.attribute", "attribute 'kernel_shape' is required");
  return attributes;
}

// Runs body(T, planes) for the pooling operators that take the floating-point types alone.
template <typename Body>
std::unique_ptr<Kernel> make_float_pool(const KernelInfo& info, std::string_view name, Body body) {
  return make_kernel([attributes = parse_pool(info), name, body](KernelContext& context) {
    const Tensor& x = context.input(0);
    const Window window = pool_window(attributes, x);
    Tensor& y = context.allocate_output(0, x.element_type(), window.output_shape(x.shape()[0], x.shape()[1]));
    if (y.element_count() == 0) return;
    const std::int64_t planes = x.shape()[0] * x.shape()[1];
    tensor::dispatch(tensor::FloatTypes{}, x.element_type(), name,
                     [&]<typename T>() { body(window, context.threads(), planes, x.data<T>(), y.data<T>()); });
  });
}

template <typename T>
T root(T value, std::int64_t p) {
  if (p == 1) return value;
  return p == 2 ? std::sqrt(value) : std::pow(value, T{1} / static_cast<T>(p));
}

// |value| to the power of p.
template <typename T>
T power(T value, std::int64_t p) {
  if (p == 1) return std::abs(value);
  return p == 2 ? value * value : std::pow(std::abs(value), static_cast<T>(p));
}

std::int64_t read_norm(const KernelInfo& info) {
  const std::int64_t p = info.attributes.get_int("p", 2);
  if (p < 1) base::invalid("op.attribute", "attribute 'p' must be positive, but is {}", p);
  return p;
}

// y = finish(reduce(plane)) for each plane [n, c, ...]; the fold runs in several lanes, `Sum` wide.
template <typename Sum, typename T, typename Fold, typename Finish>
void reduce_planes(int threads, std::int64_t planes, std::int64_t size, const T* x, T* y, Sum initial, Fold fold,
                   Finish finish) {
  constexpr std::int64_t kLanes = 16;
  base::parallel_for(threads, planes, plane_grain(size), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t plane = begin; plane < end; ++plane) {
      const T* in = x + plane * size;
      Sum lanes[kLanes];
      std::fill_n(lanes, kLanes, initial);
      std::int64_t i = 0;
      for (; i + kLanes <= size; i += kLanes) {
        for (std::int64_t j = 0; j < kLanes; ++j) lanes[j] = fold(lanes[j], static_cast<Sum>(in[i + j]));
      }
      for (std::int64_t j = 0; i < size; ++i, ++j) lanes[j] = fold(lanes[j], static_cast<Sum>(in[i]));
      y[plane] = finish(lanes, kLanes);
    }
  });
}

// Output [N, C, 1, ...] of a global pooling operator; body(T, planes, plane size, x, y) fills it.
template <typename Body>
std::unique_ptr<Kernel> make_global_pool(std::string_view name, Body body) {
  return make_kernel([name, body](KernelContext& context) {
    const Tensor& x = context.input(0);
    if (x.rank() < 2) base::invalid("op.rank", "the input must have rank 2 or more, but has {}", x.rank());
    Shape shape = x.shape();
    for (int i = 2; i < shape.rank(); ++i) shape[i] = 1;
    Tensor& y = context.allocate_output(0, x.element_type(), shape);
    const std::int64_t planes = y.element_count();
    if (planes == 0) return;
    const std::int64_t size = x.shape().element_count(2, x.rank());
    if (size == 0)
      base::invalid("op.shape", "cannot pool an empty plane: the input's shape is {}", x.shape().to_string());
    tensor::dispatch(tensor::FloatTypes{}, x.element_type(), name,
                     [&]<typename T>() { body(context.threads(), planes, size, x.data<T>(), y.data<T>()); });
  });
}

double sum_lanes(const double* lanes, std::int64_t count) {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += lanes[i];
  return sum;
}

}  // namespace

std::unique_ptr<Kernel> make_MaxPool(const KernelInfo& info) {
  const bool column_major = info.attributes.get_int("storage_order", 0) != 0;
  return make_kernel([attributes = parse_pool(info), column_major](KernelContext& context) {
    const Tensor& x = context.input(0);
    const Window window = pool_window(attributes, x);
    const Shape shape = window.output_shape(x.shape()[0], x.shape()[1]);
    Tensor& y = context.allocate_output(0, x.element_type(), shape);
    std::int64_t* indices = nullptr;
    if (context.wants_output(1)) {
      indices = context.allocate_output(1, ElementType::kInt64, shape).data<std::int64_t>();
    }
    if (y.element_count() == 0) return;
    const std::int64_t planes = x.shape()[0] * x.shape()[1];
    tensor::dispatch(MaxPoolTypes{}, x.element_type(), "MaxPool", [&]<typename T>() {
      if (indices != nullptr) {
        max_with_indices(window, context.threads(), planes, column_major, x.data<T>(), y.data<T>(), indices);
      } else {
        fold_windows(window, context.threads(), planes, x.data<T>(), y.data<T>(), lowest<T>(),
                     [](T held, T next) { return larger(held, next); });
      }
    });
  });
}

std::unique_ptr<Kernel> make_AveragePool(const KernelInfo& info) {
  const bool include_pad = info.attributes.get_int("count_include_pad", 0) != 0;
  return make_float_pool(
      info, "AveragePool",
      [include_pad]<typename T>(const Window& window, int threads, std::int64_t planes, const T* x, T* y) {
        fold_windows(window, threads, planes, x, y, T{}, [](T held, T next) { return held + next; });
        divide_by_counts(window, threads, planes, include_pad, y);
      });
}

std::unique_ptr<Kernel> make_LpPool(const KernelInfo& info) {
  const std::int64_t p = read_norm(info);
  return make_float_pool(
      info, "LpPool", [p]<typename T>(const Window& window, int threads, std::int64_t planes, const T* x, T* y) {
        fold_windows(window, threads, planes, x, y, T{}, [p](T held, T next) { return held + power(next, p); });
        const std::int64_t count = planes * window.output[0] * window.output[1] * window.output[2];
        map_elements(threads, count, y, y, [p](T sum) { return root(sum, p); });
      });
}

std::unique_ptr<Kernel> make_GlobalAveragePool(const KernelInfo&) {
  return make_global_pool("GlobalAveragePool",
                          []<typename T>(int threads, std::int64_t planes, std::int64_t size, const T* x, T* y) {
                            reduce_planes(
                                threads, planes, size, x, y, 0.0, [](double held, double next) { return held + next; },
                                [size](const double* lanes, std::int64_t count) {
                                  return static_cast<T>(sum_lanes(lanes, count) / static_cast<double>(size));
                                });
                          });
}

std::unique_ptr<Kernel> make_GlobalMaxPool(const KernelInfo&) {
  return make_global_pool(
      "GlobalMaxPool", []<typename T>(int threads, std::int64_t planes, std::int64_t size, const T* x, T* y) {
        reduce_planes(
            threads, planes, size, x, y, lowest<T>(), [](T held, T next) { return larger(held, next); },
            [](const T* lanes, std::int64_t count) {
              T best = lanes[0];
              for (std::int64_t i = 1; i < count; ++i) best = larger(best, lanes[i]);
              return best;
            });
      });
}

std::unique_ptr<Kernel> make_GlobalLpPool(const KernelInfo& info) {
  const std::int64_t p = read_norm(info);
  return make_global_pool(
      "GlobalLpPool", [p]<typename T>(int threads, std::int64_t planes, std::int64_t size, const T* x, T* y) {
        reduce_planes(
            threads, planes, size, x, y, 0.0, [p](double held, double next) { return held + power(next, p); },
            [p](const double* lanes, std::int64_t count) { return static_cast<T>(root(sum_lanes(lanes, count), p)); });
      });
}

}  // namespace lanner::kernels
