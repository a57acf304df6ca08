// Collecting the candidates of sibling classes whose scores lie in one tensor, and sharing the classes out to threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "base/parallel.h"
#include "kernels/head_inputs.h"
#include "kernels/head_loops.h"

namespace lanner::kernels {

// Classes that are scanned together: their scores of a row lie one after another.
struct SiblingRun {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

// Cuts siblings into runs of at most kBlock.
inline std::vector<SiblingRun> sibling_runs(std::span<const std::int64_t> offsets, std::int64_t row_stride) {
  std::vector<SiblingRun> runs;
  for (std::size_t k = 0; k < offsets.size(); ++k) {
    if (row_stride != 1 && !runs.empty() && runs.back().count < static_cast<std::int64_t>(kBlock) &&
        offsets[k] == offsets[k - 1] + 1) {
      ++runs.back().count;
    } else {
      runs.push_back({static_cast<std::int64_t>(k), 1});
    }
  }
  return runs;
}

// A thread's memory for the candidates of one run of siblings.
class SiblingCandidates {
 public:
  // Collects those of siblings whose scores of row 0 begin at `scores`[`offset`].
  void collect(const HeadLoops& loops, std::span<const float> scores, std::int64_t offset, std::int64_t count,
               std::int64_t row_stride, std::int64_t row_count, const CandidateFilter& filter) {
    const auto rows = static_cast<std::size_t>(row_count);
    const auto width = static_cast<std::size_t>(count);
    const std::size_t room = (rows + 2 * kBlock - 1) / kBlock * kBlock;
    if (capacity_ < 2 * room * width) {
      capacity_ = 2 * room * width;
      memory_ = std::make_unique_for_overwrite<std::uint32_t[]>(capacity_);
    }
    for (std::size_t c = 0; c < width; ++c) {
      lists_[c] = {memory_.get() + 2 * c * room, memory_.get() + (2 * c + 1) * room, 0};
    }
    if (rows == 0) return;
    const float* from = scores.data() + offset;
    if (row_stride == 1 && width == 1) {
      loops.collect_row(from, rows, filter, lists_[0]);
    } else {
      loops.collect_columns(from, scores.size() - static_cast<std::size_t>(offset),
                            static_cast<std::size_t>(row_stride), rows, width, filter, lists_.data());
    }
  }
  const CandidateList& operator[](std::int64_t sibling) const { return lists_[static_cast<std::size_t>(sibling)]; }

 private:
  std::unique_ptr<std::uint32_t[]> memory_;
  std::size_t capacity_ = 0;
  std::array<CandidateList, kBlock> lists_;
};

// Calls body(scratch, i) for each i in [0, count), on as many threads as `work`, a number of elements to look at, is
// worth. Each thread has a Scratch of its own and takes the next i when it is done with one.
template <typename Scratch, typename Body>
void share_out(int threads, std::int64_t count, std::int64_t work, Body&& body) {
  constexpr std::int64_t kWorkPerThread = 65536;
  const std::int64_t workers = std::min<std::int64_t>({threads, count, 1 + work / kWorkPerThread});
  std::atomic<std::int64_t> next{0};
  base::parallel_for(threads, workers, 1, [&](std::int64_t, std::int64_t) {
    Scratch scratch;
    for (std::int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) body(scratch, i);
  });
}

}  // namespace lanner::kernels
