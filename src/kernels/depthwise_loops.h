// The inner loops of depthwise convolution, alone or behind a pointwise one, compiled once per instruction set: a row
// of outputs of one block of channels (blocked_image.h), each from its own channel of the input; and neighbouring
// pixels of one block, each from all channels of its pixel.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/blocked_image.h"
#include "kernels/loops_of_cpu.h"

namespace lanner::kernels {

// What a row of outputs is made from. Strides are in elements.
struct DepthwiseRow {
  const void* input;  // the plane's first row that the kernel meets
  std::size_t input_stride;
  std::int64_t input_width;
  const float* weights;  // [row][column][lane], from the first row of the kernel that meets the input
  std::size_t rows;      // of the kernel that meet it
  std::int64_t pad_left;
  void* output;  // the row's first element
  std::int64_t output_width;
  ImageEpilogue epilogue;  // without a residual
};

// What neighbouring pixels of a pointwise convolution are made from, all float32.
struct PointwisePixels {
  const float* input;        // the first pixel in the first block
  std::size_t plane_stride;  // elements between blocks of the input's channels
  std::size_t inputs;        // channels
  const float* weights;      // [input][lane]
  float* output;
  std::size_t count;
  ImageEpilogue epilogue;  // without a residual
};

inline constexpr std::array<std::int64_t, 2> kDepthwiseWidths = {3, 5};  // of kernels
inline constexpr std::int64_t kMostDepthwiseStride = 2;

// For kernels of each width in kDepthwiseWidths, each stride and each number of the images.
struct DepthwiseLoops {
  using MakeRow = void (*)(const DepthwiseRow& row);
  std::size_t lanes;  // channels in a block
  std::array<std::array<std::array<MakeRow, 2>, kMostDepthwiseStride>, kDepthwiseWidths.size()> make_row;
  void (*make_pixels)(const PointwisePixels& pixels);
};

// Those that were compiled, best first; none on a CPU family that has no form here.
std::span<const LoopsRow<DepthwiseLoops>> depthwise_loops_rows();

}  // namespace lanner::kernels
