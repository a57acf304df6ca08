// The windows of ConvTranspose, which is to Conv what its gradient is: each input is spread over a window of outputs.
// They are held as the Window of the Conv that would turn the output back into the input: tap k of input i along an
// axis goes to output i * stride + k * dilation - pad_begin, where that exists.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/window.h"

namespace lanner::kernels {

struct TransposedAttributes {
  WindowAttributes window;
  std::vector<std::int64_t> output_padding;
  std::vector<std::int64_t> output_shape;  // of the spatial dimensions
};

// Throws `op.attribute` for values outside their range.
inline TransposedAttributes parse_transposed_window(const tensor::Attributes& attributes) {
  TransposedAttributes parsed{parse_window(attributes), attributes.get_ints("output_padding"),
                              attributes.get_ints("output_shape")};
  for (const std::int64_t value : parsed.output_padding) {
    if (value < 0 || value > INT32_MAX) {
      base::invalid("op.attribute", "attribute 'output_padding' must hold values in [0, {}], but one is {}", INT32_MAX,
                    value);
    }
  }
  for (const std::int64_t value : parsed.output_shape) {
    if (value < 0) base::invalid("op.attribute", "attribute 'output_shape' must not hold {}", value);
  }
  return parsed;
}

// For an input of shape `x`: `output` of the result holds its spatial dimensions, `input` those of the operator's
// output. pad_end is what remains at the end, negative where outputs are added there. Throws as make_window() does.
inline Window make_transposed_window(const TransposedAttributes& attributes, const Shape& x,
                                     std::span<const std::int64_t> kernel) {
  // Checks the lengths and the kernel; its sizes are those of the Conv with these attributes and are replaced.
  WindowAttributes unpadded = attributes.window;
  unpadded.auto_pad = WindowAttributes::AutoPad::kSameUpper;
  Window window = make_window(unpadded, x, kernel);
  const auto rank = static_cast<std::size_t>(window.rank);
  const auto check = [&](std::size_t length, std::string_view name) {
    if (length == rank || length == 0) return;
    base::invalid("op.attribute", "'{}' must have {} values for an input of shape {}, but has {}", name, rank,
                  x.to_string(), length);
  };
  check(attributes.output_padding.size(), "output_padding");
  check(attributes.output_shape.size(), "output_shape");
  using AutoPad = WindowAttributes::AutoPad;
  const AutoPad auto_pad = attributes.window.auto_pad;
  for (std::size_t i = 0; i < rank; ++i) {
    const std::size_t axis = kWindowRank - rank + i;
    const std::int64_t input = x[static_cast<int>(i) + 2];
    const std::int64_t stride = window.stride[axis];
    const std::int64_t added = attributes.output_padding.empty() ? 0 : attributes.output_padding[i];
    if (added != 0 && added >= std::max(stride, window.dilation[axis])) {
      base::invalid("op.attribute", "an output padding of {} is not below the stride {} or the dilation {}", added,
                    stride, window.dilation[axis]);
    }
    if (input > INT64_MAX / 4 / stride || window.extent(axis) > INT64_MAX / 4) {
      base::invalid("op.size", "an input of shape {} is too large", x.to_string());
    }
    const std::int64_t full = (input - 1) * stride + window.extent(axis);  // without pads
    std::int64_t output = 0;
    if (!attributes.output_shape.empty() || auto_pad == AutoPad::kSameUpper || auto_pad == AutoPad::kSameLower) {
      output = attributes.output_shape.empty() ? input * stride : attributes.output_shape[i];
      const std::int64_t total = std::max<std::int64_t>(full + added - output, 0);
      window.pad_begin[axis] = auto_pad == AutoPad::kSameUpper ? total / 2 : total - total / 2;
    } else {
      const bool padded = auto_pad == AutoPad::kNotSet && !attributes.window.pads.empty();
      window.pad_begin[axis] = padded ? attributes.window.pads[i] : 0;
      output = full + added - window.pad_begin[axis] - (padded ? attributes.window.pads[rank + i] : 0);
      if (input == 0) output = std::max<std::int64_t>(output, 0);
      if (output < 0) {
        base::invalid("op.shape", "the pads along spatial dimension {} leave nothing of an output of {}", i,
                      full + added);
      }
    }
    window.output[axis] = input;
    window.input[axis] = output;
    window.pad_end[axis] = full - window.pad_begin[axis] - output;
  }
  return window;
}

// Shape [batch, channels, spatial dimensions of the operator's output...].
inline Shape transposed_output_shape(const Window& window, std::int64_t batch, std::int64_t channels) {
  Shape shape{batch, channels};
  for (int i = kWindowRank - window.rank; i < kWindowRank; ++i) {
    shape.push_back(window.input[static_cast<std::size_t>(i)]);
  }
  return shape;
}

}  // namespace lanner::kernels
