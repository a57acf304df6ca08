// The targets left out are older than AVX2 and newer than what these loops can use; what remains for x86 is AVX-512,
// AVX2 and a portable form.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/column_loops.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first.
#include <hwy/highway.h>

#include "kernels/broadcast.h"
#include "kernels/column_loops.h"
#include "kernels/exp.h"
#include "kernels/loops_rows.h"

HWY_BEFORE_NAMESPACE();
namespace lanner::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, kColumnBlock>;
using Vector = hn::Vec<Floats>;

template <typename Op>
HWY_INLINE void each(ColumnArgument a, float* out, std::size_t count, Op op) {
  const Floats floats;
  for (std::size_t i = 0; i < count; i += hn::Lanes(floats))
    hn::StoreU(op(hn::LoadU(floats, a.data + i)), floats, out + i);
}

template <typename Op>
HWY_INLINE void each(ColumnArgument a, ColumnArgument b, float* out, std::size_t count, Op op) {
  const Floats floats;
  const std::size_t lanes = hn::Lanes(floats);
  if (b.repeated) {
    const Vector right = hn::Set(floats, *b.data);
    for (std::size_t i = 0; i < count; i += lanes)
      hn::StoreU(op(hn::LoadU(floats, a.data + i), right), floats, out + i);
  } else if (a.repeated) {
    const Vector left = hn::Set(floats, *a.data);
    for (std::size_t i = 0; i < count; i += lanes) hn::StoreU(op(left, hn::LoadU(floats, b.data + i)), floats, out + i);
  } else {
    for (std::size_t i = 0; i < count; i += lanes) {
      hn::StoreU(op(hn::LoadU(floats, a.data + i), hn::LoadU(floats, b.data + i)), floats, out + i);
    }
  }
}

// The function over a column, in the compiler's vectors.
template <typename Function>
HWY_INLINE void each_by_compiler(ColumnArgument a, float* out, std::size_t count, Function function) {
  const float* in = a.data;
  LANNER_INDEPENDENT_ITERATIONS
  for (std::size_t i = 0; i < count; ++i) out[i] = function(in[i]);
}

void apply(ColumnOp op, ColumnArgument a, ColumnArgument b, float* out, std::size_t row_count) {
  const std::size_t count = (row_count + kColumnBlock - 1) / kColumnBlock * kColumnBlock;
  const Floats floats;
  switch (op) {
    case ColumnOp::kAdd:
      return each(a, b, out, count, [](Vector x, Vector y) HWY_ATTR { return hn::Add(x, y); });
    case ColumnOp::kSub:
      return each(a, b, out, count, [](Vector x, Vector y) HWY_ATTR { return hn::Sub(x, y); });
    case ColumnOp::kMul:
      return each(a, b, out, count, [](Vector x, Vector y) HWY_ATTR { return hn::Mul(x, y); });
    case ColumnOp::kDiv:
      return each(a, b, out, count, [](Vector x, Vector y) HWY_ATTR { return hn::Div(x, y); });
    case ColumnOp::kMin:  // NaN where either is
      return each(a, b, out, count,
                  [](Vector x, Vector y) HWY_ATTR { return hn::IfThenElse(hn::Or(hn::Lt(x, y), hn::IsNaN(x)), x, y); });
    case ColumnOp::kMax:
      return each(a, b, out, count,
                  [](Vector x, Vector y) HWY_ATTR { return hn::IfThenElse(hn::Or(hn::Gt(x, y), hn::IsNaN(x)), x, y); });
    case ColumnOp::kAtLeast:
      return each(a, b, out, count, [](Vector x, Vector y) HWY_ATTR { return hn::IfThenElse(hn::Lt(x, y), y, x); });
    case ColumnOp::kAtMost:
      return each(a, b, out, count, [](Vector x, Vector y) HWY_ATTR { return hn::IfThenElse(hn::Gt(x, y), y, x); });
    case ColumnOp::kNeg:
      return each(a, out, count, [](Vector x) HWY_ATTR { return hn::Neg(x); });
    case ColumnOp::kAbs:
      return each(a, out, count, [](Vector x) HWY_ATTR { return hn::Abs(x); });
    case ColumnOp::kSqrt:
      return each(a, out, count, [](Vector x) HWY_ATTR { return hn::Sqrt(x); });
    case ColumnOp::kReciprocal:
      return each(a, out, count, [floats](Vector x) HWY_ATTR { return hn::Div(hn::Set(floats, 1.0f), x); });
    case ColumnOp::kExp:
      return each_by_compiler(a, out, count, [](float x) HWY_ATTR { return math::exp(x); });
    case ColumnOp::kSigmoid:
      return each_by_compiler(a, out, count, [](float x) HWY_ATTR { return math::sigmoid(x); });
  }
}

void split(const float* rows, std::size_t width, std::size_t count, float* const* columns) {
  const Floats floats;
  const std::size_t lanes = hn::Lanes(floats);
  std::size_t i = 0;
  const auto store = [&](Vector values, std::size_t k) HWY_ATTR {
    if (columns[k] != nullptr) hn::StoreU(values, floats, columns[k] + i);
  };
  for (; i + lanes <= count; i += lanes) {
    Vector v0;
    Vector v1;
    Vector v2;
    Vector v3;
    if (width == 2) {
      hn::LoadInterleaved2(floats, rows + 2 * i, v0, v1);
    } else {
      hn::LoadInterleaved4(floats, rows + 4 * i, v0, v1, v2, v3);
      store(v2, 2);
      store(v3, 3);
    }
    store(v0, 0);
    store(v1, 1);
  }
  for (std::size_t k = 0; k < width; ++k) {
    if (columns[k] == nullptr) continue;
    for (std::size_t row = i; row < count; ++row) columns[k][row] = rows[row * width + k];
  }
}

void join(const ColumnArgument* columns, std::size_t width, std::size_t count, float* rows) {
  const Floats floats;
  const std::size_t lanes = hn::Lanes(floats);
  std::size_t i = 0;
  const auto load = [&](std::size_t k) HWY_ATTR {
    return columns[k].repeated ? hn::Set(floats, *columns[k].data) : hn::LoadU(floats, columns[k].data + i);
  };
  if (width == 1) {
    for (; i + lanes <= count; i += lanes) hn::StoreU(load(0), floats, rows + i);
  } else if (width == 2) {
    for (; i + lanes <= count; i += lanes) hn::StoreInterleaved2(load(0), load(1), floats, rows + 2 * i);
  } else if (width == 4) {
    for (; i + lanes <= count; i += lanes) {
      hn::StoreInterleaved4(load(0), load(1), load(2), load(3), floats, rows + 4 * i);
    }
  }
  for (; i < count; ++i) {
    for (std::size_t k = 0; k < width; ++k) rows[i * width + k] = columns[k].data[columns[k].repeated ? 0 : i];
  }
}

constexpr ColumnLoops kLoops{apply, split, join};

}  // namespace lanner::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lanner::kernels {

namespace {

constexpr LoopsRow<ColumnLoops> kRows[] = LANNER_LOOPS_ROWS;

}  // namespace

LoopsOfCpu<ColumnLoops>& column_loops_of_cpu() {
  static LoopsOfCpu<ColumnLoops> loops(kRows);
  return loops;
}

}  // namespace lanner::kernels
#endif
