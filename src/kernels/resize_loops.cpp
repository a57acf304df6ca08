// The targets left out are older than AVX2 and newer than what these loops can use; what remains for x86 is AVX-512,
// AVX2 and a portable form.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/resize_loops.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first.
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/broadcast.h"
#include "kernels/loops_rows.h"
#include "kernels/resize_loops.h"

HWY_BEFORE_NAMESPACE();
namespace lanner::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <typename T>
using Lanes = hn::CappedTag<T, 16>;

// Without an instruction that looks up any lane, a vector of outputs is as many elements.
constexpr bool kLooksUpLanes = HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128;

void prepare(ColumnTable& table) {
  if (!kLooksUpLanes) return;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(Lanes<float>()));
  const std::int64_t vectors = (table.output + lanes - 1) / lanes;
  const auto fill_up = [&](auto& list) {
    if (!list.empty()) list.resize(static_cast<std::size_t>(vectors * lanes), list.back());
  };
  fill_up(table.indices);
  fill_up(table.partners);
  fill_up(table.weights);
  fill_up(table.partner_weights);
  for (std::int64_t vector = 0; vector < vectors; ++vector) {
    const std::int64_t begin = vector * lanes;
    std::int32_t* const lists[] = {table.indices.data() + begin,
                                   table.partners.empty() ? nullptr : table.partners.data() + begin};
    std::int32_t least = *lists[0];
    std::int32_t greatest = *lists[0];
    for (const std::int32_t* list : lists) {
      if (list == nullptr) continue;
      least = std::min(least, *std::min_element(list, list + lanes));
      greatest = std::max(greatest, *std::max_element(list, list + lanes));
    }
    const std::int64_t span = table.input < lanes ? 1 : (greatest - least) / lanes + 1;
    const bool fits = span == 1 || (span <= ColumnTable::kMostSpans && span * lanes <= table.input);
    const auto start = static_cast<std::int32_t>(
        fits ? std::min<std::int64_t>(least, std::max<std::int64_t>(0, table.input - span * lanes)) : 0);
    table.starts.push_back(start);
    table.spans.push_back(fits ? static_cast<std::int32_t>(span) : 0);
    for (std::int32_t* list : lists) {
      for (std::int64_t i = 0; list != nullptr && i < lanes; ++i) list[i] -= start;
    }
  }
}

// The inputs with these indices, looked up in `kSpan` vectors from the start on; gathered if that is 0.
template <int kSpan, typename T>
HWY_INLINE hn::Vec<Lanes<T>> look_up(const ColumnTable& table, const T* from, const std::int32_t* index) {
  const Lanes<T> tag;
  const Lanes<std::int32_t> ints;
  const auto wanted = hn::LoadU(ints, index);
  if constexpr (kSpan == 0) return hn::GatherIndex(tag, from, wanted);
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(tag));
  const auto lane = hn::And(wanted, hn::Set(ints, static_cast<std::int32_t>(lanes - 1)));
  const auto look_up_in = [&](hn::Vec<Lanes<T>> inputs)
                              HWY_ATTR { return hn::TableLookupLanes(inputs, hn::IndicesFromVec(tag, lane)); };
  if (kSpan == 1 && table.input < lanes) {
    return look_up_in(hn::MaskedLoad(hn::FirstN(tag, static_cast<std::size_t>(table.input)), tag, from));
  }
  auto found = look_up_in(hn::LoadU(tag, from));
  for (int k = 1; k < kSpan; ++k) {
    const auto behind = hn::Gt(wanted, hn::Set(ints, static_cast<std::int32_t>(k * lanes - 1)));
    found = hn::IfThenElse(hn::RebindMask(tag, behind), look_up_in(hn::LoadU(tag, from + k * lanes)), found);
  }
  return found;
}

// Calls function.operator()<span>().
template <typename Function>
HWY_INLINE void dispatch_span(std::int32_t span, Function function) {
  static_assert(ColumnTable::kMostSpans == 4);
  switch (span) {
    case 1:
      return function.template operator()<1>();
    case 2:
      return function.template operator()<2>();
    case 3:
      return function.template operator()<3>();
    case 4:
      return function.template operator()<4>();
    default:
      return function.template operator()<0>();
  }
}

template <typename T>
HWY_INLINE void store_some(hn::Vec<Lanes<T>> values, T* to, std::int64_t count) {
  const Lanes<T> tag;
  if (count >= static_cast<std::int64_t>(hn::Lanes(tag))) {
    hn::StoreU(values, tag, to);
  } else {
    hn::BlendedStore(values, hn::FirstN(tag, static_cast<std::size_t>(count)), tag, to);
  }
}

void pick(const ColumnTable& table, const std::uint32_t* from, std::uint32_t* to) {
  std::int64_t i = 0;
  if constexpr (kLooksUpLanes) {
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(Lanes<std::uint32_t>()));
    for (std::size_t vector = 0; vector < table.starts.size(); ++vector) {
      const std::int32_t* index = table.indices.data() + i;
      const std::int64_t count = std::min(lanes, table.output - i);
      dispatch_span(table.spans[vector], [&]<int kSpan>() HWY_ATTR {
        store_some(look_up<kSpan>(table, from + table.starts[vector], index), to + i, count);
      });
      i += count;
    }
  }
  for (; i < table.output; ++i) to[i] = from[table.indices[static_cast<std::size_t>(i)]];
}

void blend(const ColumnTable& table, const float* from, std::int64_t begin, std::int64_t end, float* to) {
  const std::int32_t* indices = table.indices.data();
  const std::int32_t* partners = table.partners.data();
  const float* weights = table.weights.data();
  const float* partner_weights = table.partner_weights.data();
  const auto blend_each = [=](const float* inputs, std::int64_t first, std::int64_t last) HWY_ATTR {
    for (std::int64_t k = first; k < last; ++k) {
      to[k] = weights[k] * inputs[indices[k]] + partner_weights[k] * inputs[partners[k]];
    }
  };
  if constexpr (kLooksUpLanes) {
    const Lanes<float> floats;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(floats));
    for (std::int64_t i = begin; i < end;) {
      const std::int64_t next = std::min(end, (i / lanes + 1) * lanes);
      const auto vector = static_cast<std::size_t>(i / lanes);
      const float* inputs = from + table.starts[vector];
      if (i % lanes != 0) {
        blend_each(inputs, i, next);
      } else {
        dispatch_span(table.spans[vector], [&]<int kSpan>() HWY_ATTR {
          const auto one = look_up<kSpan>(table, inputs, indices + i);
          const auto other = look_up<kSpan>(table, inputs, partners + i);
          store_some(hn::Add(hn::Mul(hn::LoadU(floats, weights + i), one),
                             hn::Mul(hn::LoadU(floats, partner_weights + i), other)),
                     to + i, next - i);
        });
      }
      i = next;
    }
  } else {
    blend_each(from, begin, end);
  }
}

void blend_rows(const float* a, float a_weight, const float* b, float b_weight, std::int64_t count, float* to) {
  LANNER_INDEPENDENT_ITERATIONS
  for (std::int64_t i = 0; i < count; ++i) to[i] = a_weight * a[i] + b_weight * b[i];
}

constexpr ResizeLoops kLoops{prepare, pick, blend, blend_rows};

}  // namespace lanner::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lanner::kernels {

namespace {

constexpr LoopsRow<ResizeLoops> kRows[] = LANNER_LOOPS_ROWS;

}  // namespace

LoopsOfCpu<ResizeLoops>& resize_loops_of_cpu() {
  static LoopsOfCpu<ResizeLoops> loops(kRows);
  return loops;
}

}  // namespace lanner::kernels
#endif
