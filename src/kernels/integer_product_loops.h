// The innermost loops of products of 8-bit integers, per instruction set. Sums are exact in 32 bits, which wrap, so all
// instruction sets give the same.
//
// A product is that of a left side, rows of int8, and a right side, columns of uint8. An operand of the other type has
// its highest bits flipped as it is packed, which moves its elements and its zero point alike by 128. Both sides are
// held in cells of 32 bits: as many neighbours along the summed dimension as the CPU multiplies at once, four bytes or
// two 16-bit numbers. A row that does not fill its last cell is filled up with zeros, on the left side; on the right
// side anything may stand there.
#pragma once

#include <cstdint>

#include "kernels/loops_of_cpu.h"

namespace lanner::kernels {

// What is added to a row's sums beside `constant`: for each of the terms that have columns, factor * columns[i].
struct SumCorrection {
  std::uint32_t constant = 0;
  std::uint32_t factors[2] = {0, 0};
  const std::uint32_t* columns[2] = {nullptr, nullptr};
};

// Columns of a panel whose elements are neighbours: those from `from` on become the columns from `to` on.
struct ColumnStretch {
  std::int64_t from;
  std::int64_t to;
};

// Of all instruction sets.
inline constexpr std::int64_t kMaxPanelColumns = 64;

struct IntegerProductLoops {
  // Elements in a cell.
  std::int64_t cell_depth;
  // Columns in a panel, in which the right side is packed: cell by cell, its columns in each. The last panel is
  // narrower, but a whole number of vectors of `lanes`.
  std::int64_t panel_columns;
  std::int64_t lanes;

  // A row of the left side into cells; returns the sum of its elements, which are those of `from` with the bits of
  // `flip` flipped.
  std::uint32_t (*pack_left)(const std::uint8_t* from, std::int64_t depth, std::uint8_t flip, std::uint32_t* to);
  // `columns` columns of a panel, or of some of its cells: element i of column j is rows[i][first + j], flipped. There
  // are as many rows as fill whole cells.
  void (*pack_right)(const std::uint8_t* const* rows, std::int64_t depth, std::int64_t first, std::int64_t columns,
                     std::uint8_t flip, std::uint32_t* to);
  // to[i * pitch + stretch.to ...] = from[offsets[i] + stretch.from ...] for all stretches, in order. Each copies
  // panel_columns bytes, of which the next overwrites what is too many.
  void (*gather)(const std::uint8_t* from, const std::int64_t* offsets, std::int64_t count,
                 const ColumnStretch* stretches, std::int64_t stretch_count, std::uint8_t* to, std::int64_t pitch);
  // y = left * panel for rows of `cells` cells; `columns` is rounded up to whole vectors, and so much is written to
  // rows of y of panel_columns.
  void (*multiply)(std::int64_t rows, std::int64_t columns, std::int64_t cells, const std::uint32_t* left,
                   const std::uint32_t* panel, std::int32_t* y);
  // pack_right() and multiply() in one, for one row and any number of columns. Whole vectors are read and written.
  void (*multiply_row)(const std::uint8_t* const* rows, std::int64_t depth, std::int64_t first, std::int64_t columns,
                       std::uint8_t flip, const std::uint32_t* left, std::int32_t* y);
  // Rows of `width` sums, `pitch` apart, one after another. Whole vectors are read and written.
  void (*close_gaps)(std::int64_t rows, std::int64_t width, std::int64_t pitch, const std::int32_t* from,
                     std::int32_t* to);
  // out = sums + correction; `out` may be `sums`.
  void (*correct)(const std::int32_t* sums, std::int64_t count, const SumCorrection& correction, std::int32_t* out);
  // The nearest to (sums[i] + constant) * factors[i * step] (ties to even), plus the zero point, bounded. step is 0
  // or 1.
  void (*quantize_int8)(const std::int32_t* sums, std::int64_t count, std::uint32_t constant, const float* factors,
                        std::int64_t step, std::int32_t zero_point, void* out);
  void (*quantize_uint8)(const std::int32_t* sums, std::int64_t count, std::uint32_t constant, const float* factors,
                         std::int64_t step, std::int32_t zero_point, void* out);
};

LoopsOfCpu<IntegerProductLoops>& integer_product_loops_of_cpu();

}  // namespace lanner::kernels
