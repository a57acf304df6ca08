// RoiAlign for float32 and float64: each bin of a region is the average (or maximum) of bilinear samples of the feature
// map. Positions and weights are worked out once a region, then applied to every channel. A sample further than one
// pixel outside the map counts as 0. As the ONNX reference has it, mode `max` takes the greatest weighted corner, not
// the greatest interpolated sample.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "base/fail.h"
#include "base/multiversion.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/kernel.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

// Bounds on the work that a region or an attribute can ask for: sampling points along a bin's side, derived from the
// region's size or given, and bins along a side.
constexpr std::int64_t kMaxGrid = 1 << 16;
constexpr std::int64_t kMaxSamplingRatio = 128;
constexpr std::int64_t kMaxOutput = 1024;

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
    if (wanted > static_cast<T>(kMaxGrid)) {
      base::invalid("op.value", "a region {} pixels long asks for more than {} sampling points a bin",
                    static_cast<double>(length), kMaxGrid);
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

template <typename T>
void pool_average(const RegionSamples<T>& region, const T* plane, T* out) {
  std::size_t i = 0;
  for (const std::size_t end : region.bin_ends) {
    T sum = 0;
    for (; i < end; ++i) {
      const Sample<T>& sample = region.samples[i];
      sum += sample.weights[0] * plane[sample.positions[0]] + sample.weights[1] * plane[sample.positions[1]] +
             sample.weights[2] * plane[sample.positions[2]] + sample.weights[3] * plane[sample.positions[3]];
    }
    *out++ = sum / region.count;
  }
}

template <typename T>
void pool_maximum(const RegionSamples<T>& region, const T* plane, T* out) {
  std::size_t i = 0;
  for (std::size_t bin = 0; bin < region.bin_ends.size(); ++bin) {
    T best = 0;
    bool any = region.bin_has_outside[bin];
    for (; i < region.bin_ends[bin]; ++i) {
      const Sample<T>& sample = region.samples[i];
      for (std::size_t corner = 0; corner < 4; ++corner) {
        const T value = sample.weights[corner] * plane[sample.positions[corner]];
        if (!any || value > best) best = value;
        any = true;
      }
    }
    *out++ = best;
  }
}

// Channels added up at once; they stay in registers while the samples of a bin go by.
constexpr std::int64_t kChannelBlock = 64;

// pool_average() over a map whose channels lie beside each other: the same sums in the same order, many channels at a
// time. `tile` holds bins * channels elements.
LANNER_MULTIVERSION void pool_average_channels_last(const RegionSamples<float>& region, const float* map,
                                                    std::int64_t channels, float* tile, float* out) {
  const auto bins = static_cast<std::int64_t>(region.bin_ends.size());
  const Sample<float>* const samples = region.samples.data();
  const float count = region.count;
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
      for (std::int64_t k = 0; k < width; ++k) tile[bin * channels + first + k] = sums[k] / count;
    }
  }
  for (std::int64_t k = 0; k < channels; ++k) {
    for (std::int64_t bin = 0; bin < bins; ++bin) *out++ = tile[bin * channels + k];
  }
}

// [batch, channels, pixels] to [batch, pixels, channels].
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
                         const float* source = from + image * channels * pixels + first;
                         float* target = to + (image * pixels + first) * channels;
                         for (std::int64_t c0 = 0; c0 < channels; c0 += kTile) {
                           const std::int64_t c1 = std::min(c0 + kTile, channels);
                           for (std::int64_t p = 0; p < width; ++p) {
                             for (std::int64_t c = c0; c < c1; ++c) target[p * channels + c] = source[c * pixels + p];
                           }
                         }
                       }
                     });
}

RoiOptions parse_options(const tensor::Attributes& attributes) {
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

}  // namespace

std::unique_ptr<Kernel> make_RoiAlign(const KernelInfo& info) {
  return make_kernel([options = parse_options(info.attributes)](KernelContext& context) {
    const Tensor& x = context.input(0);
    const Tensor& rois = context.input(1);
    const Tensor& images = context.input(2);
    if (x.rank() != 4 || rois.rank() != 2 || images.rank() != 1) {
      base::invalid("op.rank", "inputs must have ranks 4, 2 and 1, but have shapes {}, {} and {}",
                    x.shape().to_string(), rois.shape().to_string(), images.shape().to_string());
    }
    const std::int64_t count = rois.shape()[0];
    if (rois.shape()[1] != 4 || images.shape()[0] != count) {
      base::invalid("op.shape", "regions must be [n,4] with n batch indices, but are {} with {}",
                    rois.shape().to_string(), images.shape().to_string());
    }
    if (rois.element_type() != x.element_type() || images.element_type() != ElementType::kInt64) {
      base::invalid("op.type", "regions must be {} like the input and batch indices int64, but they are {} and {}",
                    element_type_name(x.element_type()), element_type_name(rois.element_type()),
                    element_type_name(images.element_type()));
    }
    const std::int64_t channels = x.shape()[1];
    const std::int64_t height = x.shape()[2];
    const std::int64_t width = x.shape()[3];
    for (const std::int64_t image : images.values<std::int64_t>()) {
      if (image < 0 || image >= x.shape()[0]) {
        base::invalid("op.index", "a batch index must be in [0, {}), but is {}", x.shape()[0], image);
      }
    }
    Tensor& y =
        context.allocate_output(0, x.element_type(), {count, channels, options.output_height, options.output_width});
    if (y.element_count() == 0) return;
    if (height == 0 || width == 0) {
      base::invalid("op.shape", "the feature map is empty: its shape is {}", x.shape().to_string());
    }
    const std::int64_t bins = options.output_height * options.output_width;
    const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / (4 * bins * channels));
    const std::int64_t* image_of = images.data<std::int64_t>();
    // With enough regions, turning the map around pays: every bin of every region reads the map at least four times.
    if (x.element_type() == ElementType::kFloat32 && !options.maximum && channels >= 8 &&
        count * bins * 4 >= x.shape()[0] * height * width) {
      Tensor turned = context.allocate_scratch(ElementType::kFloat32, x.shape());
      float* map = turned.data<float>();
      to_channels_last(x.data<float>(), map, x.shape()[0], channels, height * width, context.threads());
      base::parallel_for(context.threads(), count, grain, [&](std::int64_t begin, std::int64_t end) {
        RegionSamples<float> region;
        std::vector<float> tile(static_cast<std::size_t>(bins * channels));
        for (std::int64_t i = begin; i < end; ++i) {
          region.make(options, rois.data<float>() + 4 * i, height, width);
          pool_average_channels_last(region, map + image_of[i] * channels * height * width, channels, tile.data(),
                                     y.data<float>() + i * channels * bins);
        }
      });
      return;
    }
    tensor::dispatch(tensor::FloatTypes{}, x.element_type(), "RoiAlign", [&]<typename T>() {
      base::parallel_for(context.threads(), count, grain, [&](std::int64_t begin, std::int64_t end) {
        RegionSamples<T> region;
        for (std::int64_t i = begin; i < end; ++i) {
          region.make(options, rois.data<T>() + 4 * i, height, width);
          const T* image = x.data<T>() + image_of[i] * channels * height * width;
          for (std::int64_t c = 0; c < channels; ++c) {
            const T* plane = image + c * height * width;
            T* out = y.data<T>() + (i * channels + c) * bins;
            if (options.maximum) {
              pool_maximum(region, plane, out);
            } else {
              pool_average(region, plane, out);
            }
          }
        }
      });
    });
  });
}

}  // namespace lanner::kernels
