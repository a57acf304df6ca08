// What convolutions of our own know of images blocked by channel: planes of `lanes` channels, [y][x][lane], one after
// another, as oneDNN's nChw16c and nChw8c. Strides are in elements.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "kernels/loops_of_cpu.h"

namespace lanner::kernels {

// What an image's elements are; all else is float32.
enum class ImageNumber : std::uint8_t { kFloat32, kBfloat16 };

constexpr std::size_t bytes_of(ImageNumber number) {
  return number == ImageNumber::kFloat32 ? 4 : 2;
}
constexpr std::size_t number_index(ImageNumber number) {
  return static_cast<std::size_t>(number);
}

// One block of channels of an image.
struct ImagePlane {
  void* data;  // not written where it is an input
  std::size_t row_stride;
  std::size_t column_stride;
};

// A function of one element, which keeps NaN.
struct ImageActivation {
  enum class Kind : std::uint8_t {
    kClip,         // to [alpha, beta]
    kLeakyRelu,    // alpha * x below zero
    kHardSigmoid,  // alpha * x + beta, to [0, 1]
    kHardSwish,    // x * (x / 6 + 1 / 2, to [0, 1])
    kSigmoid,      // of alpha * x
    kSwish,        // x * sigmoid(alpha * x)
  };
  static constexpr float kInfinity = std::numeric_limits<float>::infinity();

  static constexpr ImageActivation none() { return {}; }
  static constexpr ImageActivation relu() { return {Kind::kClip, 0, kInfinity}; }

  Kind kind = Kind::kClip;
  float alpha = -kInfinity;
  float beta = kInfinity;
  bool residual_last = false;  // a residual is added to the function's result, not to its argument
};

// activation(x + bias + residual), or activation(x + bias) + residual, for one block of channels, the last of which may
// not exist; those become zero.
struct ImageEpilogue {
  const float* bias = nullptr;     // `lanes` values
  const void* residual = nullptr;  // a plane like the output's, which may be the output itself; or null
  ImageActivation activation;
  std::size_t channels = 0;  // how many of the lanes exist
};

// The bias of one block of channels as an epilogue reads it, with zeros for lanes that do not exist.
class BlockBias {
 public:
  // Channels [first, first + exist) of `bias`, which may be null.
  BlockBias(const float* bias, std::ptrdiff_t first, std::ptrdiff_t exist) {
    if (bias != nullptr) std::copy_n(bias + first, exist, values_.data());
  }
  const float* data() const { return values_.data(); }

 private:
  static constexpr std::size_t kMostLanes = 16;
  alignas(64) std::array<float, kMostLanes> values_{};
};

// Of what was compiled, the loops for blocks of `lanes` channels; null where this CPU or this build has none.
template <typename Loops>
const Loops* find_loops(std::span<const LoopsRow<Loops>> rows, std::size_t lanes) {
  for (const LoopsRow<Loops>& row : rows) {
    if (row.loops->lanes == lanes && row.supported()) return row.loops;
  }
  return nullptr;
}

}  // namespace lanner::kernels
