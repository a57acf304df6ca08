// A pointwise convolution (1 × 1, stride 1, one group) and the depthwise one that alone reads it, as one: of the image
// between them, which in MobileNets is the largest, a thread makes a few rows of one block of channels at a time, which
// stay in its first-level cache. Images are float32, blocked by channel (blocked_image.h).
//
// The first convolution's rows where two strips meet are made twice. Every output is the same sum in the same order,
// whatever the number of threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/depthwise.h"

namespace lanner::kernels {

struct PointwiseDepthwiseArguments {
  const float* input;
  const float* pointwise_weights;  // [output / lanes][input][output % lanes], aligned to 64 bytes; inputs are filled up
                                   // to whole blocks
  const float* pointwise_bias;     // a value for each channel between, or null
  ImageActivation pointwise_activation;
  const float* depthwise_weights;  // as in DepthwiseArguments
  const float* depthwise_bias;
  ImageActivation activation;
  float* output;
  void* scratch;  // aligned to 64 bytes
};

class PointwiseDepthwise {
 public:
  // `inputs` is the number of the first convolution's input channels, `depthwise` the second one, of float32; `threads`
  // the most that run() will be given.
  PointwiseDepthwise(const DepthwiseLoops& loops, std::int64_t inputs, const DepthwiseProblem& depthwise, int threads);

  std::size_t scratch_bytes() const { return workers_ * rows_bytes_; }
  void run(const PointwiseDepthwiseArguments& arguments, int threads) const;

 private:
  struct Strip;
  void make_strip(const PointwiseDepthwiseArguments& arguments, const Strip& strip, float* rows) const;

  const DepthwiseLoops* loops_;
  std::int64_t inputs_;
  Depthwise depthwise_;
  std::int64_t strip_height_;  // rows of outputs
  std::int64_t kept_outputs_;  // rows of outputs that are made of what is kept at once
  std::size_t rows_bytes_;     // of what is kept
  std::size_t workers_;
};

}  // namespace lanner::kernels
