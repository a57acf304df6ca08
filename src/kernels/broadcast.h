// ONNX's multidirectional (NumPy-style) broadcasting for element-wise operators: the output's shape, a plan of the loop
// over it, and the loops themselves for one, two and three inputs. A plan drops dimensions of 1 and merges neighbours
// that all inputs walk alike, so that equal shapes, a scalar operand and a broadcast row or column become one or two
// nested loops whose inner one is contiguous and vectorisable.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/element_loops.h"
#include "lanner/tensor.h"

// States that the iterations of the loop that follows are independent, even where output and input are one array.
#ifdef __clang__
#define LANNER_INDEPENDENT_ITERATIONS _Pragma("clang loop vectorize(assume_safety)")
#else
#define LANNER_INDEPENDENT_ITERATIONS _Pragma("GCC ivdep")
#endif

namespace lanner::kernels {

// Elements that one thread handles at least.
inline constexpr std::int64_t kElementGrain = 16384;

// Rows of fewer elements are not worth calling one of element_loops.h.
inline constexpr std::int64_t kLoopRow = 16;
// So many elements of a shorter row that repeats are.
inline constexpr std::int64_t kRowTile = 512;

// The shape that both broadcast to; throws `op.shape` when there is none.
inline Shape broadcast_shape(const Shape& a, const Shape& b) {
  if (a == b) return a;
  const Shape& longer = a.rank() >= b.rank() ? a : b;
  const Shape& shorter = a.rank() >= b.rank() ? b : a;
  Shape shape = longer;
  const int lead = longer.rank() - shorter.rank();
  for (int i = lead; i < longer.rank(); ++i) {
    const std::int64_t other = shorter[i - lead];
    if (shape[i] == other || other == 1) continue;
    if (shape[i] != 1) {
      base::invalid("op.shape", "shapes {} and {} do not broadcast: dimensions {} and {} differ", a.to_string(),
                    b.to_string(), longer[i], other);
    }
    shape[i] = other;
  }
  return shape;
}

// How to walk up to three inputs that broadcast to one shape.
struct BroadcastPlan {
  static constexpr int kMaxInputs = 3;

  std::int64_t count = 0;  // elements of the output
  int rank = 1;            // of the merged loop, at least 1
  // Innermost first. A stride of 0 repeats the input; the innermost strides are 0 or 1.
  std::array<std::int64_t, Shape::kMaxRank> dims{};
  std::array<std::array<std::int64_t, Shape::kMaxRank>, kMaxInputs> strides{};
  // Bit k: input k moves along the innermost dimension.
  unsigned moving = 0;
};

// Every input's shape must broadcast to `shape` (broadcast_shape() made it from them, or checked it).
inline BroadcastPlan plan_broadcast(const Shape& shape, std::initializer_list<const Shape*> inputs) {
  BroadcastPlan plan;
  plan.count = shape.element_count();
  const unsigned all = (1u << inputs.size()) - 1;
  const bool same = std::all_of(inputs.begin(), inputs.end(), [&](const Shape* input) { return *input == shape; });
  if (same || plan.count <= 1) {
    plan.dims[0] = plan.count;
    for (auto& strides : plan.strides) strides[0] = 1;
    plan.moving = all;
    return plan;
  }
  plan.rank = 0;
  std::array<std::int64_t, BroadcastPlan::kMaxInputs> dense{1, 1, 1};  // stride of each input's own next dimension
  for (int back = 1; back <= shape.rank(); ++back) {
    const std::int64_t dim = shape[shape.rank() - back];
    if (dim == 1) continue;
    std::array<std::int64_t, BroadcastPlan::kMaxInputs> stride{};
    bool merges = plan.rank > 0;
    std::size_t k = 0;
    for (const Shape* input : inputs) {
      const std::int64_t own = back <= input->rank() ? (*input)[input->rank() - back] : 1;
      stride[k] = own == 1 ? 0 : dense[k];
      dense[k] *= own;
      if (plan.rank > 0) {
        const auto inner = static_cast<std::size_t>(plan.rank - 1);
        merges = merges && stride[k] == plan.strides[k][inner] * plan.dims[inner];
      }
      ++k;
    }
    if (merges) {
      plan.dims[static_cast<std::size_t>(plan.rank - 1)] *= dim;
      continue;
    }
    const auto level = static_cast<std::size_t>(plan.rank++);
    plan.dims[level] = dim;
    for (k = 0; k < inputs.size(); ++k) plan.strides[k][level] = stride[k];
  }
  for (std::size_t k = 0; k < inputs.size(); ++k) plan.moving |= plan.strides[k][0] != 0 ? 1u << k : 0u;
  return plan;
}

// Calls row(output offset, input offsets, length) for each contiguous piece of the output's elements [begin, end).
template <std::size_t N, typename Row>
void for_each_row(const BroadcastPlan& plan, std::int64_t begin, std::int64_t end, Row&& row) {
  std::array<std::int64_t, Shape::kMaxRank> index{};
  std::array<std::int64_t, N> offsets{};
  std::int64_t rest = begin;
  for (std::size_t level = 0; rest != 0; ++level) {
    index[level] = rest % plan.dims[level];
    rest /= plan.dims[level];
    for (std::size_t k = 0; k < N; ++k) offsets[k] += index[level] * plan.strides[k][level];
  }
  std::int64_t position = begin;
  while (true) {
    const std::int64_t length = std::min(plan.dims[0] - index[0], end - position);
    row(position, offsets, length);
    position += length;
    if (position >= end) return;
    for (std::size_t k = 0; k < N; ++k) offsets[k] -= index[0] * plan.strides[k][0];
    index[0] = 0;
    for (std::size_t level = 1;; ++level) {
      ++index[level];
      for (std::size_t k = 0; k < N; ++k) offsets[k] += plan.strides[k][level];
      if (index[level] < plan.dims[level]) break;
      index[level] = 0;
      for (std::size_t k = 0; k < N; ++k) offsets[k] -= plan.dims[level] * plan.strides[k][level];
    }
  }
}

// A row's repeated operand: a copy of a number (so that it stays in a register), a reference to a string.
template <typename T>
using Repeated = std::conditional_t<std::is_arithmetic_v<T>, const T, const T&>;

// out[i] = op(in[i]). `out` may be `in`.
template <typename T, typename R, typename Op>
void map_elements(int threads, std::int64_t count, const T* in, R* out, Op op) {
  base::parallel_for(threads, count, kElementGrain, [=](std::int64_t begin, std::int64_t end) {
    if constexpr (kHasMapLoop<Op, T, R>) {
      map_loop(op, in + begin, out + begin, end - begin);
    } else {
      LANNER_INDEPENDENT_ITERATIONS
      for (std::int64_t i = begin; i < end; ++i) out[i] = op(in[i]);
    }
  });
}

namespace internal {

// Whether input `k` of two is one row for all rows of the output, and the other input has the output's shape.
inline bool repeats_a_row(const BroadcastPlan& plan, std::size_t k) {
  return plan.rank == 2 && plan.moving == 0b11 && plan.strides[k][1] == 0 && plan.strides[1 - k][1] == plan.dims[0];
}

// The elements [begin, end) where one input is a short row for all: a tile of many such rows makes long ones.
template <typename T, typename R, typename Op>
void map_short_rows(const BroadcastPlan& plan, std::int64_t begin, std::int64_t end, const T* a, const T* b, R* out,
                    const Op& op) {
  const ElementLoops::ZipLoop loop = zip_loop<Op, T, R>();
  const bool tiles_a = repeats_a_row(plan, 0);
  const T* row = tiles_a ? a : b;
  const std::int64_t period = plan.dims[0];
  std::array<T, kRowTile> tile;
  const std::int64_t length = kRowTile / period * period;
  std::int64_t phase = begin % period;
  for (std::int64_t i = 0; i < length; ++i) {
    tile[static_cast<std::size_t>(i)] = row[phase];
    if (++phase == period) phase = 0;
  }
  for (std::int64_t at = begin; at < end; at += length) {
    loop(&op, tiles_a ? tile.data() : a + at, tiles_a ? b + at : tile.data(), out + at, std::min(length, end - at),
         plan.moving);
  }
}

}  // namespace internal

// out = op(a, b) over a plan of two inputs. `out` may be an input of the output's own shape.
template <typename A, typename B, typename R, typename Op>
void map_broadcast(int threads, const BroadcastPlan& plan, const A* a, const B* b, R* out, Op op) {
  base::parallel_for(threads, plan.count, kElementGrain, [=, &plan](std::int64_t begin, std::int64_t end) {
    using Offsets = std::array<std::int64_t, 2>;
    if constexpr (std::is_same_v<A, B> && kHasZipLoop<Op, A, R>) {
      if (plan.moving != 0 && plan.dims[0] >= kLoopRow) {
        const ElementLoops::ZipLoop loop = zip_loop<Op, A, R>();
        for_each_row<2>(plan, begin, end, [=, &op, &plan](std::int64_t at, const Offsets& from, std::int64_t length) {
          loop(&op, a + from[0], b + from[1], out + at, length, plan.moving);
        });
        return;
      }
      if (end - begin >= 4 * kRowTile && (internal::repeats_a_row(plan, 0) || internal::repeats_a_row(plan, 1))) {
        return internal::map_short_rows(plan, begin, end, a, b, out, op);
      }
    }
    switch (plan.moving) {
      case 0b00:  // only where the output is larger than what both broadcast to
        for_each_row<2>(plan, begin, end, [=](std::int64_t at, const Offsets& from, std::int64_t length) {
          std::fill_n(out + at, length, static_cast<R>(op(a[from[0]], b[from[1]])));
        });
        break;
      case 0b01:
        for_each_row<2>(plan, begin, end, [=](std::int64_t at, const Offsets& from, std::int64_t length) {
          const A* x = a + from[0];
          Repeated<B> y = b[from[1]];
          R* z = out + at;
          LANNER_INDEPENDENT_ITERATIONS
          for (std::int64_t i = 0; i < length; ++i) z[i] = op(x[i], y);
        });
        break;
      case 0b10:
        for_each_row<2>(plan, begin, end, [=](std::int64_t at, const Offsets& from, std::int64_t length) {
          Repeated<A> x = a[from[0]];
          const B* y = b + from[1];
          R* z = out + at;
          LANNER_INDEPENDENT_ITERATIONS
          for (std::int64_t i = 0; i < length; ++i) z[i] = op(x, y[i]);
        });
        break;
      default:
        for_each_row<2>(plan, begin, end, [=](std::int64_t at, const Offsets& from, std::int64_t length) {
          const A* x = a + from[0];
          const B* y = b + from[1];
          R* z = out + at;
          LANNER_INDEPENDENT_ITERATIONS
          for (std::int64_t i = 0; i < length; ++i) z[i] = op(x[i], y[i]);
        });
    }
  });
}

namespace internal {

template <unsigned kMoving, typename T>
void select_rows(const BroadcastPlan& plan, std::int64_t begin, std::int64_t end, const std::uint8_t* condition,
                 const T* a, const T* b, T* out) {
  for_each_row<3>(plan, begin, end, [=](std::int64_t at, const std::array<std::int64_t, 3>& from, std::int64_t length) {
    const std::uint8_t* c = condition + from[0];
    const T* x = a + from[1];
    const T* y = b + from[2];
    T* z = out + at;
    Repeated<T> x0 = *x;
    Repeated<T> y0 = *y;
    if constexpr ((kMoving & 1u) == 0) {
      const bool first = *c != 0;
      LANNER_INDEPENDENT_ITERATIONS
      for (std::int64_t i = 0; i < length; ++i) {
        z[i] = first ? ((kMoving & 2u) != 0 ? x[i] : x0) : ((kMoving & 4u) != 0 ? y[i] : y0);
      }
    } else {
      LANNER_INDEPENDENT_ITERATIONS
      for (std::int64_t i = 0; i < length; ++i) {
        Repeated<T> left = (kMoving & 2u) != 0 ? x[i] : x0;
        Repeated<T> right = (kMoving & 4u) != 0 ? y[i] : y0;
        z[i] = c[i] != 0 ? left : right;
      }
    }
  });
}

}  // namespace internal

// out = condition ? a : b over a plan of three inputs.
template <typename T>
void select_broadcast(int threads, const BroadcastPlan& plan, const std::uint8_t* condition, const T* a, const T* b,
                      T* out) {
  base::parallel_for(threads, plan.count, kElementGrain, [=, &plan](std::int64_t begin, std::int64_t end) {
    if constexpr (kHasSelectLoop<T>) {
      if ((plan.moving & 1u) != 0 && plan.dims[0] >= kLoopRow) {
        const ElementLoops::SelectLoop loop = select_loop<T>();
        for_each_row<3>(plan, begin, end,
                        [=, &plan](std::int64_t at, const std::array<std::int64_t, 3>& from, std::int64_t length) {
                          loop(condition + from[0], a + from[1], b + from[2], out + at, length, plan.moving);
                        });
        return;
      }
    }
    switch (plan.moving) {
      case 0:
        return internal::select_rows<0>(plan, begin, end, condition, a, b, out);
      case 1:
        return internal::select_rows<1>(plan, begin, end, condition, a, b, out);
      case 2:
        return internal::select_rows<2>(plan, begin, end, condition, a, b, out);
      case 3:
        return internal::select_rows<3>(plan, begin, end, condition, a, b, out);
      case 4:
        return internal::select_rows<4>(plan, begin, end, condition, a, b, out);
      case 5:
        return internal::select_rows<5>(plan, begin, end, condition, a, b, out);
      case 6:
        return internal::select_rows<6>(plan, begin, end, condition, a, b, out);
      default:
        return internal::select_rows<7>(plan, begin, end, condition, a, b, out);
    }
  });
}

}  // namespace lanner::kernels
