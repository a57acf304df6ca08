#include "kernels/roi_pooling.h"

#include <string>

#include "base/multiversion.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/turn.h"

namespace lanner::kernels {

namespace {

constexpr std::int64_t kMaxSamplingRatio = 128;
constexpr std::int64_t kMaxOutput = 1024;

// Channels added up at once; they stay in registers while the samples of a bin go by.
constexpr std::int64_t kChannelBlock = 64;

// A row of a tile is so long that neighbouring bins do not compete for the same lines of the cache.
std::int64_t tile_row(std::int64_t channels) {
  return (channels + 15) / 16 * 16 + 16;
}

// Inner linkage: the symbol that chooses a version would be visible outside the shared libraries.
LANNER_MULTIVERSION void pool(const RegionSamples<float>& region, const float* map, std::int64_t channels, float* tile,
                              float* out) {
  const auto bins = static_cast<std::int64_t>(region.bin_ends.size());
  const Sample<float>* const samples = region.samples.data();
  const float count = region.count;
  const std::int64_t row = tile_row(channels);
  for (std::int64_t first = 0; first < channels; first += kChannelBlock) {
    const std::int64_t width = std::min(kChannelBlock, channels - first);
    std::size_t i = 0;
    for (std::int64_t bin = 0; bin < bins; ++bin) {
      float sums[kChannelBlock] = {};
      for (const std::size_t end = region.bin_ends[static_cast<std::size_t>(bin)]; i < end; ++i) {
        const Sample<float>& sample = samples[i];
        const float* a = map + sample.positions[0] * channels + first;
        const float* b = map + sample.positions[1] * channels + first;
        const float* c = map + sample.positions[2] * channels + first;
        const float* d = map + sample.positions[3] * channels + first;
        const float wa = sample.weights[0];
        const float wb = sample.weights[1];
        const float wc = sample.weights[2];
        const float wd = sample.weights[3];
        if (width == kChannelBlock) {
          for (std::int64_t k = 0; k < kChannelBlock; ++k) sums[k] += wa * a[k] + wb * b[k] + wc * c[k] + wd * d[k];
        } else {
          for (std::int64_t k = 0; k < width; ++k) sums[k] += wa * a[k] + wb * b[k] + wc * c[k] + wd * d[k];
        }
      }
      for (std::int64_t k = 0; k < width; ++k) tile[bin * row + first + k] = sums[k] / count;
    }
  }
  turn_block(tile, row, bins, channels, out, bins);
}

}  // namespace

RoiOptions parse_roi_options(const tensor::Attributes& attributes) {
  RoiOptions options{};
  const std::string coordinates = attributes.get_string("coordinate_transformation_mode", "half_pixel");
  if (coordinates != "half_pixel" && coordinates != "output_half_pixel") {
    base::invalid("op.attribute",
                  "attribute 'coordinate_transformation_mode' must be half_pixel or output_half_pixel, but is '{}'",
                  coordinates);
  }
  const std::string mode = attributes.get_string("mode", "avg");
  if (mode != "avg" && mode != "max") {
    base::invalid("op.attribute", "attribute 'mode' must be avg or max, but is '{}'", mode);
  }
  options.half_pixel = coordinates == "half_pixel";
  options.maximum = mode == "max";
  options.output_height = attributes.get_int("output_height", 1);
  options.output_width = attributes.get_int("output_width", 1);
  options.sampling_ratio = attributes.get_int("sampling_ratio", 0);
  options.spatial_scale = attributes.get_float("spatial_scale", 1.0f);
  if (options.output_height < 1 || options.output_width < 1 || options.output_height > kMaxOutput ||
      options.output_width > kMaxOutput) {
    base::invalid("op.attribute", "attributes 'output_height' and 'output_width' must be in [1, {}], but are {} and {}",
                  kMaxOutput, options.output_height, options.output_width);
  }
  if (options.sampling_ratio < 0 || options.sampling_ratio > kMaxSamplingRatio) {
    base::invalid("op.attribute", "attribute 'sampling_ratio' must be in [0, {}], but is {}", kMaxSamplingRatio,
                  options.sampling_ratio);
  }
  return options;
}

std::int64_t roi_tile_size(const RoiOptions& options, std::int64_t channels) {
  return options.output_height * options.output_width * tile_row(channels);
}

void pool_channels_last(const RegionSamples<float>& region, const float* map, std::int64_t channels, float* tile,
                        float* out) {
  pool(region, map, channels, tile, out);
}

void to_channels_last(const float* from, float* to, std::int64_t batch, std::int64_t channels, std::int64_t pixels,
                      int threads) {
  constexpr std::int64_t kTile = 16;
  const std::int64_t strips = (pixels + kTile - 1) / kTile;
  base::parallel_for(threads, batch * strips, std::max<std::int64_t>(1, kElementGrain / (channels * kTile)),
                     [=](std::int64_t begin, std::int64_t end) {
                       for (std::int64_t strip = begin; strip < end; ++strip) {
                         const std::int64_t image = strip / strips;
                         const std::int64_t first = strip % strips * kTile;
                         const std::int64_t width = std::min(kTile, pixels - first);
                         turn_block(from + image * channels * pixels + first, pixels, channels, width,
                                    to + (image * pixels + first) * channels, channels);
                       }
                     });
}

}  // namespace lanner::kernels
