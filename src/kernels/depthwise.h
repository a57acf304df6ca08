// Depthwise convolution: one kernel for each channel, 3 or 5 columns wide and of any height, without dilation, of
// stride 1 or 2, on images blocked by channel (blocked_image.h). A Depthwise knows sizes and the order of work; it owns
// no memory and is immutable, so any number of threads may use one.
//
// Every output is the same sum in the same order, whatever the number of threads.
#pragma once

#include <cstdint>

#include "kernels/depthwise_loops.h"

namespace lanner::kernels {

struct DepthwiseProblem {
  std::int64_t batch;
  std::int64_t channels;
  std::int64_t height;  // of the input
  std::int64_t width;
  std::int64_t kernel_height;
  std::int64_t kernel_width;  // one of kDepthwiseWidths
  std::int64_t stride;        // 1 or 2, of rows and columns
  std::int64_t pad_top;
  std::int64_t pad_left;
  std::int64_t output_height;  // what lies beyond the input below and on the right is padding
  std::int64_t output_width;
  ImageNumber number = ImageNumber::kFloat32;  // of input and output
};

struct DepthwiseArguments {
  const void* input;
  const float* weights;  // [channel / lanes][row][column][channel % lanes], aligned to 64 bytes
  const float* bias;     // `channels` values, or null
  void* output;
  ImageActivation activation;
};

class Depthwise {
 public:
  Depthwise(const DepthwiseLoops& loops, const DepthwiseProblem& problem);

  const DepthwiseProblem& problem() const { return problem_; }
  void run(const DepthwiseArguments& arguments, int threads) const;

  // One image's block of channels: where its row `first_input` is, which is the first that is needed, and where its
  // outputs are.
  struct Plane {
    std::int64_t block;
    const void* input;
    std::int64_t first_input;
    void* output;
  };
  // Makes rows [first, end) of a plane's outputs; the arguments' input and output do not count.
  void make_rows(const DepthwiseArguments& arguments, const Plane& plane, std::int64_t first, std::int64_t end) const;

 private:
  std::int64_t lanes_;
  DepthwiseLoops::MakeRow make_row_;
  DepthwiseProblem problem_;
};

}  // namespace lanner::kernels
