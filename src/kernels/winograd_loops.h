// The inner loops of Winograd convolution, compiled once per instruction set. A tile is a square of m × m outputs; its
// window is the (m + 2) × (m + 2) inputs they read. Transformed, a window has as many values, one for each "point"; at
// every point the convolution is a product of matrices.
//
// Images are blocked by channel: planes of `lanes` channels, [y][x][lane]. Neighbouring rows and columns of a tile or
// window may lie apart, as those of a dilated convolution do; strides are in elements.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "kernels/loops_of_cpu.h"

namespace lanner::kernels {

// m, the side of a tile.
enum class WinogradForm : std::uint8_t { kF2 = 2, kF4 = 4 };

constexpr std::size_t tile_side(WinogradForm form) {
  return static_cast<std::size_t>(form);
}
constexpr std::size_t point_count(WinogradForm form) {
  return (tile_side(form) + 2) * (tile_side(form) + 2);
}

// Where a tile is. Rows and columns are the window's or the tile's own, so a range says which of them exist.
struct WinogradTile {
  std::ptrdiff_t window =
      0;  // the window's corner in an input plane, in elements; outside it for a window with padding
  std::ptrdiff_t output = 0;  // the tile's corner in an output plane
  std::uint8_t row_begin = 0;
  std::uint8_t row_end = 0;
  std::uint8_t column_begin = 0;
  std::uint8_t column_end = 0;
  std::uint8_t output_rows = 0;
  std::uint8_t output_columns = 0;
  bool follows = false;  // the tile before lies on the left of this one
};

// What an image's elements are; all else is float32.
enum class WinogradNumber : std::uint8_t { kFloat32, kBfloat16 };

constexpr std::size_t bytes_of(WinogradNumber number) {
  return number == WinogradNumber::kFloat32 ? 4 : 2;
}

// One block of channels of an image.
struct WinogradPlane {
  void* data;  // not written where it is an input
  std::size_t row_stride;
  std::size_t column_stride;
};

// A function of one element, which keeps NaN.
struct WinogradActivation {
  enum class Kind : std::uint8_t {
    kClip,         // to [alpha, beta]
    kLeakyRelu,    // alpha * x below zero
    kHardSigmoid,  // alpha * x + beta, to [0, 1]
    kHardSwish,    // x * (x / 6 + 1 / 2, to [0, 1])
    kSigmoid,      // of alpha * x
    kSwish,        // x * sigmoid(alpha * x)
  };
  static constexpr float kInfinity = std::numeric_limits<float>::infinity();

  static constexpr WinogradActivation none() { return {}; }
  static constexpr WinogradActivation relu() { return {Kind::kClip, 0, kInfinity}; }

  Kind kind = Kind::kClip;
  float alpha = -kInfinity;
  float beta = kInfinity;
  bool residual_last = false;  // a residual is added to the function's result, not to its argument
};

// activation(x + bias + residual), or activation(x + bias) + residual, for one block of channels, the last of which may
// not exist; those become zero.
struct WinogradEpilogue {
  const float* bias = nullptr;     // `lanes` values
  const void* residual = nullptr;  // a plane like the output's, which may be the output itself; or null
  WinogradActivation activation;
  std::size_t channels = 0;  // how many of the lanes exist
};

struct WinogradLoops {
  std::size_t lanes;       // channels in a block
  std::size_t most_tiles;  // that multiply() takes at once

  // Each of these tables has a function for kF2 and one for kF4; of those that touch images there is one for each
  // number.

  // Transforms the windows of `count` tiles in one input plane. Value p of tile t goes to to[p * point_stride + t *
  // lanes].
  void (*transform_input[2][2])(const WinogradTile* tiles, std::size_t count, const WinogradPlane& plane, float* to,
                                std::size_t point_stride);
  // The other way: tiles from products, value p of tile t at products[p * point_stride + t * lanes], to a plane.
  void (*transform_output[2][2])(const WinogradTile* tiles, std::size_t count, const float* products,
                                 std::size_t point_stride, const WinogradEpilogue& epilogue,
                                 const WinogradPlane& plane);
  // Weights of one panel, [channel][9][output], to their values at the points: that of point p goes to
  // to[p * point_stride + channel * width + output]. `width` is the number of outputs, a multiple of lanes.
  void (*transform_weights[2])(const float* panel, std::size_t channels, std::size_t width, float* to,
                               std::size_t point_stride);

  // One point's product of `tiles` rows and 1 or 2 `vectors` of columns: of rows [channel / lanes][tile][channel %
  // lanes] and columns [channel][vector][lane]. Vector v of tile t goes to to[v * vector_stride + t * lanes] or, with
  // `adds`, is added to it.
  void (*multiply)(std::size_t tiles, std::size_t vectors, std::size_t channels, const float* rows,
                   const float* columns, float* to, std::size_t vector_stride, bool adds);
};

constexpr std::size_t number_index(WinogradNumber number) {
  return static_cast<std::size_t>(number);
}
constexpr std::size_t form_index(WinogradForm form) {
  return form == WinogradForm::kF2 ? 0 : 1;
}

using WinogradLoopsRow = LoopsRow<WinogradLoops>;

// Those that were compiled, best first; none on a CPU family that has no form here.
std::span<const WinogradLoopsRow> winograd_loops_rows();
// The loops for blocks of `lanes` channels, null where this CPU or this build has none.
const WinogradLoops* find_winograd_loops(std::size_t lanes);

}  // namespace lanner::kernels
