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
  const std::int64_t last_start = std::max<std::int64_t>(0, table.input - lanes);
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
    const auto start = static_cast<std::int32_t>(std::min<std::int64_t>(least, last_start));
    const bool fits = greatest - start < lanes;
    table.starts.push_back(fits ? start : -1);
    for (std::int32_t* list : lists) {
      for (std::int64_t i = 0; fits && list != nullptr && i < lanes; ++i) list[i] -= start;
    }
  }
}

// The inputs that the lanes of a vector of outputs are looked up in.
template <typename T>
HWY_INLINE hn::Vec<Lanes<T>> load_inputs(const ColumnTable& table, const T* from, std::int32_t start) {
  const Lanes<T> tag;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(tag));
  if (table.input >= lanes) return hn::LoadU(tag, from + start);
  return hn::MaskedLoad(hn::FirstN(tag, static_cast<std::size_t>(table.input)), tag, from);
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
    const Lanes<std::uint32_t> words;
    const Lanes<std::int32_t> indices;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(words));
    for (const std::int32_t start : table.starts) {
      const std::int32_t* index = table.indices.data() + i;
      const std::int64_t count = std::min(lanes, table.output - i);
      if (start >= 0) {
        const auto inputs = load_inputs(table, from, start);
        store_some(hn::TableLookupLanes(inputs, hn::IndicesFromVec(words, hn::LoadU(indices, index))), to + i, count);
      } else {
        store_some(hn::GatherIndex(words, from, hn::LoadU(indices, index)), to + i, count);
      }
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
    const Lanes<std::int32_t> ints;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(floats));
    for (std::int64_t i = begin; i < end;) {
      const std::int64_t next = std::min(end, (i / lanes + 1) * lanes);
      const std::int32_t start = table.starts[static_cast<std::size_t>(i / lanes)];
      if (i % lanes != 0) {
        blend_each(from + std::max(start, 0), i, next);
      } else {
        auto one = hn::Zero(floats);
        auto other = hn::Zero(floats);
        if (start >= 0) {
          const auto inputs = load_inputs(table, from, start);
          one = hn::TableLookupLanes(inputs, hn::IndicesFromVec(floats, hn::LoadU(ints, indices + i)));
          other = hn::TableLookupLanes(inputs, hn::IndicesFromVec(floats, hn::LoadU(ints, partners + i)));
        } else {
          one = hn::GatherIndex(floats, from, hn::LoadU(ints, indices + i));
          other = hn::GatherIndex(floats, from, hn::LoadU(ints, partners + i));
        }
        store_some(hn::Add(hn::Mul(hn::LoadU(floats, weights + i), one),
                           hn::Mul(hn::LoadU(floats, partner_weights + i), other)),
                   to + i, next - i);
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
