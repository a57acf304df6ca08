// The inner loops of Preprocess that take pixels apart and put them together, compiled once per instruction set; every
// version gives the same bits.
#pragma once

#include <cstdint>

#include "kernels/loops_of_cpu.h"

namespace lanner::kernels {

// A row of pixels, channels next to each other, and the planes of its channels, rows `stride` elements apart.
struct PreprocessLoops {
  // to[c * stride + i] = from[i * channels + c].
  void (*split_bytes)(const std::uint8_t* from, std::int64_t channels, std::int64_t count, float* to,
                      std::int64_t stride);
  void (*split_floats)(const float* from, std::int64_t channels, std::int64_t count, float* to, std::int64_t stride);
  // to[i * channels + c] = from[c * stride + i].
  void (*join)(const float* from, std::int64_t stride, std::int64_t channels, std::int64_t count, float* to);
};

LoopsOfCpu<PreprocessLoops>& preprocess_loops_of_cpu();

}  // namespace lanner::kernels
