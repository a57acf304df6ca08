// Reading images between their pixels, for GridSample and DeformConv: a sampling point is worked out once, as a list of
// pixels with weights, and then read from every channel.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

namespace lanner::kernels {

inline constexpr int kSampledRank = 3;

// A point along one axis: up to four pixels. An index of -1 is outside the image, where everything is 0.
template <typename T>
struct AxisTaps {
  int count = 0;
  std::array<std::int64_t, 4> indices;
  std::array<T, 4> weights;

  void add(std::int64_t index, T weight) {
    indices[static_cast<std::size_t>(count)] = index;
    weights[static_cast<std::size_t>(count++)] = weight;
  }
};

// The pixels around each of several points, point after point.
template <typename T>
class PointTaps {
 public:
  void clear() {
    taps_.clear();
    ends_.clear();
  }
  // A point in an image of `dims`; one entry an axis. All its weights are multiplied by `factor`.
  void add_point(std::span<const AxisTaps<T>> axes, std::span<const std::int64_t> dims, T factor = T{1}) {
    add_axis(axes, dims, 0, factor);
    ends_.push_back(taps_.size());
  }
  // out[i] is the value of point i in one plane.
  void sample(const T* plane, T* out) const {
    const Tap* tap = taps_.data();
    for (const std::size_t end : ends_) {
      T sum{};
      for (const Tap* last = taps_.data() + end; tap != last; ++tap) sum += tap->weight * plane[tap->offset];
      *out++ = sum;
    }
  }

 private:
  struct Tap {
    std::int64_t offset;
    T weight;
  };

  void add_axis(std::span<const AxisTaps<T>> axes, std::span<const std::int64_t> dims, std::int64_t offset, T weight) {
    const AxisTaps<T>& axis = axes[0];
    for (std::size_t i = 0; i < static_cast<std::size_t>(axis.count); ++i) {
      if (axis.indices[i] < 0) continue;
      const std::int64_t to = offset * dims[0] + axis.indices[i];
      if (axes.size() == 1) {
        taps_.push_back({to, weight * axis.weights[i]});
      } else {
        add_axis(axes.subspan(1), dims.subspan(1), to, weight * axis.weights[i]);
      }
    }
  }

  std::vector<Tap> taps_;
  std::vector<std::size_t> ends_;
};

// Linear interpolation at `x` along an axis of `size` pixels, 0 outside of it.
template <typename T>
AxisTaps<T> linear_taps(T x, std::int64_t size) {
  AxisTaps<T> taps;
  // Written so that NaN is outside.
  if (!(x > T{-1} && x < static_cast<T>(size))) return taps;
  const T floor = std::floor(x);
  const auto low = static_cast<std::int64_t>(floor);
  taps.add(low, T{1} - (x - floor));
  taps.add(low + 1 < size ? low + 1 : -1, x - floor);
  return taps;
}

}  // namespace lanner::kernels
