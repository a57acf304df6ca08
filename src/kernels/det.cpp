// Det: determinants of square matrices, by elimination with the largest pivot of each column, in float64.
#include <algorithm>
#include <cmath>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/kernel.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

// Of an n x n matrix, which is overwritten.
double determinant(std::vector<double>& matrix, std::size_t n) {
  double product = 1;
  for (std::size_t column = 0; column < n; ++column) {
    double* const top = matrix.data() + column * n;
    std::size_t pivot = column;
    for (std::size_t row = column + 1; row < n; ++row) {
      if (std::fabs(matrix[row * n + column]) > std::fabs(matrix[pivot * n + column])) pivot = row;
    }
    double* const best = matrix.data() + pivot * n;
    if (best[column] == 0) return 0;
    if (pivot != column) {
      std::swap_ranges(top, top + n, best);
      product = -product;
    }
    product *= top[column];
    for (std::size_t row = column + 1; row < n; ++row) {
      double* const line = matrix.data() + row * n;
      const double factor = line[column] / top[column];
      for (std::size_t i = column + 1; i < n; ++i) line[i] -= factor * top[i];
    }
  }
  return product;
}

void run_det(KernelContext& context) {
  const Tensor& x = context.input(0);
  const Shape& shape = x.shape();
  const int rank = shape.rank();
  if (rank < 2 || shape[rank - 1] != shape[rank - 2]) {
    base::invalid("op.shape", "Det needs square matrices, but has shape {}", shape.to_string());
  }
  const std::int64_t size = shape[rank - 1];
  tensor::dispatch(tensor::FloatTypes{}, x.element_type(), "Det", [&]<typename T>() {
    Tensor& y =
        context.allocate_output(0, x.element_type(), Shape(shape.dims().first(static_cast<std::size_t>(rank - 2))));
    const T* from = x.data<T>();
    T* to = y.data<T>();
    const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(size * size, 1));
    base::parallel_for(context.threads(), y.element_count(), grain, [=](std::int64_t begin, std::int64_t end) {
      std::vector<double> matrix;
      for (std::int64_t i = begin; i < end; ++i) {
        matrix.assign(from + i * size * size, from + (i + 1) * size * size);
        to[i] = static_cast<T>(determinant(matrix, static_cast<std::size_t>(size)));
      }
    });
  });
}

}  // namespace

std::unique_ptr<Kernel> make_Det(const KernelInfo&) {
  return make_kernel(run_det);
}

}  // namespace lanner::kernels
