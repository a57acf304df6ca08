// Candidates in order of rank, sorted only as far as they are asked for: suppression often stops long before the last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/head_loops.h"
#include "kernels/order_key.h"

namespace lanner::kernels {

// The key of a score where NaN ranks last, as in suppression; TopK ranks it first, as order_key() does.
inline constexpr std::uint32_t kNanLast = 0;
inline std::uint32_t candidate_key(float score) {
  return score != score ? kNanLast : order_key(score);
}

// Sorts by the leading bits of the keys, in two steps. A long list is first cut into portions, each a range of keys,
// the best portion first and as large as is likely to be asked for. A portion is spread over buckets when its turn
// comes, and a bucket is sorted when its turn comes. Keeps its memory between lists.
class CandidateQueue {
 public:
  explicit CandidateQueue(const HeadLoops& loops) : loops_(loops) {}

  // Starts over with the candidates of `list`, which stays as it is while they are asked for. About `wanted` of them
  // will be.
  void fill(const CandidateList& list, std::size_t wanted);
  // The next best candidates, sorted; empty when there are no more.
  std::span<const Candidate> next();
  // How many next() has not returned yet.
  std::size_t left() const { return left_; }

 private:
  bool next_portion();
  void spread(const CandidateList& portion, KeyRange range);

  const HeadLoops& loops_;
  CandidateList list_{};
  KeyRange range_{};  // of the keys of list_
  std::size_t left_ = 0;

  // The portions: how many candidates there are for each value of the leading bits of their keys, best first.
  unsigned count_shift_ = 0;
  std::vector<std::uint32_t> counts_;
  std::size_t next_count_ = 0;
  std::size_t wanted_ = 0;  // from the next portion
  std::unique_ptr<std::uint32_t[]> portion_memory_;
  std::size_t portion_capacity_ = 0;

  // The buckets of a portion.
  std::vector<Candidate> candidates_;
  std::vector<std::uint32_t> starts_;  // where each bucket begins, and the end of the last
  std::size_t next_bucket_ = 0;
  bool sorted_ = false;  // all of them
};

}  // namespace lanner::kernels
