// Convolutions for kernels of this folder: the checks and the loops of Conv for any type that is computed with.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernel.h"
#include "kernels/window.h"

namespace lanner::kernels {

struct ConvAttributes {
  std::int64_t groups;
  WindowAttributes window;
};

// Throws `op.attribute` for values outside their range.
ConvAttributes parse_conv(const tensor::Attributes& attributes);

// The convolution of one run.
struct ConvProblem {
  Window window;
  std::int64_t batch;
  std::int64_t groups;
  std::int64_t inputs;   // channels a group
  std::int64_t outputs;  // channels a group

  Shape output_shape() const { return window.output_shape(batch, groups * outputs); }
};

// Throws `op.rank`, `op.shape` where input, weights and attributes do not fit each other.
ConvProblem make_conv_problem(const ConvAttributes& attributes, const Shape& x, const Shape& w);
// Throws `op.shape` unless there is a number for each output channel.
void check_conv_bias(const ConvProblem& problem, const Tensor& bias);

// A kernel of one element without strides or pads, which is a matrix product.
bool is_pointwise(const Window& window);

// A convolution with the form in which loops read its input: padded, each row split by phase (position modulo stride),
// so that every tap of a stretch of neighbouring outputs reads neighbouring elements and no edge needs a test.
// [batch, groups * inputs, depth, height, phase, pitch].
struct PaddedConv : ConvProblem {
  // Rows of outputs are read in whole stretches of so many.
  PaddedConv(const ConvProblem& problem, std::int64_t stretch);

  std::int64_t depth;
  std::int64_t height;
  std::int64_t phases;  // those that some tap reads
  std::int64_t pitch;

  std::int64_t row_size() const { return phases * pitch; }
  std::int64_t channel_rows() const { return depth * height; }
  std::int64_t channel_size() const { return channel_rows() * row_size(); }
  // Of the first tap of a row of outputs of one channel, row counting [D, H].
  std::int64_t output_row(std::int64_t row) const {
    return (row / window.output[1] * window.stride[0] * height + row % window.output[1] * window.stride[1]) *
           row_size();
  }
  // Each tap's distance from the first.
  std::vector<std::int64_t> tap_offsets() const;
};

// Fills rows [begin, end) of all channels' rows; `padded` is the first of them. Without `pads` what is padding is left
// as it is. T is float, double or std::uint8_t.
template <typename T>
void copy_padded(const PaddedConv& conv, std::int64_t begin, std::int64_t end, const T* x, T padding, bool pads,
                 T* padded);

// Fills y; `bias` may be null. T is float or double.
template <typename T>
void convolve(KernelContext& context, const ConvProblem& problem, const T* x, const T* w, const T* bias, T* y);

}  // namespace lanner::kernels
