// The targets left out are older than AVX2 and newer than what these loops can use; what remains for x86 is AVX-512,
// AVX2 and a portable form. Every one takes elements in the same order, so zeros of either sign come out alike.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/extremes.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first.
#include <hwy/highway.h>

#include <array>
#include <cstddef>

#include "kernels/extremes.h"
#include "kernels/loops_rows.h"

HWY_BEFORE_NAMESPACE();
namespace lanner::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <Extreme kWhich>
HWY_INLINE float more_extreme(float x, float held) {
  const bool beats = kWhich == Extreme::kMax ? x > held : x < held;
  return beats || x != x ? x : held;
}

template <Extreme kWhich, class V>
HWY_INLINE V more_extreme_lanes(V x, V held) {
  const auto beats = kWhich == Extreme::kMax ? hn::Gt(x, held) : hn::Lt(x, held);
  return hn::IfThenElse(hn::Or(beats, hn::IsNaN(x)), x, held);
}

template <Extreme kWhich, class D>
HWY_INLINE float extreme_of_lanes(D d, hn::Vec<D> x) {
#if HWY_TARGET != HWY_SCALAR
  if constexpr (hn::MaxLanes(D()) > 4) {
    const hn::Half<D> half;
    return extreme_of_lanes<kWhich>(half, more_extreme_lanes<kWhich>(hn::UpperHalf(half, x), hn::LowerHalf(half, x)));
  }
#endif
  std::array<float, hn::MaxLanes(D())> lanes;
  hn::StoreU(x, d, lanes.data());
  for (std::size_t width = lanes.size() / 2; width > 0; width /= 2) {
    for (std::size_t i = 0; i < width; ++i) lanes[i] = more_extreme<kWhich>(lanes[i + width], lanes[i]);
  }
  return lanes[0];
}

// Of a row of at least kWidth elements, that many at a time.
template <Extreme kWhich, std::size_t kWidth>
HWY_INLINE float extreme_of_stretches(const float* row, std::int64_t length) {
  using D = hn::CappedTag<float, kWidth>;
  const D d;
  constexpr std::size_t kLanes = hn::MaxLanes(D());
  constexpr std::size_t kVectors = kWidth / kLanes;
  constexpr auto kStep = static_cast<std::int64_t>(kWidth);
  // The last elements are taken together with some before them, which changes nothing.
  std::array<hn::Vec<D>, kVectors> held;
  for (std::size_t v = 0; v < kVectors; ++v) held[v] = hn::LoadU(d, row + length - kStep + v * kLanes);
  for (std::int64_t i = 0; i + kStep < length; i += kStep) {
    for (std::size_t v = 0; v < kVectors; ++v) {
      held[v] = more_extreme_lanes<kWhich>(hn::LoadU(d, row + i + v * kLanes), held[v]);
    }
  }
  for (std::size_t count = kVectors / 2; count > 0; count /= 2) {
    for (std::size_t v = 0; v < count; ++v) held[v] = more_extreme_lanes<kWhich>(held[v + count], held[v]);
  }
  return extreme_of_lanes<kWhich>(d, held[0]);
}

template <Extreme kWhich>
HWY_INLINE float extreme_of(const float* row, std::int64_t length) {
  if (length >= 32) return extreme_of_stretches<kWhich, 32>(row, length);
  if (length >= 16) return extreme_of_stretches<kWhich, 16>(row, length);
  if (length >= 4) return extreme_of_stretches<kWhich, 4>(row, length);
  float held = row[0];
  for (std::int64_t i = 1; i < length; ++i) held = more_extreme<kWhich>(row[i], held);
  return held;
}

// Of the first element that equals `wanted`, which is there, or that is NaN as it is.
HWY_INLINE std::int64_t first_place(const float* row, std::int64_t length, float wanted) {
  using D = hn::CappedTag<float, 16>;
  const D d;
  constexpr auto kLanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
  const bool nan = wanted != wanted;
  const auto sought = hn::Set(d, wanted);
  std::int64_t i = 0;
  for (; i + kLanes <= length; i += kLanes) {
    const auto x = hn::LoadU(d, row + i);
    const std::intptr_t lane = hn::FindFirstTrue(d, nan ? hn::IsNaN(x) : hn::Eq(x, sought));
    if (lane >= 0) return i + lane;
  }
  while (i < length - 1 && !(nan ? row[i] != row[i] : row[i] == wanted)) ++i;
  return i;
}

template <Extreme kWhich>
HWY_ATTR void values(const float* in, std::int64_t length, std::int64_t count, float* out) {
  for (std::int64_t row = 0; row < count; ++row) out[row] = extreme_of<kWhich>(in + row * length, length);
}

template <Extreme kWhich>
HWY_ATTR void places(const float* in, std::int64_t length, std::int64_t count, std::int64_t* out) {
  for (std::int64_t row = 0; row < count; ++row) {
    const float* from = in + row * length;
    out[row] = first_place(from, length, extreme_of<kWhich>(from, length));
  }
}

HWY_ATTR void greatest(const float* in, std::int64_t length, std::int64_t count, float* out, std::int64_t* places) {
  for (std::int64_t row = 0; row < count; ++row) {
    const float* from = in + row * length;
    out[row] = extreme_of<Extreme::kMax>(from, length);
    places[row] = first_place(from, length, out[row]);
  }
}

constexpr ExtremeLoops kLoops{
    {values<Extreme::kMax>, values<Extreme::kMin>}, {places<Extreme::kMax>, places<Extreme::kMin>}, greatest};

}  // namespace lanner::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lanner::kernels {

namespace {

constexpr LoopsRow<ExtremeLoops> kRows[] = LANNER_LOOPS_ROWS;

}  // namespace

LoopsOfCpu<ExtremeLoops>& extreme_loops_of_cpu() {
  static LoopsOfCpu<ExtremeLoops> loops(kRows);
  return loops;
}

void extremes_of_rows(Extreme which, const float* in, std::int64_t length, std::int64_t count, float* out) {
  extreme_loops_of_cpu().get().values[static_cast<std::size_t>(which)](in, length, count, out);
}

void places_of_extremes(Extreme which, const float* in, std::int64_t length, std::int64_t count, std::int64_t* out) {
  extreme_loops_of_cpu().get().places[static_cast<std::size_t>(which)](in, length, count, out);
}

void greatest_of_rows(const float* in, std::int64_t length, std::int64_t count, float* out, std::int64_t* places) {
  extreme_loops_of_cpu().get().greatest(in, length, count, out, places);
}

}  // namespace lanner::kernels
#endif
