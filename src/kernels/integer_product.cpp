#include "kernels/integer_product.h"

#include "kernels/broadcast.h"

namespace lanner::kernels {

namespace {

Tensor words(Allocator& allocator, std::int64_t count) {
  return Tensor::allocate(ElementType::kUint32, {count}, allocator);
}

}  // namespace

PackedLeft::PackedLeft(int threads, Allocator& allocator, const std::uint8_t* data, std::int64_t rows,
                       std::int64_t depth, std::uint8_t flip)
    : loops_(&integer_product_loops_of_cpu().get()),
      depth_(depth),
      row_cells_((depth + loops_->cell_depth - 1) / loops_->cell_depth),
      cells_(words(allocator, rows * row_cells_)),
      sums_(words(allocator, rows)) {
  const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(depth, 1));
  base::parallel_for(threads, rows, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      sums_.data<std::uint32_t>()[row] =
          loops_->pack_left(data + row * depth, depth, flip, cells_.data<std::uint32_t>() + row * row_cells_);
    }
  });
}

PackedLeft row_of_ones(Allocator& allocator, std::int64_t depth) {
  const std::vector<std::uint8_t> ones(static_cast<std::size_t>(depth), 1);
  return {1, allocator, ones.data(), 1, depth, 0};
}

PackedRight::PackedRight(int threads, Allocator& allocator, const std::uint8_t* data, std::int64_t matrices,
                         std::int64_t depth, std::int64_t columns, std::uint8_t flip)
    : columns_(columns) {
  const PackedLeft ones = row_of_ones(allocator, depth);
  const IntegerProductLoops& loops = ones.loops();
  column_cells_ = ones.row_cells();
  matrix_cells_ = column_cells_ * panel_pitch(loops, columns);
  cells_ = words(allocator, matrices * matrix_cells_);
  sums_ = words(allocator, matrices * columns);
  const std::int64_t panels = (columns + loops.panel_columns - 1) / loops.panel_columns;
  base::parallel_for(threads, matrices * panels, 1, [&](std::int64_t begin, std::int64_t end) {
    RowReader reader(loops, depth, flip);
    std::vector<std::int32_t> sums(static_cast<std::size_t>(loops.panel_columns));
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t matrix = item / panels;
      const std::int64_t column = item % panels * loops.panel_columns;
      const std::int64_t width = std::min(loops.panel_columns, columns - column);
      auto* const to = cells_.data<std::uint32_t>() + matrix * matrix_cells_ + column * column_cells_;
      reader.pack(data + matrix * depth * columns, columns, column, width, 0, depth, to);
      loops.multiply(1, width, column_cells_, ones.row(0), to, sums.data());
      std::copy_n(sums.data(), width, sums_.data<std::uint32_t>() + matrix * columns + column);
    }
  });
}

RowReader::RowReader(const IntegerProductLoops& loops, std::int64_t depth, std::uint8_t flip)
    : loops_(loops),
      flip_(flip),
      depth_(depth),
      rows_(static_cast<std::size_t>((depth + loops.cell_depth - 1) / loops.cell_depth * loops.cell_depth)) {}

void RowReader::pack(const std::uint8_t* data, std::int64_t stride, std::int64_t column, std::int64_t width,
                     std::int64_t first, std::int64_t last, std::uint32_t* to) {
  if (data_ != data) {
    data_ = data;
    // Those that fill the last cell may hold anything.
    std::ranges::fill(rows_, data);
    for (std::int64_t i = 0; i < depth_; ++i) rows_[static_cast<std::size_t>(i)] = data + i * stride;
  }
  loops_.pack_right(rows_.data() + first, last - first, column, width, flip_, to);
}

}  // namespace lanner::kernels
