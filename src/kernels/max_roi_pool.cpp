// MaxRoiPool for float32 and float64: regions, scaled and rounded to whole pixels, are cut into bins, and a bin is the
// greatest element of its pixels, 0 if it has none. Regions are at least a pixel wide and high.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/kernel.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

constexpr std::int64_t kMaxOutput = 1024;

struct Bin {
  std::int64_t first;
  std::int64_t last;
};

// The bins along an axis of `size` pixels of a region from `start` to `end`, the last pixel included.
template <typename T>
void cut(T start, T end, float scale, std::int64_t size, std::vector<Bin>& bins) {
  const T low = std::round(start * static_cast<T>(scale));
  const T length = std::max(std::round(end * static_cast<T>(scale)) - low + 1, T{1});
  const T step = length / static_cast<T>(bins.size());
  // Written so that what is not a number is 0.
  const auto pixel = [&](T position) {
    if (!(position > 0)) return std::int64_t{0};
    return position >= static_cast<T>(size) ? size : static_cast<std::int64_t>(position);
  };
  for (std::size_t i = 0; i < bins.size(); ++i) {
    bins[i] = {pixel(std::floor(static_cast<T>(i) * step) + low), pixel(std::ceil(static_cast<T>(i + 1) * step) + low)};
  }
}

}  // namespace

std::unique_ptr<Kernel> make_MaxRoiPool(const KernelInfo& info) {
  const std::vector<std::int64_t> pooled = info.attributes.get_ints("pooled_shape");
  const float scale = info.attributes.get_float("spatial_scale", 1.0f);
  const auto fits = [](std::int64_t size) { return size >= 1 && size <= kMaxOutput; };
  if (pooled.size() != 2 || !std::ranges::all_of(pooled, fits)) {
    base::invalid("op.attribute", "attribute 'pooled_shape' must be two sizes in [1, {}], but is [{}]", kMaxOutput,
                  fmt::join(pooled, ","));
  }
  return make_kernel([pooled, scale](KernelContext& context) {
    const Tensor& x = context.input(0);
    const Tensor& rois = context.input(1);
    if (x.rank() != 4 || rois.rank() != 2 || rois.shape()[1] != 5) {
      base::invalid("op.shape", "inputs must have shapes [n,c,h,w] and [regions,5], but have {} and {}",
                    x.shape().to_string(), rois.shape().to_string());
    }
    if (rois.element_type() != x.element_type()) base::invalid("op.type", "all inputs must have one element type");
    const std::int64_t channels = x.shape()[1];
    const std::int64_t height = x.shape()[2];
    const std::int64_t width = x.shape()[3];
    const std::int64_t count = rois.shape()[0];
    tensor::dispatch(tensor::FloatTypes{}, x.element_type(), "MaxRoiPool", [&]<typename T>() {
      const T* const regions = rois.data<T>();
      for (std::int64_t i = 0; i < count; ++i) {
        const T image = regions[5 * i];
        if (!(image >= 0 && image < static_cast<T>(x.shape()[0]))) {
          base::invalid("op.index", "a batch index must be in [0, {}), but is {}", x.shape()[0],
                        static_cast<double>(image));
        }
      }
      Tensor& y = context.allocate_output(0, x.element_type(), {count, channels, pooled[0], pooled[1]});
      if (y.element_count() == 0) return;
      const std::int64_t bins = pooled[0] * pooled[1];
      const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / (4 * bins * channels));
      base::parallel_for(context.threads(), count, grain, [&](std::int64_t begin, std::int64_t end) {
        std::vector<Bin> rows(static_cast<std::size_t>(pooled[0]));
        std::vector<Bin> columns(static_cast<std::size_t>(pooled[1]));
        for (std::int64_t i = begin; i < end; ++i) {
          const T* const region = regions + 5 * i;
          cut(region[1], region[3], scale, width, columns);
          cut(region[2], region[4], scale, height, rows);
          const T* plane = x.data<T>() + static_cast<std::int64_t>(region[0]) * channels * height * width;
          T* out = y.data<T>() + i * channels * bins;
          for (std::int64_t c = 0; c < channels; ++c, plane += height * width) {
            for (const Bin& row : rows) {
              for (const Bin& column : columns) {
                const bool empty = row.first >= row.last || column.first >= column.last;
                T best = empty ? T{0} : plane[row.first * width + column.first];
                for (std::int64_t h = row.first; h < row.last; ++h) {
                  for (std::int64_t w = column.first; w < column.last; ++w) {
                    best = std::max(best, plane[h * width + w]);
                  }
                }
                *out++ = best;
              }
            }
          }
        }
      });
    });
  });
}

}  // namespace lanner::kernels
