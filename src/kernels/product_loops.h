// The innermost loops of products with a matrix that is used again and again, per instruction set: the keys and values
// of Attention, and its Softmax. Products and sums are fused where the CPU can, so the last bits depend on the
// instruction set; elements are summed in an order that depends on the sizes alone.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/gemm.h"
#include "kernels/loops_of_cpu.h"

namespace lanner::kernels {

// A packed matrix is made of panels of so many columns, row by row; the last is filled up with zeros.
inline constexpr std::int64_t kPanelColumns = 16;
// With fewer rows on the left, packing the right matrix for one product does not pay.
inline constexpr std::int64_t kProductRows = 12;

struct ProductLoops {
  // y = a * b, or y + a * b with `adds`. a has `rows` rows of `a_stride` elements, of which `depth` count.
  // Panel j of b starts at b + j * panel_stride.
  void (*multiply)(std::int64_t rows, std::int64_t columns, std::int64_t depth, const float* a, std::int64_t a_stride,
                   const float* b, std::int64_t panel_stride, bool adds, float* y, std::int64_t y_stride);
  // Each of `count` elements x becomes exp(x - the largest), 0 where that is below exp(-87). Returns their sum, NaN
  // where one of x is NaN or infinity, or all are minus infinity.
  float (*exponentiate)(std::int64_t count, float* x);
};

LoopsOfCpu<ProductLoops>& product_loops_of_cpu();

// A matrix of `rows` x `columns`, packed.
class PackedMatrix {
 public:
  void pack(std::int64_t rows, std::int64_t columns, Matrix<float> from);
  // y = a * this, of its rows [first_row, first_row + depth) and its columns from `first_column`, a whole number of
  // panels, on.
  void multiply(std::int64_t rows, std::int64_t columns, std::int64_t depth, const float* a, std::int64_t a_stride,
                std::int64_t first_row, std::int64_t first_column, float* y, std::int64_t y_stride) const;

 private:
  std::int64_t rows_ = 0;
  std::vector<float> panels_;
};

}  // namespace lanner::kernels
