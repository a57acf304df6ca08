// Products of matrices of 8-bit integers for kernels of this folder: packed sides and the loop over their tiles. What
// cells, panels and flipped bits are: integer_product_loops.h.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/parallel.h"
#include "kernels/integer_product_loops.h"
#include "kernels/kernel.h"

namespace lanner::kernels {

// The bits to flip in elements of the type, int8 or uint8, on each side.
inline std::uint8_t left_flip(ElementType type) {
  return type == ElementType::kUint8 ? 0x80 : 0;
}
inline std::uint8_t right_flip(ElementType type) {
  return type == ElementType::kInt8 ? 0x80 : 0;
}

// Rows of the left side, packed, with the sum of each.
class PackedLeft {
 public:
  // `data` is dense.
  PackedLeft(int threads, Allocator& allocator, const std::uint8_t* data, std::int64_t rows, std::int64_t depth,
             std::uint8_t flip);

  const IntegerProductLoops& loops() const { return *loops_; }
  std::int64_t depth() const { return depth_; }
  std::int64_t row_cells() const { return row_cells_; }
  const std::uint32_t* row(std::int64_t row) const { return cells_.data<std::uint32_t>() + row * row_cells_; }
  std::uint32_t sum(std::int64_t row) const { return sums_.data<std::uint32_t>()[row]; }

 private:
  const IntegerProductLoops* loops_;
  std::int64_t depth_;
  std::int64_t row_cells_;
  Tensor cells_;
  Tensor sums_;
};

// Matrices of the right side, packed, with the sum of each column.
class PackedRight {
 public:
  // `data` is dense: matrices, rows along the depth, columns.
  PackedRight(int threads, Allocator& allocator, const std::uint8_t* data, std::int64_t matrices, std::int64_t depth,
              std::int64_t columns, std::uint8_t flip);

  // `column` is the first of a panel.
  const std::uint32_t* panel(std::int64_t matrix, std::int64_t column) const {
    return cells_.data<std::uint32_t>() + matrix * matrix_cells_ + column * column_cells_;
  }
  const std::uint32_t* sums(std::int64_t matrix) const { return sums_.data<std::uint32_t>() + matrix * columns_; }

 private:
  std::int64_t columns_;
  std::int64_t column_cells_;
  std::int64_t matrix_cells_;
  Tensor cells_;
  Tensor sums_;
};

// Cells of a panel of so many columns are this far apart.
inline std::int64_t panel_pitch(const IntegerProductLoops& loops, std::int64_t columns) {
  return (columns + loops.lanes - 1) / loops.lanes * loops.lanes;
}

// A row of ones, of which a product makes the sums of columns.
PackedLeft row_of_ones(Allocator& allocator, std::int64_t depth);

// `count` products of `rows` rows of the left side, from first_row(product) on, with `columns` columns.
//
// A reader is made for each thread: reader(product, column, count) returns a panel. finish(product, row, column, count,
// sums, column_sums) gets the sums of `count` columns of a row, which it may change; `column_sums` are those of the
// right side, or null without `sums_columns`.
template <typename FirstRow, typename MakeReader, typename Finish>
void multiply_tiles(KernelContext& context, const PackedLeft& left, std::int64_t count, std::int64_t rows,
                    std::int64_t columns, bool sums_columns, FirstRow&& first_row, MakeReader&& make_reader,
                    Finish&& finish) {
  constexpr std::int64_t kRowBlock = 24;
  const IntegerProductLoops& loops = left.loops();
  const std::int64_t panels = (columns + loops.panel_columns - 1) / loops.panel_columns;
  if (count * panels == 0 || rows == 0) return;
  // Rows are split where there are fewer panels than threads need; then each thread reads a panel for itself.
  const std::int64_t wanted =
      context.threads() == 1 ? 1 : (4 * context.threads() + count * panels - 1) / (count * panels);
  const std::int64_t parts = std::min(wanted, (rows + kRowBlock - 1) / kRowBlock);
  const PackedLeft ones = row_of_ones(context.allocator(), sums_columns ? left.depth() : 0);
  base::parallel_for(context.threads(), count * panels * parts, 1, [&](std::int64_t begin, std::int64_t end) {
    auto reader = make_reader();
    std::vector<std::int32_t> sums(static_cast<std::size_t>((kRowBlock + 1) * loops.panel_columns));
    std::int32_t* const column_sums = sums.data() + kRowBlock * loops.panel_columns;
    const std::uint32_t* panel = nullptr;
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t product = item / parts / panels;
      const std::int64_t column = item / parts % panels * loops.panel_columns;
      const std::int64_t width = std::min(loops.panel_columns, columns - column);
      if (item == begin || item % parts == 0) {
        panel = reader(product, column, width);
        if (sums_columns) loops.multiply(1, width, left.row_cells(), ones.row(0), panel, column_sums);
      }
      const std::int64_t last = rows * (item % parts + 1) / parts;
      for (std::int64_t row = rows * (item % parts) / parts; row < last; row += kRowBlock) {
        const std::int64_t height = std::min(kRowBlock, last - row);
        loops.multiply(height, width, left.row_cells(), left.row(first_row(product) + row), panel, sums.data());
        for (std::int64_t i = 0; i < height; ++i) {
          finish(product, row + i, column, width, sums.data() + i * loops.panel_columns,
                 sums_columns ? reinterpret_cast<const std::uint32_t*>(column_sums) : nullptr);
        }
      }
    }
  });
}

// Reads panels of matrices whose rows, along the depth, are dense.
class RowReader {
 public:
  RowReader(const IntegerProductLoops& loops, Allocator& allocator, std::int64_t depth, std::uint8_t flip);
  // Columns [column, column + count) of the matrix at `data`, whose rows are `stride` apart.
  const std::uint32_t* read(const std::uint8_t* data, std::int64_t stride, std::int64_t column, std::int64_t count);

 private:
  const IntegerProductLoops& loops_;
  std::uint8_t flip_;
  std::vector<const std::uint8_t*> rows_;
  const std::uint8_t* data_ = nullptr;
  Tensor panel_;
};

}  // namespace lanner::kernels
