// What the operators that pool regions of feature maps share: attributes, the samples of a region, and averaging them
// over maps whose channels lie beside each other.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/fail.h"
#include "tensor/attributes.h"

namespace lanner::kernels {

// Bounds the work that a region can ask for: sampling points along a bin's side.
inline constexpr std::int64_t kMaxSamplesOfBin = 1 << 16;

struct RoiOptions {
  bool half_pixel;
  bool maximum;
  std::int64_t output_height;
  std::int64_t output_width;
  std::int64_t sampling_ratio;
  float spatial_scale;
};

// A sample's four corners in a plane and their weights.
template <typename T>
struct Sample {
  std::array<std::int64_t, 4> positions;
  std::array<T, 4> weights;
};

// A sampling position along one axis.
template <typename T>
struct AxisSample {
  std::int64_t low;
  std::int64_t high;
  T low_weight;
  T high_weight;
  bool inside;
};

template <typename T>
AxisSample<T> make_axis_sample(T position, std::int64_t size) {
  // Written so that NaN is outside.
  if (!(position >= T{-1} && position <= static_cast<T>(size))) return {0, 0, 0, 0, false};
  position = std::max(position, T{0});
  const auto low = static_cast<std::int64_t>(position);
  if (low >= size - 1) return {size - 1, size - 1, 1, 0, true};
  const T rest = position - static_cast<T>(low);
  return {low, low + 1, T{1} - rest, rest, true};
}

// One region's samples, bin by bin. Samples outside the map are left out, but counted.
template <typename T>
struct RegionSamples {
  std::vector<Sample<T>> samples;
  std::vector<std::size_t> bin_ends;
  std::vector<bool> bin_has_outside;
  T count = 1;  // sampling points a bin, at least 1
  std::vector<AxisSample<T>> rows;
  std::vector<AxisSample<T>> columns;

  void make(const RoiOptions& options, const T* roi, std::int64_t height, std::int64_t width) {
    const T offset = options.half_pixel ? T{0.5} : T{0};
    const T scale = static_cast<T>(options.spatial_scale);
    const T x1 = roi[0] * scale - offset;
    const T y1 = roi[1] * scale - offset;
    T roi_width = roi[2] * scale - offset - x1;
    T roi_height = roi[3] * scale - offset - y1;
    if (!options.half_pixel) {
      roi_width = std::max(roi_width, T{1});
      roi_height = std::max(roi_height, T{1});
    }
    const std::int64_t grid_height = make_axis(options, y1, roi_height, options.output_height, height, rows);
    const std::int64_t grid_width = make_axis(options, x1, roi_width, options.output_width, width, columns);
    count = static_cast<T>(std::max<std::int64_t>(grid_height * grid_width, 1));
    samples.clear();
    bin_ends.clear();
    bin_has_outside.clear();
    for (std::int64_t bin = 0; bin < options.output_height * options.output_width; ++bin) {
      const AxisSample<T>* row = rows.data() + bin / options.output_width * grid_height;
      const AxisSample<T>* first_column = columns.data() + bin % options.output_width * grid_width;
      bool has_outside = false;
      for (std::int64_t i = 0; i < grid_height; ++i, ++row) {
        if (!row->inside) {
          has_outside = true;
          continue;
        }
        for (const AxisSample<T>* column = first_column; column != first_column + grid_width; ++column) {
          if (!column->inside) {
            has_outside = true;
            continue;
          }
          samples.push_back({{row->low * width + column->low, row->low * width + column->high,
                              row->high * width + column->low, row->high * width + column->high},
                             {row->low_weight * column->low_weight, row->low_weight * column->high_weight,
                              row->high_weight * column->low_weight, row->high_weight * column->high_weight}});
        }
      }
      bin_ends.push_back(samples.size());
      bin_has_outside.push_back(has_outside);
    }
  }

 private:
  // The sampling positions along one axis, bin by bin; returns how many a bin has, 0 for a region turned inside out.
  static std::int64_t make_axis(const RoiOptions& options, T start, T length, std::int64_t bins, std::int64_t size,
                                std::vector<AxisSample<T>>& out) {
    const T bin_size = length / static_cast<T>(bins);
    const T wanted =
        options.sampling_ratio > 0 ? static_cast<T>(options.sampling_ratio) : std::ceil(length / static_cast<T>(bins));
    out.clear();
    if (!(wanted > 0)) return 0;
    if (wanted > static_cast<T>(kMaxSamplesOfBin)) {
      base::invalid("op.value", "a region {} pixels long asks for more than {} sampling points a bin",
                    static_cast<double>(length), kMaxSamplesOfBin);
    }
    const auto grid = static_cast<std::int64_t>(wanted);
    for (std::int64_t bin = 0; bin < bins; ++bin) {
      for (std::int64_t i = 0; i < grid; ++i) {
        const T position =
            start + static_cast<T>(bin) * bin_size + (static_cast<T>(i) + T{0.5}) * bin_size / static_cast<T>(grid);
        out.push_back(make_axis_sample(position, size));
      }
    }
    return grid;
  }
};

// Of RoiAlign; throws `op.attribute`.
RoiOptions parse_roi_options(const tensor::Attributes& attributes);

// Elements of a tile that pool_channels_last() works with.
std::int64_t roi_tile_size(const RoiOptions& options, std::int64_t channels);
// The averages of a region's bins over `map` [height, width, channels], to `out` [channels, bins]: for every channel
// the same sums in the same order as of the channel alone.
void pool_channels_last(const RegionSamples<float>& region, const float* map, std::int64_t channels, float* tile,
                        float* out);
// [batch, channels, pixels] to [batch, pixels, channels].
void to_channels_last(const float* from, float* to, std::int64_t batch, std::int64_t channels, std::int64_t pixels,
                      int threads);

}  // namespace lanner::kernels
