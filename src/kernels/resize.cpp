// Resize: nearest neighbour, linear and cubic interpolation in any number of dimensions.
//
// Every resized axis gets a table: for each output position the input positions it reads and, for linear and cubic,
// their weights. Interpolation is separable: it runs one pass an axis, the one that shrinks most first, plane by plane.
// Elements of 32 bits that lie next to each other, and interpolation of two, have the loops of resize_loops.h.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/convert.h"
#include "kernels/kernel.h"
#include "kernels/resize_axes.h"
#include "kernels/resize_loops.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

using resizing::Axis;
using resizing::Mode;
using resizing::Options;
using resizing::Taps;

std::int64_t grain_for(std::int64_t work) {
  return std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(work, 1));
}

// One pass: [outer, axis.input, inner] to [outer, axis.output, inner].
template <typename From, typename Work>
void resize_axis(int threads, const Axis& axis, const Taps<Work>& taps, std::int64_t outer, std::int64_t inner,
                 const From* from, Work* to) {
  constexpr bool kHasLoops = std::is_same_v<From, float> && std::is_same_v<Work, float>;
  const ResizeLoops& loops = resize_loops_of_cpu().get();
  const std::int64_t count = taps.count;
  base::parallel_for(
      threads, outer * axis.output, grain_for(inner * count), [&, count](std::int64_t begin, std::int64_t end) {
        std::int64_t item = begin;
        while (item < end) {
          const std::int64_t o = item / axis.output;
          const std::int64_t last = std::min(end, (o + 1) * axis.output);
          const From* plane = from + o * axis.input * inner;
          if constexpr (kHasLoops) {
            if (inner == 1 && taps.columns.output != 0) {
              const std::int64_t first = o * axis.output;
              loops.blend(taps.columns, plane, item - first, last - first, to + first);
              item = last;
              continue;
            }
          }
          const std::int64_t* index = taps.indices.data() + item % axis.output * count;
          const Work* weight = taps.weights.data() + item % axis.output * count;
          if (inner == 1 && count == 2) {
            for (; item < last; ++item, index += 2, weight += 2) {
              to[item] =
                  weight[0] * static_cast<Work>(plane[index[0]]) + weight[1] * static_cast<Work>(plane[index[1]]);
            }
            continue;
          }
          for (; item < last; ++item, index += count, weight += count) {
            Work* row = to + item * inner;
            if (count == 2) {
              const From* a = plane + index[0] * inner;
              const From* b = plane + index[1] * inner;
              if constexpr (kHasLoops) {
                loops.blend_rows(a, weight[0], b, weight[1], inner, row);
              } else {
                const Work wa = weight[0];
                const Work wb = weight[1];
                for (std::int64_t i = 0; i < inner; ++i)
                  row[i] = wa * static_cast<Work>(a[i]) + wb * static_cast<Work>(b[i]);
              }
              continue;
            }
            std::fill_n(row, inner, Work{});
            for (std::int64_t t = 0; t < count; ++t) {
              const From* source = plane + index[t] * inner;
              const Work w = weight[t];
              for (std::int64_t i = 0; i < inner; ++i) row[i] += w * static_cast<Work>(source[i]);
            }
          }
        }
      });
}

// The resize as planes: [outer, the axes from the first resized to the last, inner].
struct Planes {
  std::int64_t outer = 1;
  std::int64_t inner = 1;
  int rank = 0;
  std::array<Axis, Shape::kMaxRank> axes{};

  std::int64_t input_size() const {
    std::int64_t size = inner;
    for (int i = 0; i < rank; ++i) size *= axes[static_cast<std::size_t>(i)].input;
    return size;
  }
  std::int64_t output_size() const {
    std::int64_t size = inner;
    for (int i = 0; i < rank; ++i) size *= axes[static_cast<std::size_t>(i)].output;
    return size;
  }
};

template <typename T>
void resize_nearest(const Options& options, const Planes& planes, int threads, const T* in, T* out) {
  const auto rank = static_cast<std::size_t>(planes.rank);
  std::array<std::vector<std::int64_t>, Shape::kMaxRank> tables;
  for (std::size_t i = 0; i < rank; ++i)
    tables[i] = resizing::nearest_table(options, planes.axes[i], {0, planes.axes[i].output});
  const Axis& last = planes.axes[rank - 1];
  const std::vector<std::int64_t>& columns = tables[rank - 1];
  const std::int64_t row_size = last.output * planes.inner;
  const std::int64_t rows = planes.outer * (planes.output_size() / row_size);
  const T fill = convert<T>(options.extrapolation_value);
  const ResizeLoops& loops = resize_loops_of_cpu().get();
  ColumnTable picked;
  if (sizeof(T) == 4 && planes.inner == 1 && has_columns(last) && std::ranges::find(columns, -1) == columns.end()) {
    picked = picked_columns(last, columns);
  }
  base::parallel_for(threads, rows, grain_for(row_size), [&](std::int64_t begin, std::int64_t end) {
    const T* previous = nullptr;
    for (std::int64_t row = begin; row < end; ++row) {
      std::int64_t rest = row;
      std::int64_t offset = 0;
      std::int64_t stride = last.input * planes.inner;
      bool outside = false;
      for (std::size_t i = rank - 1; i-- > 0;) {
        const Axis& axis = planes.axes[i];
        const std::int64_t index = tables[i][static_cast<std::size_t>(rest % axis.output)];
        outside = outside || index < 0;
        offset += index * stride;
        stride *= axis.input;
        rest /= axis.output;
      }
      T* to = out + row * row_size;
      if (outside) {
        std::fill_n(to, row_size, fill);
        previous = nullptr;
        continue;
      }
      const T* from = in + rest * stride + offset;
      if (from == previous) {
        std::copy_n(to - row_size, row_size, to);
        continue;
      }
      previous = from;
      if constexpr (sizeof(T) == 4) {
        if (picked.output != 0) {
          loops.pick(picked, reinterpret_cast<const std::uint32_t*>(from), reinterpret_cast<std::uint32_t*>(to));
          continue;
        }
      }
      if (planes.inner == 1) {
        for (std::int64_t j = 0; j < last.output; ++j) {
          const std::int64_t index = columns[static_cast<std::size_t>(j)];
          to[j] = index < 0 ? fill : from[index];
        }
        continue;
      }
      for (const std::int64_t index : columns) {
        if (index < 0) {
          std::fill_n(to, planes.inner, fill);
        } else {
          std::copy_n(from + index * planes.inner, planes.inner, to);
        }
        to += planes.inner;
      }
    }
  });
}

template <typename T>
void resize_smooth(const Options& options, const Planes& planes, int threads, const T* in, T* out) {
  using Work = std::conditional_t<std::is_same_v<T, float>, float, double>;
  constexpr bool kDirect = std::is_same_v<T, Work>;
  std::array<Taps<Work>, Shape::kMaxRank> taps;
  std::vector<std::size_t> passes;
  for (std::size_t i = 0; i < static_cast<std::size_t>(planes.rank); ++i) {
    if (!planes.axes[i].resized) continue;
    taps[i] = resizing::interpolation_taps<Work>(options, planes.axes[i], {0, planes.axes[i].output});
    if constexpr (std::is_same_v<T, float>) {
      const bool neighbours = planes.inner == 1 && i + 1 == static_cast<std::size_t>(planes.rank);
      if (taps[i].count == 2 && neighbours && has_columns(planes.axes[i])) {
        taps[i].columns = blended_columns(planes.axes[i], taps[i]);
      }
    }
    passes.push_back(i);
  }
  std::ranges::stable_sort(passes, {}, [&](std::size_t i) { return planes.axes[i].growth(); });
  const std::int64_t in_size = planes.input_size();
  const std::int64_t out_size = planes.output_size();
  // A few planes are shared among threads row by row.
  const bool few = planes.outer < 4 * threads;
  const int inner_threads = few ? threads : 1;
  base::parallel_for(
      few ? 1 : threads, planes.outer, grain_for(std::max(in_size, out_size)),
      [&](std::int64_t begin, std::int64_t end) {
        std::array<std::vector<Work>, 2> buffers;
        for (std::int64_t plane = begin; plane < end; ++plane) {
          std::array<std::int64_t, Shape::kMaxRank> sizes{};
          for (std::size_t i = 0; i < static_cast<std::size_t>(planes.rank); ++i) sizes[i] = planes.axes[i].input;
          T* const to_plane = out + plane * out_size;
          const Work* from = nullptr;
          for (std::size_t pass = 0; pass < passes.size(); ++pass) {
            const std::size_t i = passes[pass];
            std::int64_t outer = 1;
            std::int64_t inner = planes.inner;
            for (std::size_t k = 0; k < i; ++k) outer *= sizes[k];
            for (std::size_t k = i + 1; k < static_cast<std::size_t>(planes.rank); ++k) inner *= sizes[k];
            sizes[i] = planes.axes[i].output;
            Work* to = nullptr;
            if constexpr (kDirect) {
              if (pass + 1 == passes.size()) to = to_plane;
            }
            if (to == nullptr) {
              std::vector<Work>& buffer = buffers[pass % 2];
              buffer.resize(static_cast<std::size_t>(outer * sizes[i] * inner));
              to = buffer.data();
            }
            if (pass == 0) {
              resize_axis(inner_threads, planes.axes[i], taps[i], outer, inner, in + plane * in_size, to);
            } else {
              resize_axis(inner_threads, planes.axes[i], taps[i], outer, inner, from, to);
            }
            from = to;
          }
          if constexpr (!kDirect) {
            for (std::int64_t i = 0; i < out_size; ++i) to_plane[i] = convert<T>(std::nearbyint(from[i]));
          }
          for (const std::size_t i : passes) {
            if (!taps[i].any_outside) continue;
            std::int64_t outer = 1;
            std::int64_t inner = planes.inner;
            for (std::size_t k = 0; k < i; ++k) outer *= sizes[k];
            for (std::size_t k = i + 1; k < static_cast<std::size_t>(planes.rank); ++k) inner *= sizes[k];
            for (std::int64_t o = 0; o < outer; ++o) {
              for (std::int64_t j = 0; j < sizes[i]; ++j) {
                if (!taps[i].outside[static_cast<std::size_t>(j)]) continue;
                std::fill_n(to_plane + (o * sizes[i] + j) * inner, inner, convert<T>(options.extrapolation_value));
              }
            }
          }
        }
      });
}

Planes make_planes(const std::array<Axis, Shape::kMaxRank>& axes, int rank) {
  int first = 0;
  int last = rank;
  while (first < rank && !axes[static_cast<std::size_t>(first)].resized) ++first;
  while (last > first && !axes[static_cast<std::size_t>(last - 1)].resized) --last;
  Planes planes;
  for (int i = 0; i < rank; ++i) {
    const Axis& axis = axes[static_cast<std::size_t>(i)];
    if (i < first) {
      planes.outer *= axis.input;
    } else if (i < last) {
      planes.axes[static_cast<std::size_t>(planes.rank++)] = axis;
    } else {
      planes.inner *= axis.input;
    }
  }
  return planes;
}

}  // namespace

std::unique_ptr<Kernel> make_Resize(const KernelInfo& info) {
  Options options = resizing::read_options(info.attributes);
  return make_kernel([options = std::move(options)](KernelContext& context) {
    const Tensor& x = context.input(0);
    const std::array<Axis, Shape::kMaxRank> axes = resizing::read_axes(
        options, x.shape(), context.optional_input(1), context.optional_input(2), context.optional_input(3));
    Shape shape;
    for (int i = 0; i < x.rank(); ++i) shape.push_back(axes[static_cast<std::size_t>(i)].output);
    Tensor& y = context.allocate_output(0, x.element_type(), shape);
    if (y.element_count() == 0) return;
    if (x.element_count() == 0) {
      base::invalid("op.shape", "an empty tensor cannot be resized to {}", shape.to_string());
    }
    const Planes planes = make_planes(axes, x.rank());
    const auto run = [&]<typename T>() {
      if (planes.rank == 0) {
        std::copy_n(x.data<T>(), x.element_count(), y.data<T>());
      } else if (options.mode == Mode::kNearest) {
        resize_nearest(options, planes, context.threads(), x.data<T>(), y.data<T>());
      } else if constexpr (!std::is_same_v<T, bool>) {
        resize_smooth(options, planes, context.threads(), x.data<T>(), y.data<T>());
      }
    };
    if (options.mode == Mode::kNearest) {
      tensor::dispatch(tensor::NumericAndBoolTypes{}, x.element_type(), "Resize", run);
    } else {
      tensor::dispatch(tensor::NumericTypes{}, x.element_type(), "Resize", run);
    }
  });
}

}  // namespace lanner::kernels
