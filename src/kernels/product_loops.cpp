// The targets left out are older than AVX2 and newer than what these loops can use; what remains for x86 is AVX-512,
// AVX2 and a portable form.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/product_loops.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first.
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "kernels/exp_loops.h"
#include "kernels/loops_rows.h"
#include "kernels/product_loops.h"

HWY_BEFORE_NAMESPACE();
namespace lanner::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR
using Floats = hn::FixedTag<float, 1>;
#else
using Floats = hn::CappedTag<float, static_cast<std::size_t>(kPanelColumns)>;
#endif
constexpr int kLanes = static_cast<int>(hn::MaxLanes(Floats()));
constexpr int kVectors = static_cast<int>(kPanelColumns) / kLanes;
// As many sums as registers hold: rows of one panel, or a few rows of several panels, whose sums then do not wait for
// each other. Where there are 32 registers several panels are always better: each number of the left side is loaded
// once for all of them.
constexpr int kTile = kVectors == 1 ? 12 : kVectors == 2 ? 6 : kVectors == 4 ? 2 : 1;
constexpr int kWideRows = kVectors == 1 ? 6 : kVectors == 2 ? 3 : 1;
constexpr int kWidePanels = kVectors == 1 ? 4 : kVectors == 2 ? 2 : 1;
constexpr bool kAlwaysWide = kVectors == 1;

// The sums of kRows rows and kPanels panels, the last of which has `width` columns.
template <int kRows, int kPanels>
void multiply_tile(std::int64_t width, std::int64_t depth, const float* a, std::int64_t a_stride, const float* b,
                   std::int64_t panel_stride, bool adds, float* y, std::int64_t y_stride) {
  const Floats floats;
  constexpr int kColumns = kPanels * kVectors;
  hn::Vec<Floats> sums[kRows][kColumns];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kColumns; ++v) sums[r][v] = hn::Zero(floats);
  }
  for (std::int64_t d = 0; d < depth; ++d, b += kPanelColumns) {
    hn::Vec<Floats> right[kColumns];
#pragma GCC unroll 16
    for (int v = 0; v < kColumns; ++v) {
      right[v] = hn::LoadU(floats, b + v / kVectors * panel_stride + v % kVectors * kLanes);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const auto left = hn::Set(floats, a[r * a_stride + d]);
#pragma GCC unroll 16
      for (int v = 0; v < kColumns; ++v) sums[r][v] = hn::MulAdd(left, right[v], sums[r][v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    float* const out = y + r * y_stride;
    const int whole = kColumns - (width == kPanelColumns ? 0 : kVectors);
#pragma GCC unroll 16
    for (int v = 0; v < kColumns; ++v) {
      if (v >= whole) break;
      float* const to = out + v * kLanes;
      hn::StoreU(adds ? hn::Add(hn::LoadU(floats, to), sums[r][v]) : sums[r][v], floats, to);
    }
    if (whole == kColumns) continue;
    float row[kPanelColumns];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) hn::StoreU(sums[r][kColumns - kVectors + v], floats, row + v * kLanes);
    float* const last = out + (kPanels - 1) * kPanelColumns;
    for (std::int64_t c = 0; c < width; ++c) last[c] = adds ? last[c] + row[c] : row[c];
  }
}

using MultiplyTile = void (*)(std::int64_t, std::int64_t, const float*, std::int64_t, const float*, std::int64_t, bool,
                              float*, std::int64_t);
template <int kPanels, int... kRows>
constexpr std::array<MultiplyTile, sizeof...(kRows)> tiles_of_panels(std::integer_sequence<int, kRows...>) {
  return {multiply_tile<kRows + 1, kPanels>...};
}

void multiply(std::int64_t rows, std::int64_t columns, std::int64_t depth, const float* a, std::int64_t a_stride,
              const float* b, std::int64_t panel_stride, bool adds, float* y, std::int64_t y_stride) {
  static constexpr auto kTiles = tiles_of_panels<1>(std::make_integer_sequence<int, kTile>());
  static constexpr auto kWideTiles = tiles_of_panels<kWidePanels>(std::make_integer_sequence<int, kWideRows>());
  constexpr std::int64_t kWideColumns = kWidePanels * kPanelColumns;
  std::int64_t column = 0;
  // In tiles of about as many rows each.
  const auto multiply_rows = [&](const auto& tiles_of_rows, std::int64_t width) {
    auto tiles = (rows - 1) / std::ssize(tiles_of_rows) + 1;
    for (std::int64_t row = 0; row < rows; --tiles) {
      const std::int64_t count = (rows - row + tiles - 1) / tiles;
      tiles_of_rows[static_cast<std::size_t>(count - 1)](width, depth, a + row * a_stride, a_stride, b, panel_stride,
                                                         adds, y + row * y_stride, y_stride);
      row += count;
    }
  };
  if (kAlwaysWide || rows <= kWideRows) {
    for (; column + kWideColumns <= columns;
         column += kWideColumns, b += kWidePanels * panel_stride, y += kWideColumns) {
      multiply_rows(kWideTiles, kPanelColumns);
    }
  }
  for (; column < columns; column += kPanelColumns, b += panel_stride, y += kPanelColumns) {
    multiply_rows(kTiles, std::min(kPanelColumns, columns - column));
  }
}

float exponentiate(std::int64_t count, float* x) {
  const Floats floats;
  constexpr float kLeast = -std::numeric_limits<float>::infinity();
  // The last vectors are a copy where they are no whole ones.
  const std::int64_t whole = count - count % kPanelColumns;
  float rest[kPanelColumns];
  std::fill_n(std::copy(x + whole, x + count, rest), kPanelColumns - (count - whole), kLeast);
  const auto each = [&](auto&& function) HWY_ATTR {
    for (std::int64_t i = 0; i < whole; i += kPanelColumns) function(x + i);
    if (whole < count) function(rest);
  };

  hn::Vec<Floats> largest[kVectors];
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) largest[v] = hn::Set(floats, kLeast);
  each([&](const float* from) HWY_ATTR {
  // Where an argument is NaN, Max gives the second.
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) largest[v] = hn::Max(hn::LoadU(floats, from + v * kLanes), largest[v]);
  });
  for (int v = 1; v < kVectors; ++v) largest[0] = hn::Max(largest[v], largest[0]);
  const auto top = hn::MaxOfLanes(floats, largest[0]);

  hn::Vec<Floats> sums[kVectors];
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) sums[v] = hn::Zero(floats);
  const auto bound = hn::Set(floats, -87.0f);
  each([&](float* at) HWY_ATTR {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      const auto below = hn::Sub(hn::LoadU(floats, at + v * kLanes), top);
      const auto power = hn::IfThenZeroElse(hn::Lt(below, bound), exp_within(floats, below));
      sums[v] = hn::Add(sums[v], power);
      hn::StoreU(power, floats, at + v * kLanes);
    }
  });
  std::copy_n(rest, count - whole, x + whole);
  for (int v = 1; v < kVectors; ++v) sums[0] = hn::Add(sums[0], sums[v]);
  return hn::GetLane(hn::SumOfLanes(floats, sums[0]));
}

constexpr ProductLoops kLoops{multiply, exponentiate};

}  // namespace lanner::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lanner::kernels {

namespace {

// Products that are summed before the partial sum joins the total, which bounds the rounding error.
constexpr std::int64_t kSumBlock = 512;

constexpr LoopsRow<ProductLoops> kRows[] = LANNER_LOOPS_ROWS;

}  // namespace

LoopsOfCpu<ProductLoops>& product_loops_of_cpu() {
  static LoopsOfCpu<ProductLoops> loops(kRows);
  return loops;
}

void PackedMatrix::pack(std::int64_t rows, std::int64_t columns, Matrix<float> from) {
  rows_ = rows;
  const std::int64_t panels = (columns + kPanelColumns - 1) / kPanelColumns;
  panels_.resize(static_cast<std::size_t>(panels * kPanelColumns * rows));
  float* to = panels_.data();
  for (std::int64_t column = 0; column < columns; column += kPanelColumns) {
    const std::int64_t width = std::min(kPanelColumns, columns - column);
    const float* const source = from.data + column * from.column_stride;
    for (std::int64_t row = 0; row < rows; ++row, to += kPanelColumns) {
      const float* const at = source + row * from.row_stride;
      for (std::int64_t c = 0; c < width; ++c) to[c] = at[c * from.column_stride];
      std::fill_n(to + width, kPanelColumns - width, 0.0f);
    }
  }
}

void PackedMatrix::multiply(std::int64_t rows, std::int64_t columns, std::int64_t depth, const float* a,
                            std::int64_t a_stride, std::int64_t first_row, std::int64_t first_column, float* y,
                            std::int64_t y_stride) const {
  const ProductLoops& loops = product_loops_of_cpu().get();
  const float* const b = panels_.data() + first_column * rows_ + first_row * kPanelColumns;
  for (std::int64_t first = 0; first < depth || first == 0; first += kSumBlock) {
    loops.multiply(rows, columns, std::min(kSumBlock, depth - first), a + first, a_stride, b + first * kPanelColumns,
                   rows_ * kPanelColumns, first > 0, y, y_stride);
  }
}

}  // namespace lanner::kernels
#endif
