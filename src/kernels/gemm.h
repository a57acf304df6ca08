// Matrix products for kernels of this folder: the portable, blocked form behind MatMul, Gemm and 1x1 convolutions.
#pragma once

#include <cstdint>

#include "lanner/tensor.h"

namespace lanner::kernels {

// A read-only matrix with any strides (in elements), so that a transpose costs nothing to describe.
template <typename T>
struct Matrix {
  const T* data;
  std::int64_t row_stride;
  std::int64_t column_stride;
};

// y = a * b for a of m x k and b of k x n; y has rows of `y_stride` elements. T is float, double, or std::uint32_t or
// std::uint64_t (which also serve the signed types: products wrap). Every element is summed in an order that depends on
// the sizes alone, not on `threads`.
template <typename T>
void multiply(int threads, std::int64_t m, std::int64_t n, std::int64_t k, Matrix<T> a, Matrix<T> b, T* y,
              std::int64_t y_stride);

// NumPy's matmul: matrices with leading dimensions that broadcast. A 1-D operand is a row (left) or a column (right),
// whose dimension is dropped again.
struct MatMulPlan {
  std::int64_t m;
  std::int64_t n;
  std::int64_t k;
  Shape a_batch;
  Shape b_batch;
  Shape batch;
  Shape shape;  // of the result
};

// Throws `op.rank`, `op.shape` for operands that cannot be multiplied.
MatMulPlan plan_matmul(const Shape& a, const Shape& b);

// The plan's product of dense arrays. T is as above.
template <typename T>
void multiply(int threads, const MatMulPlan& plan, const T* a, const T* b, T* y);

}  // namespace lanner::kernels
