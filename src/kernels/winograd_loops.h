// The inner loops of Winograd convolution, compiled once per instruction set. A tile is a square of m × m outputs; its
// window is the (m + 2) × (m + 2) inputs they read. Transformed, a window has as many values, one for each "point"; at
// every point the convolution is a product of matrices.
//
// A convolution of stride 2 is a sum of four convolutions of stride 1, its parts: of the image of every second row and
// column, even or odd, with those of the 3 × 3 weights that meet them: 2 × 2, 2 × 1, 1 × 2 and 1. Windows have as many
// inputs more than the tile as there are weights, less one. The last point of a side, infinity, exists where there are
// two weights only; at all others one weight is its own transform. So where the parts' products are summed up, there
// are (m + 1) × (m + 1) points.
//
// Images are blocked by channel: planes of `lanes` channels, [y][x][lane]. Neighbouring rows and columns of a tile or
// window may lie apart, as those of a dilated convolution do; strides are in elements.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/blocked_image.h"
#include "kernels/loops_of_cpu.h"

namespace lanner::kernels {

// m, the side of a tile.
enum class WinogradForm : std::uint8_t { kF2 = 2, kF4 = 4 };

constexpr std::size_t tile_side(WinogradForm form) {
  return static_cast<std::size_t>(form);
}

// The weights that a part has along each side.
struct WinogradPart {
  std::size_t rows;
  std::size_t columns;
};
inline constexpr std::array<WinogradPart, 5> kWinogradParts = {{{3, 3}, {2, 2}, {2, 1}, {1, 2}, {1, 1}}};
inline constexpr std::size_t kLargestStride = 2;

// The first of a convolution's parts in kWinogradParts, and their number. The first part has all points.
constexpr std::size_t first_part(std::size_t stride) {
  return stride - 1;
}
constexpr std::size_t part_count(std::size_t stride) {
  return stride * stride;
}

// Inputs along the side of a window that has `weights` along it, and values of such weights when transformed.
constexpr std::size_t window_side(WinogradForm form, std::size_t weights) {
  return tile_side(form) + weights - 1;
}
constexpr std::size_t weight_side(WinogradForm form, std::size_t weights) {
  return weights == 1 ? 1 : window_side(form, weights);
}

// Points at which a tile is made.
constexpr std::size_t point_count(WinogradForm form, std::size_t stride) {
  const std::size_t side = window_side(form, kWinogradParts[first_part(stride)].rows);
  return side * side;
}
// Values of all parts' transformed windows of a tile, which is the number of products for each pair of channels.
constexpr std::size_t window_count(WinogradForm form, std::size_t stride) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < part_count(stride); ++i) {
    const WinogradPart& part = kWinogradParts[first_part(stride) + i];
    count += window_side(form, part.rows) * window_side(form, part.columns);
  }
  return count;
}
// Values of all parts' transformed weights, for each pair of channels.
constexpr std::size_t weight_count(WinogradForm form, std::size_t stride) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < part_count(stride); ++i) {
    const WinogradPart& part = kWinogradParts[first_part(stride) + i];
    count += weight_side(form, part.rows) * weight_side(form, part.columns);
  }
  return count;
}

// Where a tile and its window in one part are. Rows and columns are the window's or the tile's own, so a range says
// which of them exist.
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

// A function for each form, kF2 first, and each number of an image.
template <typename Function>
using WinogradTable = std::array<std::array<Function, 2>, 2>;

// Transforms the windows of `count` tiles in one input plane. Value i of tile t, counted by rows, goes to
// to[i * window_stride + t * lanes].
using TransformWinogradInput = void (*)(const WinogradTile* tiles, std::size_t count, const ImagePlane& plane,
                                        float* to, std::size_t window_stride);
// Tiles from products, point p of tile t at products[p * point_stride + t * lanes], to a plane.
using TransformWinogradOutput = void (*)(const WinogradTile* tiles, std::size_t count, const float* products,
                                         std::size_t point_stride, const ImageEpilogue& epilogue,
                                         const ImagePlane& plane);
// Weights of one panel, [channel][9][output], to their values, part by part: value i goes to
// to[i * value_stride + channel * width + output]. `width` is the number of outputs, a multiple of lanes.
using TransformWinogradWeights = void (*)(const float* panel, std::size_t channels, std::size_t width, float* to,
                                          std::size_t value_stride);

struct WinogradLoops {
  std::size_t lanes;       // channels in a block
  std::size_t most_tiles;  // that multiply() takes at once

  std::array<WinogradTable<TransformWinogradInput>, kWinogradParts.size()> transform_input;  // of each part
  std::array<WinogradTable<TransformWinogradOutput>, kLargestStride> transform_output;       // of each stride
  std::array<std::array<TransformWinogradWeights, 2>, kLargestStride> transform_weights;     // and for each form

  // One point's product of `tiles` rows and 1 or 2 `vectors` of columns: of rows [channel / lanes][tile][channel %
  // lanes] and columns [channel][vector][lane]. Vector v of tile t goes to to[v * vector_stride + t * lanes] or, with
  // `adds`, is added to it.
  void (*multiply)(std::size_t tiles, std::size_t vectors, std::size_t channels, const float* rows,
                   const float* columns, float* to, std::size_t vector_stride, bool adds);
};

constexpr std::size_t form_index(WinogradForm form) {
  return form == WinogradForm::kF2 ? 0 : 1;
}

using WinogradLoopsRow = LoopsRow<WinogradLoops>;

// Those that were compiled, best first; none on a CPU family that has no form here.
std::span<const WinogradLoopsRow> winograd_loops_rows();

}  // namespace lanner::kernels
