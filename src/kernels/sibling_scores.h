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

// As many of `threads` as have enough to do to be woken for, of `work` scores to look at.
inline int worthwhile_threads(int threads, std::int64_t work) {
  constexpr std::int64_t kWorkPerThread = 65536;
  return static_cast<int>(std::min<std::int64_t>(threads, 1 + work / kWorkPerThread));
}

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

// Calls body(scratch, i) for each i in [0, count), on as many threads as `work`, a number of elements to look at, is
// worth. Each thread makes a Scratch of its own from `loops` and takes the next i when it is done with one.
template <typename Scratch, typename Body>
void share_out(const HeadLoops& loops, int threads, std::int64_t count, std::int64_t work, Body&& body) {
  const std::int64_t workers = std::min<std::int64_t>(worthwhile_threads(threads, work), count);
  std::atomic<std::int64_t> next{0};
  base::parallel_for(threads, workers, 1, [&](std::int64_t, std::int64_t) {
    Scratch scratch(loops);
    for (std::int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) body(scratch, i);
  });
}

}  // namespace lanner::kernels
