// Matrix products for kernels of this folder: the portable, blocked form behind MatMul, Gemm and 1x1 convolutions.
#pragma once

#include <cstdint>

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

}  // namespace lanner::kernels
