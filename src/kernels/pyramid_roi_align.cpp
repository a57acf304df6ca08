// lanner.PyramidRoiAlign: RoiAlign (mode avg) of regions that lie on several feature maps, each region's result in its
// own row of one tensor, as RoiAlign for each map and ScatterND into zeros give it, to the bit. Maps are channels-last.
// Regions are taken in the order in which they lie on the maps, which large ones pass through the caches once.
//
// inputs: the result's shape [rows, channels, height, width] (int64), then for each map, all that follows: the map
// [batch, height, width, channels], its regions [n, 4], their images [n] (int64), their rows of the result ([n] or
// [n, 1], or one for all; int64). Where rows repeat, the last counts; rows that are not named are zero.
// attributes: `spatial_scales`, one for each map; the others are RoiAlign's.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <span>
#include <tuple>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/index_list.h"
#include "kernels/kernel.h"
#include "kernels/roi_pooling.h"

namespace lanner::kernels {

namespace {

constexpr int kInputsOfMap = 4;

struct Level {
  RoiOptions options;
  const float* map;
  std::int64_t batch;
  std::int64_t height;
  std::int64_t width;
  std::int64_t channels;
  std::span<const float> regions;  // 4 numbers each
  std::span<const std::int64_t> images;
};

struct Region {
  std::uint32_t level;
  std::int64_t image;
  float top;  // in pixels of the map, in bands
  float left;
  std::int64_t at;   // among those of the level
  std::int64_t row;  // of the result

  friend bool operator<(const Region& a, const Region& b) {
    return std::tuple(a.level, a.image, a.top, a.left, a.row) < std::tuple(b.level, b.image, b.top, b.left, b.row);
  }
};

void require_type(const Tensor& tensor, ElementType type) {
  if (tensor.element_type() != type) {
    base::invalid("op.type", "an input must be {}, but is {}", element_type_name(type),
                  element_type_name(tensor.element_type()));
  }
}

Level read_level(KernelContext& context, int first, const RoiOptions& options) {
  const Tensor& map = context.input(first);
  const Tensor& regions = context.input(first + 1);
  const Tensor& images = context.input(first + 2);
  require_type(map, ElementType::kFloat32);
  require_type(regions, ElementType::kFloat32);
  require_type(images, ElementType::kInt64);
  if (map.rank() != 4 || regions.rank() != 2 || images.rank() != 1) {
    base::invalid("op.rank",
                  "a map, its regions and their images must have ranks 4, 2 and 1, but have shapes {}, {}, {}",
                  map.shape().to_string(), regions.shape().to_string(), images.shape().to_string());
  }
  if (regions.shape()[1] != 4 || images.shape()[0] != regions.shape()[0]) {
    base::invalid("op.shape", "regions must be [n,4] with n batch indices, but are {} with {}",
                  regions.shape().to_string(), images.shape().to_string());
  }
  const Level level{options,        map.data<float>(), map.shape()[0],          map.shape()[1],
                    map.shape()[2], map.shape()[3],    regions.values<float>(), images.values<std::int64_t>()};
  for (const std::int64_t image : level.images) {
    if (image < 0 || image >= level.batch) {
      base::invalid("op.index", "a batch index must be in [0, {}), but is {}", level.batch, image);
    }
  }
  if (!level.images.empty() && (level.height == 0 || level.width == 0)) {
    base::invalid("op.shape", "the feature map is empty: its shape is {}", map.shape().to_string());
  }
  return level;
}

// For each row of the result, the level and the place of the region that it shows; -1 where it shows none.
struct Shown {
  std::int32_t level = -1;
  std::int64_t at = 0;
};

void show_regions(const Tensor& rows, std::int32_t level, std::int64_t count, std::vector<Shown>& shown) {
  require_type(rows, ElementType::kInt64);
  const std::int64_t given = rows.element_count();
  if (given != count && given != 1) {
    base::invalid("op.shape", "{} regions must have as many rows, or one, but have {}", count, given);
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t row = rows.data<std::int64_t>()[given == 1 ? 0 : i];
    shown[static_cast<std::size_t>(checked_index(row, static_cast<std::int64_t>(shown.size())))] = {level, i};
  }
}

// Regions in the order in which they lie on the maps, in bands of which caches hold several.
std::vector<Region> in_order(const std::vector<Level>& levels, const std::vector<Shown>& shown) {
  constexpr float kBand = 16;
  const auto finite = [](float x) { return x - x == 0 ? x : 0.0f; };
  std::vector<Region> regions;
  for (std::size_t row = 0; row < shown.size(); ++row) {
    if (shown[row].level < 0) continue;
    const auto index = static_cast<std::size_t>(shown[row].level);
    const Level& level = levels[index];
    const auto at = static_cast<std::size_t>(shown[row].at);
    const float scale = level.options.spatial_scale;
    regions.push_back({static_cast<std::uint32_t>(index), level.images[at],
                       finite(std::floor(level.regions[4 * at + 1] * scale / kBand)),
                       finite(level.regions[4 * at] * scale), shown[row].at, static_cast<std::int64_t>(row)});
  }
  std::ranges::sort(regions, std::less<>());
  return regions;
}

}  // namespace

std::unique_ptr<Kernel> make_PyramidRoiAlign(const KernelInfo& info) {
  const RoiOptions options = parse_roi_options(info.attributes);
  const std::vector<float> scales = info.attributes.get_floats("spatial_scales");
  if (options.maximum) base::invalid("op.attribute", "attribute 'mode' must be avg");
  if (scales.empty() || info.input_count != 1 + kInputsOfMap * static_cast<int>(scales.size())) {
    base::invalid("op.attribute", "{} spatial scales do not fit {} inputs", scales.size(), info.input_count);
  }
  return make_kernel([options, scales](KernelContext& context) {
    const std::vector<std::int64_t> wanted = read_indices(context.input(0), "shape");
    if (wanted.size() != 4 || wanted[2] != options.output_height || wanted[3] != options.output_width) {
      base::invalid("op.shape", "the result must be [n,channels,{},{}], but is [{}]", options.output_height,
                    options.output_width, fmt::join(wanted, ","));
    }
    Tensor& out = context.allocate_output(0, ElementType::kFloat32, Shape{wanted[0], wanted[1], wanted[2], wanted[3]});
    std::vector<Level> levels;
    std::vector<Shown> shown(wanted[1] != 0 ? static_cast<std::size_t>(wanted[0]) : 0);
    for (std::size_t i = 0; i < scales.size(); ++i) {
      const int first = 1 + kInputsOfMap * static_cast<int>(i);
      RoiOptions scaled = options;
      scaled.spatial_scale = scales[i];
      levels.push_back(read_level(context, first, scaled));
      if (levels.back().channels != wanted[1]) {
        base::invalid("op.shape", "a map has {} channels, but the result {}", levels.back().channels, wanted[1]);
      }
      if (wanted[1] == 0) continue;
      const auto count = static_cast<std::int64_t>(levels.back().images.size());
      show_regions(context.input(first + 3), static_cast<std::int32_t>(i), count, shown);
    }
    if (out.element_count() == 0) return;

    const std::int64_t channels = wanted[1];
    const std::int64_t size = channels * wanted[2] * wanted[3];
    float* const to = out.data<float>();
    for (std::size_t row = 0; row < shown.size(); ++row) {
      if (shown[row].level < 0) std::fill_n(to + static_cast<std::int64_t>(row) * size, size, 0.0f);
    }
    const std::vector<Region> regions = in_order(levels, shown);
    const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / (4 * size));
    base::parallel_for(context.threads(), static_cast<std::int64_t>(regions.size()), grain,
                       [&](std::int64_t begin, std::int64_t end) {
                         RegionSamples<float> samples;
                         std::vector<float> tile(static_cast<std::size_t>(roi_tile_size(options, channels)));
                         for (std::int64_t i = begin; i < end; ++i) {
                           const Region& region = regions[static_cast<std::size_t>(i)];
                           const Level& level = levels[region.level];
                           samples.make(level.options, level.regions.data() + 4 * region.at, level.height, level.width);
                           const float* map = level.map + region.image * level.height * level.width * channels;
                           pool_channels_last(samples, map, channels, tile.data(), to + region.row * size);
                         }
                       });
  });
}

}  // namespace lanner::kernels
