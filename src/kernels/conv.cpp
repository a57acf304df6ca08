// Conv in one to three spatial dimensions, float32 and float64: the portable form, which serves where no backend takes
// the convolution and as the reference that backends are checked against.
//
// A kernel of one element without strides or pads is a matrix product. Any other convolution first copies its input
// into its padded form; then blocks of output channels times stretches of outputs are summed in registers.
#include "kernels/conv.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/gemm.h"
#include "kernels/kernel.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

constexpr std::int64_t kChannelBlock = 4;
// Outputs that are summed side by side.
template <typename T>
constexpr std::int64_t kStretch = 32 / static_cast<std::int64_t>(sizeof(T));
// Products that are summed before the partial sum joins the total, which bounds the rounding error.
constexpr std::int64_t kSumBlock = 256;

// One stretch of outputs of `Channels` neighbouring output channels. `offsets` holds each tap's distance from x.
template <std::int64_t Channels, typename T>
void sum_stretch(std::int64_t inputs, std::int64_t channel_size, const std::vector<std::int64_t>& offsets, const T* x,
                 const T* weights, T (&totals)[Channels][kStretch<T>]) {
  const auto taps = static_cast<std::int64_t>(offsets.size());
  const std::int64_t weight_stride = inputs * taps;
  const std::int64_t block = std::max<std::int64_t>(1, kSumBlock / taps);
  for (std::int64_t first = 0; first < inputs; first += block) {
    T sums[Channels][kStretch<T>] = {};
    for (std::int64_t input = first; input < std::min(first + block, inputs); ++input) {
      const T* channel = x + input * channel_size;
      const T* w = weights + input * taps;
      for (std::int64_t tap = 0; tap < taps; ++tap) {
        const T* from = channel + offsets[static_cast<std::size_t>(tap)];
        for (std::int64_t c = 0; c < Channels; ++c) {
          const T weight = w[c * weight_stride + tap];
          for (std::int64_t i = 0; i < kStretch<T>; ++i) sums[c][i] += weight * from[i];
        }
      }
    }
    for (std::int64_t c = 0; c < Channels; ++c) {
      for (std::int64_t i = 0; i < kStretch<T>; ++i) totals[c][i] += sums[c][i];
    }
  }
}

template <std::int64_t Channels, typename T>
void convolve_row(const PaddedConv& conv, const std::vector<std::int64_t>& offsets, const T* x, const T* weights,
                  const T* bias, T* y, std::int64_t y_channel_stride) {
  const std::int64_t width = conv.window.output[2];
  for (std::int64_t first = 0; first < width; first += kStretch<T>) {
    T totals[Channels][kStretch<T>] = {};
    sum_stretch<Channels>(conv.inputs, conv.channel_size(), offsets, x + first, weights, totals);
    const std::int64_t count = std::min(kStretch<T>, width - first);
    for (std::int64_t c = 0; c < Channels; ++c) {
      const T addend = bias != nullptr ? bias[c] : T{};
      T* out = y + c * y_channel_stride + first;
      for (std::int64_t i = 0; i < count; ++i) out[i] = totals[c][i] + addend;
    }
  }
}

template <typename T>
void convolve(const PaddedConv& conv, int threads, const T* padded, const T* weights, const T* bias, T* y) {
  const Window& window = conv.window;
  const std::int64_t taps = window.tap_count();
  const std::vector<std::int64_t> offsets = conv.tap_offsets();
  const std::int64_t rows = window.output[0] * window.output[1];
  const std::int64_t plane = rows * window.output[2];
  const std::int64_t blocks = (conv.outputs + kChannelBlock - 1) / kChannelBlock;
  const std::int64_t work = kChannelBlock * window.output[2] * conv.inputs * taps;
  const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(work, 1));
  base::parallel_for(
      threads, conv.batch * conv.groups * blocks * rows, grain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t item = begin; item < end; ++item) {
          const std::int64_t row = item % rows;
          const std::int64_t block = item / rows % blocks;
          const std::int64_t image_group = item / rows / blocks;  // image * groups + group
          const std::int64_t first = image_group % conv.groups * conv.outputs + block * kChannelBlock;
          const T* x = padded + image_group * conv.inputs * conv.channel_size() + conv.output_row(row);
          T* out = y + (image_group * conv.outputs + block * kChannelBlock) * plane + row * window.output[2];
          const T* w = weights + first * conv.inputs * taps;
          const T* b = bias != nullptr ? bias + first : nullptr;
          const std::int64_t channels = std::min(kChannelBlock, conv.outputs - block * kChannelBlock);
          if (channels == kChannelBlock) {
            convolve_row<kChannelBlock>(conv, offsets, x, w, b, out, plane);
          } else {
            for (std::int64_t c = 0; c < channels; ++c) {
              convolve_row<1>(conv, offsets, x, w + c * conv.inputs * taps, b != nullptr ? b + c : nullptr,
                              out + c * plane, plane);
            }
          }
        }
      });
}

template <typename T>
void add_bias(int threads, std::int64_t planes, std::int64_t channels, std::int64_t plane, const T* bias, T* y) {
  const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / plane);
  base::parallel_for(threads, planes, grain, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const T addend = bias[i % channels];
      for (std::int64_t j = 0; j < plane; ++j) y[i * plane + j] += addend;
    }
  });
}

}  // namespace

ConvAttributes parse_conv(const tensor::Attributes& attributes) {
  const std::int64_t groups = attributes.get_int("group", 1);
  if (groups < 1) base::invalid("op.attribute", "attribute 'group' must be positive, but is {}", groups);
  return {groups, parse_window(attributes)};
}

ConvProblem make_conv_problem(const ConvAttributes& attributes, const Shape& x, const Shape& w) {
  if (x.rank() < 3 || w.rank() != x.rank()) {
    base::invalid("op.rank", "inputs 'X' and 'W' must have one rank of at least 3, but have shapes {} and {}",
                  x.to_string(), w.to_string());
  }
  const std::int64_t groups = attributes.groups;
  if (x[1] % groups != 0 || w[0] % groups != 0 || w[1] != x[1] / groups) {
    base::invalid("op.shape", "weights of shape {} do not fit an input of shape {} in {} groups", w.to_string(),
                  x.to_string(), groups);
  }
  const auto kernel = w.dims().subspan(2);
  if (!attributes.window.kernel.empty() && !std::ranges::equal(attributes.window.kernel, kernel)) {
    base::invalid("op.shape", "attribute 'kernel_shape' [{}] differs from the weights' shape {}",
                  fmt::join(attributes.window.kernel, ","), w.to_string());
  }
  return {make_window(attributes.window, x, kernel), x[0], groups, x[1] / groups, w[0] / groups};
}

void check_conv_bias(const ConvProblem& problem, const Tensor& bias) {
  if (bias.shape() == Shape{problem.groups * problem.outputs}) return;
  base::invalid("op.shape", "input 'B' must have shape [{}], but has {}", problem.groups * problem.outputs,
                bias.shape().to_string());
}

bool is_pointwise(const Window& window) {
  return window.tap_count() == 1 && window.stride == WindowDims{1, 1, 1} && window.pad_begin == WindowDims{0, 0, 0} &&
         window.pad_end == WindowDims{0, 0, 0};
}

PaddedConv::PaddedConv(const ConvProblem& problem, std::int64_t stretch)
    : ConvProblem(problem),
      depth((window.output[0] - 1) * window.stride[0] + window.extent(0)),
      height((window.output[1] - 1) * window.stride[1] + window.extent(1)),
      phases(std::min(window.stride[2], window.extent(2))),
      pitch((window.output[2] + stretch - 1) / stretch * stretch +
            (window.kernel[2] - 1) * window.dilation[2] / window.stride[2]) {}

std::vector<std::int64_t> PaddedConv::tap_offsets() const {
  std::vector<std::int64_t> offsets;
  offsets.reserve(static_cast<std::size_t>(window.tap_count()));
  for (std::int64_t d = 0; d < window.kernel[0]; ++d) {
    for (std::int64_t h = 0; h < window.kernel[1]; ++h) {
      for (std::int64_t w = 0; w < window.kernel[2]; ++w) {
        const std::int64_t position = w * window.dilation[2];
        offsets.push_back((d * window.dilation[0] * height + h * window.dilation[1]) * row_size() +
                          position % window.stride[2] * pitch + position / window.stride[2]);
      }
    }
  }
  return offsets;
}

template <typename T>
void copy_padded(const PaddedConv& conv, std::int64_t begin, std::int64_t end, const T* x, T padding, bool pads,
                 T* padded) {
  // Copies, because bytes that are written may be anything's.
  const WindowDims input = conv.window.input;
  const WindowDims pad = conv.window.pad_begin;
  const std::int64_t stride = conv.window.stride[2];
  const std::int64_t depth = conv.depth;
  const std::int64_t height = conv.height;
  const std::int64_t pitch = conv.pitch;
  const std::int64_t row_size = conv.row_size();
  for (std::int64_t phase = 0; phase < conv.phases; ++phase) {
    // Element i of this phase is input first + i * stride.
    const std::int64_t first = phase - pad[2];
    const std::int64_t lead = std::min(first >= 0 ? 0 : (-first + stride - 1) / stride, pitch);
    const std::int64_t last = std::clamp(first >= input[2] ? 0 : (input[2] - first + stride - 1) / stride, lead, pitch);
    std::int64_t channel = begin / (depth * height);
    std::int64_t d = begin / height % depth;
    std::int64_t h = begin % height;
    T* to = padded + phase * pitch;
    for (std::int64_t item = begin; item < end; ++item, to += row_size) {
      const std::int64_t from_d = d - pad[0];
      const std::int64_t from_h = h - pad[1];
      const std::int64_t row = (channel * input[0] + from_d) * input[1] + from_h;
      if (++h == height) {
        h = 0;
        if (++d == depth) {
          d = 0;
          ++channel;
        }
      }
      if (from_d < 0 || from_d >= input[0] || from_h < 0 || from_h >= input[1]) {
        if (pads) std::fill_n(to, pitch, padding);
        continue;
      }
      const T* const from = x + row * input[2] + first;
      if (pads) {
        std::fill_n(to, lead, padding);
        std::fill_n(to + last, pitch - last, padding);
      }
      if (stride == 1) {
        std::copy_n(from + lead, last - lead, to + lead);
      } else if (stride == 2) {  // by itself, so that it is vectorised
        for (std::int64_t i = lead; i < last; ++i) to[i] = from[i * 2];
      } else {
        for (std::int64_t i = lead; i < last; ++i) to[i] = from[i * stride];
      }
    }
  }
}

template void copy_padded(const PaddedConv&, std::int64_t, std::int64_t, const float*, float, bool, float*);
template void copy_padded(const PaddedConv&, std::int64_t, std::int64_t, const double*, double, bool, double*);
template void copy_padded(const PaddedConv&, std::int64_t, std::int64_t, const std::uint8_t*, std::uint8_t, bool,
                          std::uint8_t*);

template <typename T>
void convolve(KernelContext& context, const ConvProblem& problem, const T* x, const T* w, const T* bias, T* y) {
  const PaddedConv conv(problem, kStretch<T>);
  const Window& window = conv.window;
  const std::int64_t maps = conv.groups * conv.outputs;
  const std::int64_t plane = window.output[0] * window.output[1] * window.output[2];
  if (conv.batch * maps * plane == 0) return;
  if (conv.inputs == 0) {
    // Nothing bounds the kernel's size, and nothing is multiplied with it.
    std::fill_n(y, conv.batch * maps * plane, T{});
    if (bias != nullptr) add_bias(context.threads(), conv.batch * maps, maps, plane, bias, y);
    return;
  }
  if (is_pointwise(window)) {
    for (std::int64_t i = 0; i < conv.batch * conv.groups; ++i) {
      multiply<T>(context.threads(), conv.outputs, plane, conv.inputs,
                  {w + i % conv.groups * conv.outputs * conv.inputs, conv.inputs, 1},
                  {x + i * conv.inputs * plane, plane, 1}, y + i * conv.outputs * plane, plane);
    }
    if (bias != nullptr) add_bias(context.threads(), conv.batch * maps, maps, plane, bias, y);
    return;
  }
  Tensor padded = context.allocate_scratch(
      element_type_of<T>(), {conv.batch, conv.groups * conv.inputs, conv.depth, conv.height, conv.phases, conv.pitch});
  const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / conv.row_size());
  base::parallel_for(context.threads(), conv.batch * conv.groups * conv.inputs * conv.channel_rows(), grain,
                     [&](std::int64_t begin, std::int64_t end) {
                       copy_padded(conv, begin, end, x, T{}, true, padded.data<T>() + begin * conv.row_size());
                     });
  convolve(conv, context.threads(), padded.data<T>(), w, bias, y);
}

template void convolve(KernelContext&, const ConvProblem&, const float*, const float*, const float*, float*);
template void convolve(KernelContext&, const ConvProblem&, const double*, const double*, const double*, double*);

std::unique_ptr<Kernel> make_Conv(const KernelInfo& info) {
  return make_kernel([attributes = parse_conv(info.attributes)](KernelContext& context) {
    const Tensor& x = context.input(0);
    const Tensor& w = context.input(1);
    const Tensor* b = context.optional_input(2);
    if (x.element_type() != w.element_type() || (b != nullptr && b->element_type() != x.element_type())) {
      base::invalid("op.type", "all inputs must have one element type");
    }
    const ConvProblem problem = make_conv_problem(attributes, x.shape(), w.shape());
    if (b != nullptr) check_conv_bias(problem, *b);
    Tensor& y = context.allocate_output(0, x.element_type(), problem.output_shape());
    tensor::dispatch(tensor::FloatTypes{}, x.element_type(), "Conv", [&]<typename T>() {
      convolve<T>(context, problem, x.data<T>(), w.data<T>(), b != nullptr ? b->data<T>() : nullptr, y.data<T>());
    });
  });
}

}  // namespace lanner::kernels
