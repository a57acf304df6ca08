// The targets left out are older than AVX2 and newer than what this loop can use.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/peak.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first.
#include <hwy/highway.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/clock.h"
#include "base/parallel.h"
#include "kernels/loops_rows.h"
#include "kernels/peak.h"

#ifndef LANNER_KERNELS_PEAK_ONCE
#define LANNER_KERNELS_PEAK_ONCE
namespace lanner::kernels {

struct PeakLoops {
  std::int64_t operations;  // of a round
  // So many rounds of products and sums on registers alone; makes `number` one that depends on all of them.
  void (*multiply_add)(std::int64_t rounds, float* number);
};

}  // namespace lanner::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace lanner::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// More chains than any CPU has products in flight, and no more than AVX2 has registers for.
void multiply_add(std::int64_t rounds, float* number) {
  const hn::ScalableTag<float> floats;
  const auto factor = hn::Set(floats, 0.5F);
  const auto term = hn::Set(floats, *number);
  // Chains that begin alike would be one chain to the compiler.
  const auto start = [&](int chain) HWY_ATTR { return hn::Set(floats, *number * static_cast<float>(chain)); };
  auto v0 = start(0), v1 = start(1), v2 = start(2), v3 = start(3), v4 = start(4), v5 = start(5);
  auto v6 = start(6), v7 = start(7), v8 = start(8), v9 = start(9), v10 = start(10), v11 = start(11);
  for (std::int64_t i = 0; i < rounds; ++i) {
    v0 = hn::MulAdd(v0, factor, term);
    v1 = hn::MulAdd(v1, factor, term);
    v2 = hn::MulAdd(v2, factor, term);
    v3 = hn::MulAdd(v3, factor, term);
    v4 = hn::MulAdd(v4, factor, term);
    v5 = hn::MulAdd(v5, factor, term);
    v6 = hn::MulAdd(v6, factor, term);
    v7 = hn::MulAdd(v7, factor, term);
    v8 = hn::MulAdd(v8, factor, term);
    v9 = hn::MulAdd(v9, factor, term);
    v10 = hn::MulAdd(v10, factor, term);
    v11 = hn::MulAdd(v11, factor, term);
  }
  const auto low = hn::Add(hn::Add(hn::Add(v0, v1), hn::Add(v2, v3)), hn::Add(v4, v5));
  const auto high = hn::Add(hn::Add(hn::Add(v6, v7), hn::Add(v8, v9)), hn::Add(v10, v11));
  *number = hn::GetLane(hn::Add(low, high));
}

constexpr PeakLoops kLoops{2 * 12 * hn::MaxLanes(hn::ScalableTag<float>()), multiply_add};

}  // namespace lanner::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lanner::kernels {

namespace {

constexpr LoopsRow<PeakLoops> kRows[] = LANNER_LOOPS_ROWS;

constexpr std::int64_t kRounds = 100'000;  // below a millisecond
constexpr std::int64_t kNanoseconds = 20'000'000;

// What one thread does at best, while it is not interrupted.
double peak_of_thread() {
  static const LoopsOfCpu<PeakLoops> loops(kRows);
  std::int64_t best_ns = kNanoseconds;
  volatile float term = 1;  // neither known to the compiler nor dropped by it
  const std::int64_t begin = base::now_ns();
  for (std::int64_t start = begin; start - begin < kNanoseconds;) {
    float number = term;
    loops.get().multiply_add(kRounds, &number);
    term = number;
    const std::int64_t end = base::now_ns();
    best_ns = std::min(best_ns, end - start);
    start = end;
  }
  return static_cast<double>(loops.get().operations * kRounds) /
         static_cast<double>(std::max<std::int64_t>(best_ns, 1));
}

}  // namespace

double measure_peak_gflops(int threads) {
  std::vector<double> peaks(static_cast<std::size_t>(threads));
  base::parallel_for(threads, threads, 1, [&](std::int64_t first, std::int64_t last) {
    for (; first < last; ++first) peaks[static_cast<std::size_t>(first)] = peak_of_thread();
  });
  return std::accumulate(peaks.begin(), peaks.end(), 0.0);
}

}  // namespace lanner::kernels
#endif
