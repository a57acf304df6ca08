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
// As many sums as registers hold.
constexpr int kTile = kVectors == 1 ? 12 : kVectors == 2 ? 6 : kVectors == 4 ? 2 : 1;
static_assert(kProductRows % kTile == 0);

// The sums of kTile rows and a panel of `width` columns.
HWY_INLINE void multiply_tile(std::int64_t rows, std::int64_t width, std::int64_t depth, const float* a,
                              std::int64_t a_stride, const float* b, bool adds, float* y, std::int64_t y_stride) {
  const Floats floats;
  hn::Vec<Floats> sums[kTile][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kTile; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::Zero(floats);
  }
  for (std::int64_t d = 0; d < depth; ++d, b += kPanelColumns) {
    hn::Vec<Floats> right[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) right[v] = hn::LoadU(floats, b + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kTile; ++r) {
      const auto left = hn::Set(floats, a[r * a_stride + d]);
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::MulAdd(left, right[v], sums[r][v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kTile; ++r) {
    if (r >= rows) return;
    float* const out = y + r * y_stride;
    if (width == kPanelColumns) {
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) {
        float* const to = out + v * kLanes;
        hn::StoreU(adds ? hn::Add(hn::LoadU(floats, to), sums[r][v]) : sums[r][v], floats, to);
      }
      continue;
    }
    float row[kPanelColumns];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) hn::StoreU(sums[r][v], floats, row + v * kLanes);
    for (std::int64_t c = 0; c < width; ++c) out[c] = adds ? out[c] + row[c] : row[c];
  }
}

void multiply(std::int64_t rows, std::int64_t columns, std::int64_t depth, const float* a, std::int64_t a_stride,
              const float* b, std::int64_t panel_stride, bool adds, float* y, std::int64_t y_stride) {
  for (std::int64_t column = 0; column < columns; column += kPanelColumns, b += panel_stride) {
    const std::int64_t width = std::min(kPanelColumns, columns - column);
    for (std::int64_t row = 0; row < rows; row += kTile) {
      multiply_tile(rows - row, width, depth, a + row * a_stride, a_stride, b, adds, y + row * y_stride + column,
                    y_stride);
    }
  }
}

constexpr ProductLoops kLoops{multiply};

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
