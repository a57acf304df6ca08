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

// The product of `rows` rows of the left side with `columns` columns, `count` times.
struct ProductSizes {
  std::int64_t count;
  std::int64_t rows;
  std::int64_t columns;
};

// Product i takes rows of the left side from first_row(i) on. A panel of the right side is panel(i, column) where that
// is not null. Otherwise pack(i, column, width, first, last, to) packs elements [first, last) along the depth, whole
// cells, of a reader that make_reader() makes for a thread.
//
// finish(i, row, column, width, sums, column_sums) gets the sums of a panel's columns of a row, which it may change;
// `column_sums` are those of the right side, or null without `sums_columns`.
template <typename FirstRow, typename Panel, typename MakeReader, typename Finish>
void multiply_tiles(KernelContext& context, const PackedLeft& left, const ProductSizes& sizes, bool sums_columns,
                    FirstRow&& first_row, Panel&& panel_of, MakeReader&& make_reader, Finish&& finish) {
  constexpr std::int64_t kRowBlock = 24;
  // Products that take less than waking a thread are one thread's.
  constexpr double kSmallProduct = 1 << 21;
  const IntegerProductLoops& loops = left.loops();
  const double work = static_cast<double>(sizes.count) * static_cast<double>(sizes.rows) *
                      static_cast<double>(sizes.columns) * static_cast<double>(left.depth() + 16);
  const int threads = work < kSmallProduct ? 1 : context.threads();
  const std::int64_t in_row = (sizes.columns + loops.panel_columns - 1) / loops.panel_columns;
  const std::int64_t panels = sizes.count * in_row;
  if (panels == 0 || sizes.rows == 0) return;
  const auto product_of = [=](std::int64_t panel) { return panel / in_row; };
  const auto column_of = [=, &loops](std::int64_t panel) { return panel % in_row * loops.panel_columns; };
  const auto width_of = [=, &loops, &sizes](std::int64_t column) {
    return std::min(loops.panel_columns, sizes.columns - column);
  };
  const std::int64_t panel_cells = left.row_cells() * loops.panel_columns;
  // With fewer panels than threads need, their rows are split, and the threads pack all panels before.
  const bool splits = threads > 1 && panels < 4 * threads;
  const std::int64_t parts =
      splits ? std::min((4 * threads + panels - 1) / panels, (sizes.rows + kRowBlock - 1) / kRowBlock) : 1;
  Tensor packed;
  if (splits && panel_of(0, 0) == nullptr) {
    packed = Tensor::allocate(ElementType::kUint32, {panels * panel_cells}, context.allocator());
    const std::int64_t depth_parts = (4 * threads + panels - 1) / panels;
    const std::int64_t step = std::max<std::int64_t>((left.depth() / depth_parts + 63) / 64 * 64, 64);
    const std::int64_t steps = (left.depth() + step - 1) / step;
    base::parallel_for(threads, panels * steps, 1, [&](std::int64_t begin, std::int64_t end) {
      auto pack = make_reader();
      for (std::int64_t item = begin; item < end; ++item) {
        const std::int64_t column = column_of(item / steps);
        const std::int64_t first = item % steps * step;
        pack(product_of(item / steps), column, width_of(column), first, std::min(first + step, left.depth()),
             packed.data<std::uint32_t>() + item / steps * panel_cells +
                 first / loops.cell_depth * panel_pitch(loops, width_of(column)));
      }
    });
  }
  const PackedLeft ones = row_of_ones(context.allocator(), sums_columns ? left.depth() : 0);
  base::parallel_for(threads, panels * parts, 1, [&](std::int64_t begin, std::int64_t end) {
    auto pack = make_reader();
    Tensor own;
    std::vector<std::int32_t> sums(static_cast<std::size_t>((kRowBlock + 1) * loops.panel_columns));
    std::int32_t* const column_sums = sums.data() + kRowBlock * loops.panel_columns;
    const std::uint32_t* panel = nullptr;
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t product = product_of(item / parts);
      const std::int64_t column = column_of(item / parts);
      const std::int64_t width = width_of(column);
      if (item == begin || item % parts == 0) {
        panel =
            packed.defined() ? packed.data<std::uint32_t>() + item / parts * panel_cells : panel_of(product, column);
        if (panel == nullptr) {
          if (!own.defined()) own = Tensor::allocate(ElementType::kUint32, {panel_cells}, context.allocator());
          pack(product, column, width, 0, left.depth(), own.data<std::uint32_t>());
          panel = own.data<std::uint32_t>();
        }
        if (sums_columns) loops.multiply(1, width, left.row_cells(), ones.row(0), panel, column_sums);
      }
      const std::int64_t last = sizes.rows * (item % parts + 1) / parts;
      for (std::int64_t row = sizes.rows * (item % parts) / parts; row < last; row += kRowBlock) {
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

// Packs matrices whose rows, along the depth, are dense.
class RowReader {
 public:
  RowReader(const IntegerProductLoops& loops, std::int64_t depth, std::uint8_t flip);
  // Of the matrix at `data`, whose rows are `stride` apart: columns [column, column + width), elements [first, last)
  // along the depth.
  void pack(const std::uint8_t* data, std::int64_t stride, std::int64_t column, std::int64_t width, std::int64_t first,
            std::int64_t last, std::uint32_t* to);

 private:
  const IntegerProductLoops& loops_;
  std::uint8_t flip_;
  std::int64_t depth_;
  std::vector<const std::uint8_t*> rows_;
  const std::uint8_t* data_ = nullptr;
};

}  // namespace lanner::kernels
