// Sliding windows over the spatial dimensions of an [N, C, D1, ...] tensor, as Conv and the pooling operators describe
// them: kernel size, strides, dilations, pads, auto_pad and ceil_mode, checked, with the output's size worked out.
// Windows are always held with three spatial dimensions; missing ones lead and have size 1.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fail.h"
#include "lanner/tensor.h"
#include "tensor/attributes.h"

namespace lanner::kernels {

inline constexpr int kWindowRank = 3;
using WindowDims = std::array<std::int64_t, kWindowRank>;

// The attributes as given; empty lists mean the default.
struct WindowAttributes {
  enum class AutoPad : std::uint8_t { kNotSet, kSameUpper, kSameLower, kValid };

  std::vector<std::int64_t> kernel;
  std::vector<std::int64_t> strides;
  std::vector<std::int64_t> dilations;
  std::vector<std::int64_t> pads;  // all begins, then all ends
  AutoPad auto_pad = AutoPad::kNotSet;
  bool ceil_mode = false;
};

// Throws `op.attribute` for values outside their range; the lengths are checked against the input by make_window().
inline WindowAttributes parse_window(const tensor::Attributes& attributes) {
  WindowAttributes window;
  const auto read = [&](std::string_view name, std::int64_t least) {
    std::vector<std::int64_t> values = attributes.get_ints(name);
    for (const std::int64_t value : values) {
      if (value < least || value > INT32_MAX) {
        base::invalid("op.attribute", "attribute '{}' must hold values in [{}, {}], but one is {}", name, least,
                      INT32_MAX, value);
      }
    }
    return values;
  };
  window.kernel = read("kernel_shape", 1);
  window.strides = read("strides", 1);
  window.dilations = read("dilations", 1);
  window.pads = read("pads", 0);
  window.ceil_mode = attributes.get_int("ceil_mode", 0) != 0;
  const std::string auto_pad = attributes.get_string("auto_pad", "NOTSET");
  using AutoPad = WindowAttributes::AutoPad;
  if (auto_pad == "SAME_UPPER") {
    window.auto_pad = AutoPad::kSameUpper;
  } else if (auto_pad == "SAME_LOWER") {
    window.auto_pad = AutoPad::kSameLower;
  } else if (auto_pad == "VALID") {
    window.auto_pad = AutoPad::kValid;
  } else if (auto_pad != "NOTSET" && !auto_pad.empty()) {
    base::invalid("op.attribute", "attribute 'auto_pad' must be NOTSET, SAME_UPPER, SAME_LOWER or VALID, but is '{}'",
                  auto_pad);
  }
  return window;
}

// The windows of one run. Tap k of output o along an axis reads input o * stride + k * dilation - pad_begin, where that
// lies in [0, input).
struct Window {
  int rank = 0;  // spatial dimensions of the tensors, 1 to 3
  WindowDims input{1, 1, 1};
  WindowDims output{1, 1, 1};
  WindowDims kernel{1, 1, 1};
  WindowDims stride{1, 1, 1};
  WindowDims dilation{1, 1, 1};
  WindowDims pad_begin{0, 0, 0};
  WindowDims pad_end{0, 0, 0};

  // Inputs that a window spans, gaps included.
  std::int64_t extent(std::size_t axis) const { return dilation[axis] * (kernel[axis] - 1) + 1; }
  std::int64_t tap_count() const { return kernel[0] * kernel[1] * kernel[2]; }

  // [first, last)
  struct Range {
    std::int64_t first;
    std::int64_t last;
  };
  // The outputs along an axis for which tap `tap` reads inside the input.
  Range outputs_inside(std::size_t axis, std::int64_t tap) const {
    const std::int64_t offset = tap * dilation[axis] - pad_begin[axis];
    const std::int64_t first = offset >= 0 ? 0 : (-offset + stride[axis] - 1) / stride[axis];
    const std::int64_t last = input[axis] <= offset ? 0 : (input[axis] - offset + stride[axis] - 1) / stride[axis];
    return {std::min(first, output[axis]), std::min(last, output[axis])};
  }

  // The taps of output `o` along an axis that read inside the input.
  Range taps_inside(std::size_t axis, std::int64_t o) const {
    const std::int64_t start = o * stride[axis] - pad_begin[axis];
    const std::int64_t first = start >= 0 ? 0 : (-start + dilation[axis] - 1) / dilation[axis];
    const std::int64_t last = input[axis] <= start ? 0 : (input[axis] - start + dilation[axis] - 1) / dilation[axis];
    return {std::min(first, kernel[axis]), std::min(last, kernel[axis])};
  }

  // Shape [batch, channels, output...].
  Shape output_shape(std::int64_t batch, std::int64_t channels) const {
    Shape shape{batch, channels};
    for (int i = kWindowRank - rank; i < kWindowRank; ++i) shape.push_back(output[static_cast<std::size_t>(i)]);
    return shape;
  }
};

// The windows of `attributes` with kernel `kernel` over an input of shape `x`. Throws `op.rank`, `op.attribute` where
// the attributes do not fit the rank, `op.shape` where a window is larger than the padded input, `op.size` where one
// has more elements than an int32 counts.
inline Window make_window(const WindowAttributes& attributes, const Shape& x, std::span<const std::int64_t> kernel) {
  Window window;
  window.rank = x.rank() - 2;
  if (window.rank < 1 || window.rank > kWindowRank) {
    base::invalid("op.rank", "the input must have 1 to {} spatial dimensions, but has shape {}", kWindowRank,
                  x.to_string());
  }
  const auto rank = static_cast<std::size_t>(window.rank);
  const auto check = [&](std::size_t length, std::size_t wanted, bool may_be_absent, std::string_view name) {
    if (length == wanted || (length == 0 && may_be_absent)) return;
    base::invalid("op.attribute", "'{}' must have {} values for an input of shape {}, but has {}", name, wanted,
                  x.to_string(), length);
  };
  check(kernel.size(), rank, false, "kernel_shape");
  check(attributes.strides.size(), rank, true, "strides");
  check(attributes.dilations.size(), rank, true, "dilations");
  check(attributes.pads.size(), 2 * rank, true, "pads");
  using AutoPad = WindowAttributes::AutoPad;
  for (std::size_t i = 0; i < rank; ++i) {
    const std::size_t axis = kWindowRank - rank + i;
    const std::int64_t input = x[static_cast<int>(i) + 2];
    if (input > INT64_MAX / 4) base::invalid("op.size", "an input of shape {} is too large", x.to_string());
    if (kernel[i] < 1 || kernel[i] > INT32_MAX) {
      base::invalid("op.shape", "a kernel's dimension must be in [1, {}], but is {}", INT32_MAX, kernel[i]);
    }
    window.input[axis] = input;
    window.kernel[axis] = kernel[i];
    if (!attributes.strides.empty()) window.stride[axis] = attributes.strides[i];
    if (!attributes.dilations.empty()) window.dilation[axis] = attributes.dilations[i];
    const std::int64_t stride = window.stride[axis];
    const std::int64_t extent = window.extent(axis);
    if (attributes.auto_pad == AutoPad::kSameUpper || attributes.auto_pad == AutoPad::kSameLower) {
      const std::int64_t output = (input + stride - 1) / stride;
      const std::int64_t total = output == 0 ? 0 : std::max<std::int64_t>((output - 1) * stride + extent - input, 0);
      const std::int64_t less = total / 2;
      window.output[axis] = output;
      window.pad_begin[axis] = attributes.auto_pad == AutoPad::kSameUpper ? less : total - less;
      window.pad_end[axis] = total - window.pad_begin[axis];
      continue;
    }
    const bool padded = attributes.auto_pad == AutoPad::kNotSet && !attributes.pads.empty();
    const std::int64_t begin = padded ? attributes.pads[i] : 0;
    const std::int64_t end = padded ? attributes.pads[rank + i] : 0;
    window.pad_begin[axis] = begin;
    window.pad_end[axis] = end;
    const std::int64_t room = input + begin + end - extent;
    if (room < 0) {
      if (input != 0) {
        base::invalid("op.shape", "a window of {} does not fit the padded input of {} along spatial dimension {}",
                      extent, input + begin + end, i);
      }
      window.output[axis] = 0;
      continue;
    }
    std::int64_t output = room / stride + 1;
    // A last window that hangs over counts with ceil_mode, unless it would start in the end padding.
    if (attributes.ceil_mode && attributes.auto_pad == AutoPad::kNotSet && room % stride != 0 &&
        output * stride < input + begin) {
      ++output;
    }
    window.output[axis] = output;
  }
  if (window.kernel[0] * window.kernel[1] > INT32_MAX || window.tap_count() > INT32_MAX) {
    base::invalid("op.size", "a kernel must have at most {} elements, but is [{}]", INT32_MAX, fmt::join(kernel, ","));
  }
  return window;
}

}  // namespace lanner::kernels
