// Collecting the candidates of sibling classes whose scores lie in one tensor, and sharing the classes out to threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/parallel.h"
#include "kernels/head_inputs.h"
#include "kernels/head_loops.h"

namespace lanner::kernels {

// As many of `threads` as have enough to do to be woken for, of work that takes one about `work_ns`.
inline int worthwhile_threads(int threads, std::int64_t work_ns) {
  constexpr std::int64_t kWakeUpNs = 20'000;
  return static_cast<int>(std::clamp<std::int64_t>(work_ns / kWakeUpNs, 1, threads));
}

// About how long one thread takes to scan `score_count` scores and to rank and compare the candidates among them; how
// many there are is guessed from a few of `scores`.
std::int64_t estimate_work_ns(std::span<const float> scores, std::int64_t score_count, const CandidateFilter& filter);

// Siblings that a thread takes on together; their scores of a row lie one after another.
struct SiblingRun {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

// Cuts siblings of `row_count` rows into runs, about as many for each of `threads` as even out unequal ones.
std::vector<SiblingRun> sibling_runs(std::span<const std::int64_t> offsets, std::int64_t row_stride,
                                     std::int64_t row_count, int threads);

// A thread's memory for the candidates of a run.
class SiblingCandidates {
 public:
  // Collects those of `count` siblings whose scores of row 0 begin at scores[offset].
  void collect(const HeadLoops& loops, std::span<const float> scores, std::int64_t offset, std::int64_t count,
               std::int64_t row_stride, std::int64_t row_count, const CandidateFilter& filter);
  CandidateList& operator[](std::int64_t sibling) { return lists_[static_cast<std::size_t>(sibling)]; }

 private:
  std::unique_ptr<std::uint32_t[]> memory_;
  std::size_t capacity_ = 0;
  std::vector<CandidateList> lists_;
};

// Calls body(scratch, i) for each i in [0, count). Each of `threads` makes a Scratch of its own from `loops` and takes
// the next i when it is done with one.
template <typename Scratch, typename Body>
void share_out(const HeadLoops& loops, int threads, std::int64_t count, Body&& body) {
  const std::int64_t workers = std::min<std::int64_t>(threads, count);
  std::atomic<std::int64_t> next{0};
  base::parallel_for(threads, workers, 1, [&](std::int64_t, std::int64_t) {
    Scratch scratch(loops);
    for (std::int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) body(scratch, i);
  });
}

}  // namespace lanner::kernels
