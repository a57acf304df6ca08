// ConvTranspose and Col2Im in one to three spatial dimensions: both sum columns, each tap's values at every position of
// the window, into an image, in float32 and float64. ConvTranspose first makes the columns, as the product of the
// transposed weights and the input, a few output channels at a time so that their size is bounded.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/gemm.h"
#include "kernels/kernel.h"
#include "kernels/transposed_window.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

// Elements of the columns that are made at once, where a channel does not need more.
constexpr std::int64_t kColumnElements = 1 << 20;

std::int64_t size_of(const WindowDims& dims) {
  return dims[0] * dims[1] * dims[2];
}

// The position of the window from which tap `tap` goes to `to`, or -1.
std::int64_t source(const Window& window, std::size_t axis, std::int64_t to, std::int64_t tap) {
  const std::int64_t offset = to + window.pad_begin[axis] - tap * window.dilation[axis];
  if (offset < 0 || offset % window.stride[axis] != 0) return -1;
  const std::int64_t position = offset / window.stride[axis];
  return position < window.output[axis] ? position : -1;
}

// image[c] = bias[c] + the columns of channel c. `columns` is [channels, taps, positions of the window], `image`
// [channels, the window's input]; `bias` may be null.
template <typename T>
void sum_columns(const Window& window, int threads, std::int64_t channels, const T* columns, const T* bias, T* image) {
  const std::int64_t rows = window.input[0] * window.input[1];
  const std::int64_t width = window.input[2];
  const std::int64_t taps = window.tap_count();
  const std::int64_t positions = size_of(window.output);
  const std::int64_t work = width + window.output[2] * taps;
  const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(work, 1));
  base::parallel_for(threads, channels * rows, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t channel = item / rows;
      const std::int64_t depth = item % rows / window.input[1];
      const std::int64_t height = item % rows % window.input[1];
      T* out = image + item * width;
      std::fill_n(out, width, bias != nullptr ? bias[channel] : T{});
      for (std::int64_t kd = 0; kd < window.kernel[0]; ++kd) {
        const std::int64_t d = source(window, 0, depth, kd);
        if (d < 0) continue;
        for (std::int64_t kh = 0; kh < window.kernel[1]; ++kh) {
          const std::int64_t h = source(window, 1, height, kh);
          if (h < 0) continue;
          for (std::int64_t kw = 0; kw < window.kernel[2]; ++kw) {
            const Window::Range range = window.outputs_inside(2, kw);
            const std::int64_t tap = (kd * window.kernel[1] + kh) * window.kernel[2] + kw;
            const T* from =
                columns + (channel * taps + tap) * positions + (d * window.output[1] + h) * window.output[2];
            const std::int64_t stride = window.stride[2];
            const std::int64_t count = range.last - range.first;
            if (count <= 0) continue;
            T* to = out + (range.first * stride + kw * window.dilation[2] - window.pad_begin[2]);
            from += range.first;
            if (stride == 1) {
              for (std::int64_t i = 0; i < count; ++i) to[i] += from[i];
            } else {
              for (std::int64_t i = 0; i < count; ++i) to[i * stride] += from[i];
            }
          }
        }
      }
    }
  });
}

}  // namespace

std::unique_ptr<Kernel> make_ConvTranspose(const KernelInfo& info) {
  const std::int64_t groups = info.attributes.get_int("group", 1);
  if (groups < 1) base::invalid("op.attribute", "attribute 'group' must be positive, but is {}", groups);
  return make_kernel([groups, attributes = parse_transposed_window(info.attributes)](KernelContext& context) {
    const Tensor& x = context.input(0);
    const Tensor& w = context.input(1);
    const Tensor* b = context.optional_input(2);
    const Shape& x_shape = x.shape();
    const Shape& w_shape = w.shape();
    if (x.element_type() != w.element_type() || (b != nullptr && b->element_type() != x.element_type())) {
      base::invalid("op.type", "all inputs must have one element type");
    }
    if (x.rank() < 3 || w.rank() != x.rank()) {
      base::invalid("op.rank", "inputs 'X' and 'W' must have one rank of at least 3, but have shapes {} and {}",
                    x_shape.to_string(), w_shape.to_string());
    }
    if (x_shape[1] % groups != 0 || w_shape[0] != x_shape[1] || w_shape[1] > INT64_MAX / groups) {
      base::invalid("op.shape", "weights of shape {} do not fit an input of shape {} in {} groups", w_shape.to_string(),
                    x_shape.to_string(), groups);
    }
    const std::int64_t inputs = x_shape[1] / groups;
    const std::int64_t outputs = w_shape[1];
    if (b != nullptr && b->shape() != Shape{outputs * groups}) {
      base::invalid("op.shape", "input 'B' must have shape [{}], but has {}", outputs * groups, b->shape().to_string());
    }
    const auto kernel = w_shape.dims().subspan(2);
    if (!attributes.window.kernel.empty() && !std::ranges::equal(attributes.window.kernel, kernel)) {
      base::invalid("op.shape", "attribute 'kernel_shape' [{}] differs from the weights' shape {}",
                    fmt::join(attributes.window.kernel, ","), w_shape.to_string());
    }
    const Window window = make_transposed_window(attributes, x_shape, kernel);
    Tensor& y =
        context.allocate_output(0, x.element_type(), transposed_output_shape(window, x_shape[0], outputs * groups));
    if (y.element_count() == 0) return;
    tensor::dispatch(tensor::FloatTypes{}, x.element_type(), "ConvTranspose", [&]<typename T>() {
      const std::int64_t taps = x.element_count() == 0 || inputs == 0 ? 0 : window.tap_count();
      const std::int64_t positions = size_of(window.output);
      const std::int64_t plane = size_of(window.input);
      const std::int64_t column = std::max<std::int64_t>(taps * positions, 1);
      const std::int64_t block = std::clamp<std::int64_t>(kColumnElements / column, 1, outputs);
      const bool empty = taps == 0 || positions == 0;
      // Without inputs there is nothing but the bias.
      Window sums = window;
      if (empty) sums.kernel = {0, 0, 0};
      Tensor columns;
      if (!empty) columns = context.allocate_scratch(x.element_type(), {block, taps, positions});
      T* const product = empty ? nullptr : columns.data<T>();
      for (std::int64_t i = 0; i < x_shape[0] * groups; ++i) {
        const std::int64_t group = i % groups;
        for (std::int64_t first = 0; first < outputs; first += block) {
          const std::int64_t count = std::min(block, outputs - first);
          if (!empty) {
            multiply<T>(context.threads(), count * taps, positions, inputs,
                        {w.data<T>() + (group * inputs * outputs + first) * taps, 1, outputs * taps},
                        {x.data<T>() + i * inputs * positions, positions, 1}, product, positions);
          }
          sum_columns(sums, context.threads(), count, product,
                      b != nullptr ? b->data<T>() + group * outputs + first : nullptr,
                      y.data<T>() + (i * outputs + first) * plane);
        }
      }
    });
  });
}

std::unique_ptr<Kernel> make_Col2Im(const KernelInfo& info) {
  return make_kernel([attributes = parse_window(info.attributes)](KernelContext& context) {
    const Tensor& columns = context.input(0);
    const std::vector<std::int64_t> image = read_indices(context.input(1), "image_shape");
    const std::vector<std::int64_t> kernel = read_indices(context.input(2), "block_shape");
    if (columns.rank() != 3) {
      base::invalid("op.rank", "input 'input' must have rank 3, but has shape {}", columns.shape().to_string());
    }
    if (image.empty() || image.size() > kWindowRank) {
      base::invalid("op.shape", "input 'image_shape' must have 1 to {} values, but has {}", kWindowRank, image.size());
    }
    Shape with_channels{columns.shape()[0], 1};
    for (const std::int64_t dim : image) {
      if (dim < 0) base::invalid("op.shape", "an image's dimension must not be negative, but one is {}", dim);
      with_channels.push_back(dim);
    }
    const Window window = make_window(attributes, with_channels, kernel);
    std::int64_t taps = 1;
    for (const std::int64_t dim : kernel) {
      if (__builtin_mul_overflow(taps, dim, &taps)) base::invalid("op.size", "the block's shape is too large");
    }
    const std::int64_t positions = window.output_shape(1, 1).element_count();
    if (columns.shape()[1] % taps != 0 || columns.shape()[2] != positions) {
      base::invalid("op.shape", "blocks of {} elements at {} positions do not fit an input of shape {}", taps,
                    positions, columns.shape().to_string());
    }
    with_channels[1] = columns.shape()[1] / taps;
    Tensor& y = context.allocate_output(0, columns.element_type(), with_channels);
    if (y.element_count() == 0) return;
    tensor::dispatch(tensor::FloatTypes{}, columns.element_type(), "Col2Im", [&]<typename T>() {
      sum_columns(window, context.threads(), with_channels[0] * with_channels[1], columns.data<T>(),
                  static_cast<const T*>(nullptr), y.data<T>());
    });
  });
}

}  // namespace lanner::kernels
