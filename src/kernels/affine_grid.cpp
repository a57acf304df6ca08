// AffineGrid: where the pixels of an image of `size` lie in another, for GridSample, by an affine map `theta` for each
// image of the batch: of two or three spatial dimensions, float32 and float64. Along an axis -1 and 1 are the centres
// of the first and the last pixel with `align_corners`, otherwise their outer edges; the centre of a single pixel is 0.
#include <cstdint>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/kernel.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

template <typename T>
std::vector<T> centres(std::int64_t size, bool align_corners) {
  std::vector<T> result(static_cast<std::size_t>(size), T{0});
  if (size == 1) return result;
  const double span = static_cast<double>(align_corners ? size - 1 : size);
  for (std::int64_t i = 0; i < size; ++i) {
    const double place = static_cast<double>(align_corners ? 2 * i : 2 * i + 1);
    result[static_cast<std::size_t>(i)] = static_cast<T>(place / span - 1);
  }
  return result;
}

}  // namespace

std::unique_ptr<Kernel> make_AffineGrid(const KernelInfo& info) {
  return make_kernel([align_corners = info.attributes.get_int("align_corners", 0) != 0](KernelContext& context) {
    const Tensor& theta = context.input(0);
    const std::vector<std::int64_t> size = read_indices(context.input(1), "size");
    if (size.size() != 4 && size.size() != 5) {
      base::invalid("op.shape", "input 'size' must have 4 or 5 elements, but has {}", size.size());
    }
    const auto rank = static_cast<std::int64_t>(size.size()) - 2;
    const Shape wanted{size[0], rank, rank + 1};
    if (!(theta.shape() == wanted)) {
      base::invalid("op.shape", "input 'theta' must have shape {} for an image of {} dimensions, but has {}",
                    wanted.to_string(), rank, theta.shape().to_string());
    }
    Shape shape{size[0]};
    for (std::size_t d = 2; d < size.size(); ++d) {
      if (size[d] < 0) base::invalid("op.shape", "a dimension must not be negative, but one is {}", size[d]);
      shape.push_back(size[d]);
    }
    shape.push_back(rank);
    Tensor& grid = context.allocate_output(0, theta.element_type(), shape);
    if (grid.element_count() == 0) return;
    tensor::dispatch(tensor::FloatTypes{}, theta.element_type(), "AffineGrid", [&]<typename T>() {
      // From the innermost axis on, which comes first in a point.
      std::vector<std::vector<T>> axes;
      for (std::size_t d = size.size() - 1; d >= 2; --d) axes.push_back(centres<T>(size[d], align_corners));
      if (rank == 2) axes.push_back({T{0}});
      const std::int64_t width = size.back();
      const std::int64_t rows = grid.element_count() / rank / width;
      const std::int64_t height = size[size.size() - 2];
      const T* const maps = theta.data<T>();
      T* const points = grid.data<T>();
      const std::int64_t grain = kElementGrain / (4 * width) + 1;
      base::parallel_for(context.threads(), rows, grain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t row = begin; row < end; ++row) {
          const std::int64_t plane = row / height;
          const auto depth = static_cast<std::int64_t>(axes[2].size());
          const T* const map = maps + plane / depth * rank * (rank + 1);
          const T y = axes[1][static_cast<std::size_t>(row % height)];
          const T z = axes[2][static_cast<std::size_t>(plane % depth)];
          T* out = points + row * width * rank;
          for (std::int64_t i = 0; i < width; ++i) {
            const T x = axes[0][static_cast<std::size_t>(i)];
            for (std::int64_t k = 0; k < rank; ++k) {
              const T* const line = map + k * (rank + 1);
              *out++ =
                  rank == 2 ? line[0] * x + line[1] * y + line[2] : line[0] * x + line[1] * y + line[2] * z + line[3];
            }
          }
        }
      });
    });
  });
}

}  // namespace lanner::kernels
