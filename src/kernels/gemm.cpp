// MatMul and Gemm: matrix products of float32, float64 and 32- and 64-bit integers (which wrap).
//
// Large products run blocked: a block of each operand is copied into panels that the innermost kernel reads in order,
// and that kernel holds a small tile of the result in registers. Small and thin products skip the copies.
#include "kernels/gemm.h"

#include <algorithm>
#include <array>
#include <memory>
#include <type_traits>

#include "base/fail.h"
#include "base/multiversion.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/convert.h"
#include "kernels/kernel.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

// Rows, columns and depth of a block; rows and columns of the register tile.
constexpr std::int64_t kTileRows = 6;
template <typename T>
constexpr std::int64_t kTileColumns = 64 / static_cast<std::int64_t>(sizeof(T));
constexpr std::int64_t kBlockRows = 12 * kTileRows;
constexpr std::int64_t kBlockColumns = 128;
constexpr std::int64_t kBlockDepth = 256;

std::int64_t grain_for(std::int64_t work_per_item) {
  return std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(work_per_item, 1));
}

// Copies rows x depth elements into panels of `Width` rows, each stored depth by depth; the last panel is filled up
// with zeros.
template <std::int64_t Width, typename T>
void pack(const T* from, std::int64_t row_stride, std::int64_t depth_stride, std::int64_t rows, std::int64_t depth,
          T* to) {
  for (std::int64_t first = 0; first < rows; first += Width) {
    const std::int64_t width = std::min(Width, rows - first);
    const T* source = from + first * row_stride;
    if (width == Width && row_stride == 1) {
      for (std::int64_t d = 0; d < depth; ++d) std::copy_n(source + d * depth_stride, Width, to + d * Width);
    } else {
      for (std::int64_t d = 0; d < depth; ++d) {
        for (std::int64_t i = 0; i < Width; ++i) {
          to[d * Width + i] = i < width ? source[i * row_stride + d * depth_stride] : T{};
        }
      }
    }
    to += Width * depth;
  }
}

// A block of the result, of packed panels of a and b: set to their product, or with that added to it. The sums of a
// tile stay in registers.
template <typename T>
[[gnu::always_inline]] inline void multiply_panels(std::int64_t rows, std::int64_t columns, std::int64_t depth,
                                                   const T* a_panels, const T* b_panels, bool adds, T* y,
                                                   std::int64_t y_stride) {
  constexpr std::int64_t kColumns = kTileColumns<T>;
  for (std::int64_t j = 0; j < columns; j += kColumns) {
    for (std::int64_t i = 0; i < rows; i += kTileRows) {
      const T* a = a_panels + i * depth;
      const T* b = b_panels + j * depth;
      T sums[kTileRows][kColumns] = {};
      for (std::int64_t d = 0; d < depth; ++d) {
#pragma GCC unroll 8
        for (std::int64_t r = 0; r < kTileRows; ++r) {
          for (std::int64_t c = 0; c < kColumns; ++c) sums[r][c] += a[r] * b[c];
        }
        a += kTileRows;
        b += kColumns;
      }
      T* out = y + i * y_stride + j;
      const std::int64_t width = std::min(kColumns, columns - j);
      for (std::int64_t r = 0; r < std::min(kTileRows, rows - i); ++r, out += y_stride) {
        for (std::int64_t c = 0; c < width; ++c) out[c] = adds ? out[c] + sums[r][c] : sums[r][c];
      }
    }
  }
}

LANNER_MULTIVERSION void multiply_float_panels(std::int64_t rows, std::int64_t columns, std::int64_t depth,
                                               const float* a, const float* b, bool adds, float* y,
                                               std::int64_t y_stride) {
  multiply_panels(rows, columns, depth, a, b, adds, y, y_stride);
}

LANNER_MULTIVERSION void multiply_uint32_panels(std::int64_t rows, std::int64_t columns, std::int64_t depth,
                                                const std::uint32_t* a, const std::uint32_t* b, bool adds,
                                                std::uint32_t* y, std::int64_t y_stride) {
  multiply_panels(rows, columns, depth, a, b, adds, y, y_stride);
}

template <typename T>
void multiply_blocked(int threads, std::int64_t m, std::int64_t n, std::int64_t k, Matrix<T> a, Matrix<T> b, T* y,
                      std::int64_t y_stride) {
  constexpr std::int64_t kColumns = kTileColumns<T>;
  const std::int64_t row_blocks = (m + kBlockRows - 1) / kBlockRows;
  const std::int64_t column_blocks = (n + kBlockColumns - 1) / kBlockColumns;
  base::parallel_for(threads, row_blocks * column_blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    const auto panels = std::make_unique_for_overwrite<T[]>((kBlockRows + kBlockColumns) * kBlockDepth);
    T* const a_panels = panels.get();
    T* const b_panels = a_panels + kBlockRows * kBlockDepth;
    for (std::int64_t block = begin; block < end; ++block) {
      const std::int64_t row = block % row_blocks * kBlockRows;
      const std::int64_t column = block / row_blocks * kBlockColumns;
      const std::int64_t rows = std::min(kBlockRows, m - row);
      const std::int64_t columns = std::min(kBlockColumns, n - column);
      for (std::int64_t first = 0; first < k; first += kBlockDepth) {
        const std::int64_t depth = std::min(kBlockDepth, k - first);
        pack<kTileRows>(a.data + row * a.row_stride + first * a.column_stride, a.row_stride, a.column_stride, rows,
                        depth, a_panels);
        pack<kColumns>(b.data + column * b.column_stride + first * b.row_stride, b.column_stride, b.row_stride, columns,
                       depth, b_panels);
        T* const out = y + row * y_stride + column;
        if constexpr (std::is_same_v<T, float>) {
          multiply_float_panels(rows, columns, depth, a_panels, b_panels, first != 0, out, y_stride);
        } else if constexpr (std::is_same_v<T, std::uint32_t>) {
          multiply_uint32_panels(rows, columns, depth, a_panels, b_panels, first != 0, out, y_stride);
        } else {
          multiply_panels(rows, columns, depth, a_panels, b_panels, first != 0, out, y_stride);
        }
      }
    }
  });
}

// Each element as a dot product of contiguous vectors, in many partial sums.
template <typename T>
void multiply_dots(int threads, std::int64_t m, std::int64_t n, std::int64_t k, Matrix<T> a, Matrix<T> b, T* y,
                   std::int64_t y_stride) {
  constexpr std::int64_t kSums = 16;
  base::parallel_for(threads, m * n, grain_for(k), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t item = begin; item < end; ++item) {
      const T* left = a.data + item / n * a.row_stride;
      const T* right = b.data + item % n * b.column_stride;
      T sums[kSums] = {};
      std::int64_t d = 0;
      for (; d + kSums <= k; d += kSums) {
        for (std::int64_t i = 0; i < kSums; ++i) sums[i] += left[d + i] * right[d + i];
      }
      for (std::int64_t i = 0; d < k; ++d, ++i) sums[i] += left[d] * right[d];
      for (std::int64_t width = kSums / 2; width > 0; width /= 2) {
        for (std::int64_t i = 0; i < width; ++i) sums[i] += sums[i + width];
      }
      y[item / n * y_stride + item % n] = sums[0];
    }
  });
}

// Each row of the result as a sum of b's rows, a stretch of columns at a time.
template <typename T>
void multiply_rows(int threads, std::int64_t m, std::int64_t n, std::int64_t k, Matrix<T> a, Matrix<T> b, T* y,
                   std::int64_t y_stride) {
  constexpr std::int64_t kStretch = 256;
  const std::int64_t stretches = (n + kStretch - 1) / kStretch;
  const std::int64_t grain = grain_for(k * std::min(n, kStretch));
  base::parallel_for(threads, m * stretches, grain, [=](std::int64_t begin, std::int64_t end) {
    T part[kStretch];
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t row = item / stretches;
      const std::int64_t column = item % stretches * kStretch;
      const std::int64_t columns = std::min(kStretch, n - column);
      T* out = y + row * y_stride + column;
      std::fill_n(out, columns, T{});
      for (std::int64_t first = 0; first < k; first += kBlockDepth) {
        std::fill_n(part, columns, T{});
        for (std::int64_t d = first; d < std::min(first + kBlockDepth, k); ++d) {
          const T factor = a.data[row * a.row_stride + d * a.column_stride];
          const T* source = b.data + d * b.row_stride + column * b.column_stride;
          if (b.column_stride == 1) {
            for (std::int64_t j = 0; j < columns; ++j) part[j] += factor * source[j];
          } else {
            for (std::int64_t j = 0; j < columns; ++j) part[j] += factor * source[j * b.column_stride];
          }
        }
        for (std::int64_t j = 0; j < columns; ++j) out[j] += part[j];
      }
    }
  });
}

}  // namespace

template <typename T>
void multiply(int threads, std::int64_t m, std::int64_t n, std::int64_t k, Matrix<T> a, Matrix<T> b, T* y,
              std::int64_t y_stride) {
  if (m == 0 || n == 0) return;
  const bool small = m < kTileRows || m * n <= 256 || k * std::min(m * n, kElementGrain) <= kElementGrain;
  if (a.column_stride == 1 && b.row_stride == 1 && (small || n < kTileColumns<T>)) {
    multiply_dots(threads, m, n, k, a, b, y, y_stride);
  } else if (small) {
    multiply_rows(threads, m, n, k, a, b, y, y_stride);
  } else {
    multiply_blocked(threads, m, n, k, a, b, y, y_stride);
  }
}

template void multiply(int, std::int64_t, std::int64_t, std::int64_t, Matrix<float>, Matrix<float>, float*,
                       std::int64_t);
template void multiply(int, std::int64_t, std::int64_t, std::int64_t, Matrix<double>, Matrix<double>, double*,
                       std::int64_t);
template void multiply(int, std::int64_t, std::int64_t, std::int64_t, Matrix<std::uint32_t>, Matrix<std::uint32_t>,
                       std::uint32_t*, std::int64_t);
template void multiply(int, std::int64_t, std::int64_t, std::int64_t, Matrix<std::uint64_t>, Matrix<std::uint64_t>,
                       std::uint64_t*, std::int64_t);

MatMulPlan plan_matmul(const Shape& a, const Shape& b) {
  if (a.rank() == 0 || b.rank() == 0) base::invalid("op.rank", "a matrix product takes no scalars");
  MatMulPlan plan;
  plan.m = a.rank() == 1 ? 1 : a[a.rank() - 2];
  plan.k = a[a.rank() - 1];
  const std::int64_t b_rows = b[std::max(b.rank() - 2, 0)];
  plan.n = b.rank() == 1 ? 1 : b[b.rank() - 1];
  if (plan.k != b_rows) {
    base::invalid("op.shape", "cannot multiply {} by {}: {} columns against {} rows", a.to_string(), b.to_string(),
                  plan.k, b_rows);
  }
  plan.a_batch = Shape(a.dims().first(static_cast<std::size_t>(std::max(a.rank() - 2, 0))));
  plan.b_batch = Shape(b.dims().first(static_cast<std::size_t>(std::max(b.rank() - 2, 0))));
  plan.batch = broadcast_shape(plan.a_batch, plan.b_batch);
  plan.shape = plan.batch;
  if (a.rank() > 1) plan.shape.push_back(plan.m);
  if (b.rank() > 1) plan.shape.push_back(plan.n);
  return plan;
}

template <typename T>
void multiply(int threads, const MatMulPlan& plan, const T* a, const T* b, T* y) {
  const auto [m, n, k] = std::array{plan.m, plan.n, plan.k};
  if (plan.shape.element_count() == 0) return;
  const std::int64_t batch_count = plan.batch.element_count();
  if (plan.b_batch.element_count() == 1) {  // all of a's matrices times one: a single tall product
    multiply<T>(threads, batch_count * m, n, k, {a, k, 1}, {b, n, 1}, y, n);
    return;
  }
  const BroadcastPlan loop = plan_broadcast(plan.batch, {&plan.a_batch, &plan.b_batch});
  const std::int64_t grain =
      std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(m * n, 1) / std::max<std::int64_t>(k, 1));
  base::parallel_for(threads, batch_count, grain, [&, m = m, n = n, k = k](std::int64_t begin, std::int64_t end) {
    for_each_row<2>(
        loop, begin, end, [&](std::int64_t out, const std::array<std::int64_t, 2>& offsets, std::int64_t count) {
          for (std::int64_t i = 0; i < count; ++i) {
            multiply<T>(1, m, n, k, {a + (offsets[0] + i * loop.strides[0][0]) * m * k, k, 1},
                        {b + (offsets[1] + i * loop.strides[1][0]) * k * n, n, 1}, y + (out + i) * m * n, n);
          }
        });
  });
}

template void multiply(int, const MatMulPlan&, const float*, const float*, float*);
template void multiply(int, const MatMulPlan&, const double*, const double*, double*);
template void multiply(int, const MatMulPlan&, const std::uint32_t*, const std::uint32_t*, std::uint32_t*);
template void multiply(int, const MatMulPlan&, const std::uint64_t*, const std::uint64_t*, std::uint64_t*);

namespace {

using ProductTypes = tensor::TypeList<float, double, std::int32_t, std::int64_t, std::uint32_t, std::uint64_t>;

// The type to multiply T in: integers wrap, which only unsigned types may.
template <typename T, bool = std::is_integral_v<T>>
struct Wrapping {
  using Type = T;
};
template <typename T>
struct Wrapping<T, true> {
  using Type = std::make_unsigned_t<T>;
};
template <typename T>
using WrappingType = typename Wrapping<T>::Type;

void check_same_type(const Tensor& a, const Tensor& b) {
  if (a.element_type() == b.element_type()) return;
  base::invalid("op.type", "both operands must have one element type, but they have {} and {}",
                element_type_name(a.element_type()), element_type_name(b.element_type()));
}

void run_matmul(KernelContext& context) {
  const Tensor& a = context.input(0);
  const Tensor& b = context.input(1);
  check_same_type(a, b);
  const MatMulPlan plan = plan_matmul(a.shape(), b.shape());
  Tensor& y = context.allocate_output(0, a.element_type(), plan.shape);
  tensor::dispatch(ProductTypes{}, a.element_type(), "MatMul", [&]<typename T>() {
    using W = WrappingType<T>;
    multiply(context.threads(), plan, static_cast<const W*>(a.raw_data()), static_cast<const W*>(b.raw_data()),
             static_cast<W*>(y.raw_data()));
  });
}

// factor * value in T, rounded towards zero and saturated for integers.
template <typename T>
T scale(float factor, T value) {
  if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(factor) * value;
  } else {
    if (factor == 1.0f) return value;
    return convert<T>(static_cast<double>(factor) * static_cast<double>(value));
  }
}

// y = alpha * y + beta * c; c repeats along dimensions of stride 0.
template <typename T>
void add_scaled(int threads, std::int64_t m, std::int64_t n, float alpha, T* y, float beta, const T* c,
                std::int64_t row_stride, std::int64_t column_stride) {
  using W = WrappingType<T>;
  base::parallel_for(threads, m, grain_for(n), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      T* row = y + i * n;
      if (alpha != 1.0f) {
        for (std::int64_t j = 0; j < n; ++j) row[j] = scale(alpha, row[j]);
      }
      if (c == nullptr) continue;
      const T* addend = c + i * row_stride;
      for (std::int64_t j = 0; j < n; ++j) {
        row[j] = static_cast<T>(static_cast<W>(row[j]) + static_cast<W>(scale(beta, addend[j * column_stride])));
      }
    }
  });
}

}  // namespace

std::unique_ptr<Kernel> make_MatMul(const KernelInfo&) {
  return make_kernel(run_matmul);
}

std::unique_ptr<Kernel> make_Gemm(const KernelInfo& info) {
  const float alpha = info.attributes.get_float("alpha", 1.0f);
  const float beta = info.attributes.get_float("beta", 1.0f);
  const bool a_transposed = info.attributes.get_int("transA", 0) != 0;
  const bool b_transposed = info.attributes.get_int("transB", 0) != 0;
  return make_kernel([=](KernelContext& context) {
    const Tensor& a = context.input(0);
    const Tensor& b = context.input(1);
    const Tensor* c = context.optional_input(2);
    check_same_type(a, b);
    if (c != nullptr) check_same_type(a, *c);
    if (a.rank() != 2 || b.rank() != 2) {
      base::invalid("op.rank", "inputs 'A' and 'B' must be matrices, but have shapes {} and {}", a.shape().to_string(),
                    b.shape().to_string());
    }
    const std::int64_t m = a.shape()[a_transposed ? 1 : 0];
    const std::int64_t k = a.shape()[a_transposed ? 0 : 1];
    const std::int64_t n = b.shape()[b_transposed ? 0 : 1];
    if (k != b.shape()[b_transposed ? 1 : 0]) {
      base::invalid("op.shape", "cannot multiply A of {}{} by B of {}{}", a.shape().to_string(),
                    a_transposed ? " transposed" : "", b.shape().to_string(), b_transposed ? " transposed" : "");
    }
    std::int64_t c_row_stride = 0;
    std::int64_t c_column_stride = 0;
    if (c != nullptr) {
      const Shape& shape = c->shape();
      const std::int64_t columns = shape.rank() >= 1 ? shape[shape.rank() - 1] : 1;
      const std::int64_t rows = shape.rank() >= 2 ? shape[shape.rank() - 2] : 1;
      if (shape.rank() > 2 || (columns != 1 && columns != n) || (rows != 1 && rows != m)) {
        base::invalid("op.shape", "input 'C' of shape {} does not broadcast to [{},{}]", shape.to_string(), m, n);
      }
      c_row_stride = rows == 1 ? 0 : columns;
      c_column_stride = columns == 1 ? 0 : 1;
    }
    Tensor& y = context.allocate_output(0, a.element_type(), {m, n});
    if (y.element_count() == 0) return;
    tensor::dispatch(ProductTypes{}, a.element_type(), "Gemm", [&]<typename T>() {
      using W = WrappingType<T>;
      const auto* a_data = static_cast<const W*>(a.raw_data());
      const auto* b_data = static_cast<const W*>(b.raw_data());
      const Matrix<W> left = a_transposed ? Matrix<W>{a_data, 1, m} : Matrix<W>{a_data, k, 1};
      const Matrix<W> right = b_transposed ? Matrix<W>{b_data, 1, k} : Matrix<W>{b_data, n, 1};
      multiply<W>(context.threads(), m, n, k, left, right, static_cast<W*>(y.raw_data()), n);
      if (alpha != 1.0f || (c != nullptr && beta != 0.0f)) {
        add_scaled(context.threads(), m, n, alpha, y.data<T>(), beta,
                   c != nullptr && beta != 0.0f ? c->data<T>() : nullptr, c_row_stride, c_column_stride);
      }
    });
  });
}

}  // namespace lanner::kernels
