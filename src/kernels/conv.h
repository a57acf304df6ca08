// Convolutions for kernels of this folder: the checks and the loops of Conv for any type that is computed with.
#pragma once

#include <cstdint>

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

// Fills y; `bias` may be null. T is float, double or std::uint32_t (whose products wrap).
template <typename T>
void convolve(KernelContext& context, const ConvProblem& problem, const T* x, const T* w, const T* bias, T* y);

}  // namespace lanner::kernels
