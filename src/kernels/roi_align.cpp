// RoiAlign for float32 and float64: each bin of a region is the average (or maximum) of bilinear samples of the feature
// map. Positions and weights are worked out once a region, then applied to every channel. A sample further than one
// pixel outside the map counts as 0. As the ONNX reference has it, mode `max` takes the greatest weighted corner, not
// the greatest interpolated sample.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/kernel.h"
#include "kernels/roi_pooling.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

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

}  // namespace

std::unique_ptr<Kernel> make_RoiAlign(const KernelInfo& info) {
  return make_kernel([options = parse_roi_options(info.attributes)](KernelContext& context) {
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
        std::vector<float> tile(static_cast<std::size_t>(roi_tile_size(options, channels)));
        for (std::int64_t i = begin; i < end; ++i) {
          region.make(options, rois.data<float>() + 4 * i, height, width);
          pool_channels_last(region, map + image_of[i] * channels * height * width, channels, tile.data(),
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
