// The targets left out are older than AVX2 and newer than what these loops can use; what remains for x86 is AVX-512,
// AVX2 and a portable form. Most of the loops are ordinary ones, in the compiler's vectors.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quantization_loops.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first.
#include <hwy/highway.h>

#include <limits>

#include "kernels/broadcast.h"
#include "kernels/loops_rows.h"
#include "kernels/quantization_loops.h"

HWY_BEFORE_NAMESPACE();
namespace lanner::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR
using Floats = hn::FixedTag<float, 1>;
#else
using Floats = hn::CappedTag<float, 16>;
#endif

// Flattened, because a function that is not inlined would be that of the oldest CPU.
template <typename T>
[[gnu::flatten]] HWY_ATTR void read(const void* data, std::int64_t begin, std::int64_t count, float* to) {
  const T* const from = static_cast<const T*>(data) + begin;
  LANNER_INDEPENDENT_ITERATIONS
  for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<float>(from[i]);
}

template <typename T>
[[gnu::flatten]] HWY_ATTR void write(const float* x, const float* zero_points, std::int64_t step, std::int64_t count,
                                     void* to, std::int64_t begin) {
  T* const out = static_cast<T*>(to) + begin;
  if (step == 0) {
    const float zero_point = *zero_points;
    LANNER_INDEPENDENT_ITERATIONS
    for (std::int64_t i = 0; i < count; ++i) out[i] = quantized<T>(x[i], zero_point);
  } else {
    LANNER_INDEPENDENT_ITERATIONS
    for (std::int64_t i = 0; i < count; ++i) out[i] = quantized<T>(x[i], zero_points[i]);
  }
}

void range(const float* numbers, std::int64_t count, float* least, float* greatest) {
  const Floats floats;
  constexpr auto kLanes = static_cast<std::int64_t>(hn::MaxLanes(Floats()));
  auto low = hn::Set(floats, numbers[0]);
  auto high = low;
  auto odd = hn::VecFromMask(floats, hn::IsNaN(low));
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const auto x = hn::LoadU(floats, numbers + i);
    low = hn::Min(low, x);
    high = hn::Max(high, x);
    odd = hn::Or(odd, hn::VecFromMask(floats, hn::IsNaN(x)));
  }
  for (; i < count; ++i) {
    const auto x = hn::Set(floats, numbers[i]);
    low = hn::Min(low, x);
    high = hn::Max(high, x);
    odd = hn::Or(odd, hn::VecFromMask(floats, hn::IsNaN(x)));
  }
  const bool any = !hn::AllFalse(floats, hn::MaskFromVec(odd));
  constexpr float kNotANumber = std::numeric_limits<float>::quiet_NaN();
  *least = any ? kNotANumber : hn::GetLane(hn::MinOfLanes(floats, low));
  *greatest = any ? kNotANumber : hn::GetLane(hn::MaxOfLanes(floats, high));
}

HWY_ATTR void divide(float* numbers, const float* divisors, std::int64_t step, std::int64_t count) {
  if (step == 0) {
    const float divisor = *divisors;
    LANNER_INDEPENDENT_ITERATIONS
    for (std::int64_t i = 0; i < count; ++i) numbers[i] /= divisor;
  } else {
    LANNER_INDEPENDENT_ITERATIONS
    for (std::int64_t i = 0; i < count; ++i) numbers[i] /= divisors[i];
  }
}

HWY_ATTR void dequantize(const float* numbers, const float* zero_points, const float* factors, std::int64_t step,
                         std::int64_t count, float* out) {
  if (step == 0) {
    const float zero_point = *zero_points;
    const float factor = *factors;
    LANNER_INDEPENDENT_ITERATIONS
    for (std::int64_t i = 0; i < count; ++i) out[i] = (numbers[i] - zero_point) * factor;
  } else {
    LANNER_INDEPENDENT_ITERATIONS
    for (std::int64_t i = 0; i < count; ++i) out[i] = (numbers[i] - zero_points[i]) * factors[i];
  }
}

template <typename... Ts>
constexpr std::array<QuantizationLoops::Read, sizeof...(Ts)> all_reads(tensor::TypeList<Ts...>) {
  return {read<Ts>...};
}
template <typename... Ts>
constexpr std::array<QuantizationLoops::Write, sizeof...(Ts)> all_writes(tensor::TypeList<Ts...>) {
  return {write<Ts>...};
}

constexpr QuantizationLoops kLoops{all_reads(ReadIntegers{}), all_writes(QuantizedIntegers{}), range, divide,
                                   dequantize};

}  // namespace lanner::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lanner::kernels {

namespace {

constexpr LoopsRow<QuantizationLoops> kRows[] = LANNER_LOOPS_ROWS;

}  // namespace

LoopsOfCpu<QuantizationLoops>& quantization_loops_of_cpu() {
  static LoopsOfCpu<QuantizationLoops> loops(kRows);
  return loops;
}

}  // namespace lanner::kernels
#endif
