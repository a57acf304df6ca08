// GridSample for images of one to three spatial dimensions, float32 and float64, at points of either type. A point that
// is not a number reads 0, or the first pixel where the padding has no outside.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/kernel.h"
#include "kernels/sampling.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

enum class Mode : std::uint8_t { kLinear, kNearest, kCubic };
enum class Padding : std::uint8_t { kZeros, kBorder, kReflection };

struct Options {
  Mode mode;
  Padding padding;
  bool align_corners;
};

// Points whose pixels are listed at once.
constexpr std::int64_t kPointBlock = 64;

// `x` mirrored at both ends until it lies between them.
double reflect(double x, double low, double high) {
  const double range = high - low;
  if (!(range > 0) || !std::isfinite(x)) return low;
  const double distance = x < low ? low - x : x - high;
  if (x >= low && x <= high) return x;
  const double rest = std::fmod(distance, range);
  const bool even = std::fmod(std::floor(distance / range), 2) == 0;
  return (x < low) == even ? low + rest : high - rest;
}

// Along one axis of an image.
struct SampledAxis {
  std::int64_t size;
  double low;  // the image's borders, where it is mirrored
  double high;
};

// The pixel that stands at position `index`, -1 where that is outside.
std::int64_t pixel_at(const Options& options, const SampledAxis& axis, std::int64_t index) {
  if (index >= 0 && index < axis.size) return index;
  switch (options.padding) {
    case Padding::kZeros:
      return -1;
    case Padding::kBorder:
      return index < 0 ? 0 : axis.size - 1;
    case Padding::kReflection:
      break;
  }
  const double mirrored = reflect(static_cast<double>(index), axis.low, axis.high);
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(mirrored), 0, axis.size - 1);
}

// Where the coordinate `n`, of which -1 and 1 are the image's ends, lies in pixels. In the type of the coordinates, as
// other engines compute it.
template <typename T, typename G>
AxisTaps<T> taps_at(const Options& options, const SampledAxis& axis, G n) {
  const auto size = static_cast<G>(axis.size);
  G x = options.align_corners ? (n + 1) / 2 * (size - 1) : ((n + 1) * size - 1) / 2;
  if (options.mode == Mode::kNearest) x = std::nearbyint(x);
  const auto exact = static_cast<double>(x);
  if (!(exact >= axis.low && exact <= axis.high)) {
    if (options.padding == Padding::kBorder) {
      x = x > 0 ? std::min(x, size - 1) : G{0};
    } else if (options.padding == Padding::kReflection) {
      x = static_cast<G>(std::max(reflect(exact, axis.low, axis.high), options.align_corners ? 0.0 : -0.5));
    }
  }
  AxisTaps<T> taps;
  // So far outside that no pixel is near.
  if (!(x > G{-3} && x < size + 3)) return taps;
  const G floor = std::floor(x);
  const auto at = static_cast<std::int64_t>(floor);
  const auto add = [&](std::int64_t index, G weight) {
    taps.add(pixel_at(options, axis, index), static_cast<T>(weight));
  };
  const G t = x - floor;
  switch (options.mode) {
    case Mode::kNearest:
      add(at, G{1});
      break;
    case Mode::kLinear:
      add(at, 1 - t);
      add(at + 1, t);
      break;
    case Mode::kCubic: {
      constexpr G a{-0.75};
      const auto outer = [](G d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; };
      const auto inner = [](G d) { return ((a + 2) * d - (a + 3)) * d * d + 1; };
      add(at - 1, outer(t + 1));
      add(at, inner(t));
      add(at + 1, inner(1 - t));
      add(at + 2, outer(2 - t));
      break;
    }
  }
  return taps;
}

template <typename T, typename G>
void sample_grid(const Options& options, int threads, const Shape& shape, std::int64_t points, const T* x,
                 const G* grid, T* y) {
  const auto rank = static_cast<std::size_t>(shape.rank() - 2);
  const std::int64_t channels = shape[1];
  const std::int64_t plane = shape.element_count(2, shape.rank());
  std::array<SampledAxis, kSampledRank> axes{};
  for (std::size_t i = 0; i < rank; ++i) {
    const std::int64_t size = shape[static_cast<int>(i) + 2];
    const double last = static_cast<double>(size) - 1;
    axes[i] = options.align_corners ? SampledAxis{size, 0, last} : SampledAxis{size, -0.5, last + 0.5};
  }
  const std::int64_t blocks = (points + kPointBlock - 1) / kPointBlock;
  const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / (8 * kPointBlock * channels));
  base::parallel_for(threads, shape[0] * blocks, grain, [&](std::int64_t begin, std::int64_t end) {
    PointTaps<T> taps;
    std::array<AxisTaps<T>, kSampledRank> point;
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t image = item / blocks;
      const std::int64_t first = item % blocks * kPointBlock;
      const std::int64_t last = std::min(first + kPointBlock, points);
      taps.clear();
      for (std::int64_t i = first; i < last; ++i) {
        // The last dimension's coordinate comes first.
        const G* n = grid + (image * points + i) * static_cast<std::int64_t>(rank);
        for (std::size_t k = 0; k < rank; ++k) point[k] = taps_at<T>(options, axes[k], n[rank - 1 - k]);
        taps.add_point(std::span(point).first(rank), shape.dims().subspan(2));
      }
      for (std::int64_t c = image * channels; c < (image + 1) * channels; ++c) {
        taps.sample(x + c * plane, y + c * points + first);
      }
    }
  });
}

Options parse_options(const tensor::Attributes& attributes) {
  Options options{Mode::kLinear, Padding::kZeros, attributes.get_int("align_corners", 0) != 0};
  const std::string mode = attributes.get_string("mode", "linear");
  if (mode == "nearest") {
    options.mode = Mode::kNearest;
  } else if (mode == "cubic" || mode == "bicubic") {
    options.mode = Mode::kCubic;
  } else if (mode != "linear" && mode != "bilinear") {
    base::invalid("op.attribute", "attribute 'mode' must be linear, nearest or cubic, but is '{}'", mode);
  }
  const std::string padding = attributes.get_string("padding_mode", "zeros");
  if (padding == "border") {
    options.padding = Padding::kBorder;
  } else if (padding == "reflection") {
    options.padding = Padding::kReflection;
  } else if (padding != "zeros") {
    base::invalid("op.attribute", "attribute 'padding_mode' must be zeros, border or reflection, but is '{}'", padding);
  }
  return options;
}

}  // namespace

std::unique_ptr<Kernel> make_GridSample(const KernelInfo& info) {
  return make_kernel([options = parse_options(info.attributes)](KernelContext& context) {
    const Tensor& x = context.input(0);
    const Tensor& grid = context.input(1);
    const Shape& shape = x.shape();
    if (x.rank() < 3 || x.rank() > 2 + kSampledRank || grid.rank() != x.rank()) {
      base::invalid("op.rank", "inputs 'X' and 'grid' must have one rank of 3 to {}, but have shapes {} and {}",
                    2 + kSampledRank, shape.to_string(), grid.shape().to_string());
    }
    if (grid.shape()[0] != shape[0] || grid.shape()[grid.rank() - 1] != shape.rank() - 2) {
      base::invalid("op.shape", "a grid of shape {} does not fit an input of shape {}", grid.shape().to_string(),
                    shape.to_string());
    }
    Shape out{shape[0], shape[1]};
    for (int i = 1; i < grid.rank() - 1; ++i) out.push_back(grid.shape()[i]);
    Tensor& y = context.allocate_output(0, x.element_type(), out);
    if (y.element_count() == 0) return;
    if (x.element_count() == 0) base::invalid("op.shape", "the input is empty: its shape is {}", shape.to_string());
    tensor::dispatch(tensor::FloatTypes{}, x.element_type(), "GridSample", [&]<typename T>() {
      tensor::dispatch(tensor::FloatTypes{}, grid.element_type(), "input 'grid'", [&]<typename G>() {
        sample_grid(options, context.threads(), shape, out.element_count(2, out.rank()), x.data<T>(), grid.data<G>(),
                    y.data<T>());
      });
    });
  });
}

}  // namespace lanner::kernels
