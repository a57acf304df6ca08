// The inner loops of ColumnMap: one operator over one tile of a column, and moving columns between a tile and rows that
// hold several of them. Compiled for each instruction set; all give the same bits, those of the operators' own kernels.
// A column of a tile is kTileRows floats or fewer; loops of arithmetic read and write whole blocks of kColumnBlock.
#pragma once

#include <cstddef>

#include "kernels/column_program.h"
#include "kernels/loops_of_cpu.h"

namespace lanner::kernels {

inline constexpr std::size_t kTileRows = 512;
inline constexpr std::size_t kColumnBlock = 16;

// A column of numbers, or one number (at `data`) for all rows.
struct ColumnArgument {
  const float* data;
  bool repeated;
};

struct ColumnLoops {
  // out = op(a) or op(a, b), of `count` rows, rounded up to whole blocks. `out` may be an argument; not both arguments
  // are repeated.
  void (*apply)(ColumnOp op, ColumnArgument a, ColumnArgument b, float* out, std::size_t count);
  // columns[k][i] = rows[i * width + k] for a width of 2 or 4. A null column is left out.
  void (*split)(const float* rows, std::size_t width, std::size_t count, float* const* columns);
  // rows[i * width + k] = columns[k][i]. Columns are read by whole blocks.
  void (*join)(const ColumnArgument* columns, std::size_t width, std::size_t count, float* rows);
};

LoopsOfCpu<ColumnLoops>& column_loops_of_cpu();

}  // namespace lanner::kernels
