// Candidates in order of rank, sorted only as far as they are asked for: suppression often stops long before the last.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "kernels/head_loops.h"
#include "kernels/order_key.h"

namespace lanner::kernels {

// A candidate by rank: its score's order key above its inverted row, so that greater is better and, of equal scores,
// the lower row.
using Candidate = std::uint64_t;
// The key of a score where NaN ranks last, as in suppression; TopK ranks it first, as order_key() does.
inline constexpr std::uint32_t kNanLast = 0;
inline std::uint32_t candidate_key(float score) {
  return score != score ? kNanLast : order_key(score);
}
inline Candidate make_candidate(std::uint32_t key, std::uint32_t row) {
  return static_cast<Candidate>(key) << 32 | static_cast<std::uint32_t>(~row);
}
inline std::uint32_t candidate_row(Candidate candidate) {
  return static_cast<std::uint32_t>(~static_cast<std::uint32_t>(candidate));
}

// Spreads the candidates over buckets by the leading bits of their keys, best bucket first, and sorts a bucket when its
// turn comes. Keeps its memory between lists.
class CandidateQueue {
 public:
  // Starts over with the candidates of `list`, whose rows ascend.
  void fill(const CandidateList& list) {
    const std::size_t size = list.size;
    if (candidates_.size() < size) candidates_.resize(size);
    next_bucket_ = 0;
    begin_ = 0;
    if (size <= kFew) {
      for (std::size_t i = 0; i < size; ++i) candidates_[i] = make_candidate(list.keys[i], list.rows[i]);
      starts_.assign({0, static_cast<std::uint32_t>(size)});
      return;
    }
    const auto [least, greatest] = key_range(list);
    const unsigned bucket_bits = std::min(12u, static_cast<unsigned>(std::bit_width(size)));
    const auto range_bits = static_cast<unsigned>(std::bit_width(greatest - least));
    const unsigned shift = range_bits > bucket_bits ? range_bits - bucket_bits : 0;
    const auto bucket_of = [=](std::uint32_t key) { return (greatest - key) >> shift; };
    // Counted one bucket further on than they will begin; while they are placed, starts_[b + 1] is where the next
    // candidate of bucket b goes, and in the end where bucket b + 1 begins.
    starts_.assign(bucket_of(least) + 3, 0);
    for (std::size_t i = 0; i < size; ++i) ++starts_[bucket_of(list.keys[i]) + 2];
    for (std::size_t b = 2; b < starts_.size(); ++b) starts_[b] += starts_[b - 1];
    for (std::size_t i = 0; i < size; ++i) {
      candidates_[starts_[bucket_of(list.keys[i]) + 1]++] = make_candidate(list.keys[i], list.rows[i]);
    }
    starts_.pop_back();
  }

  // The next best candidates, sorted; empty when there are no more.
  std::span<const Candidate> next() {
    while (next_bucket_ + 1 < starts_.size()) {
      const std::size_t begin = starts_[next_bucket_];
      const std::size_t end = starts_[++next_bucket_];
      if (begin == end) continue;
      const auto first = candidates_.begin() + static_cast<std::ptrdiff_t>(begin);
      const auto last = candidates_.begin() + static_cast<std::ptrdiff_t>(end);
      // Equal scores come in order of rank.
      if (!std::is_sorted(first, last, std::greater<>{})) std::sort(first, last, std::greater<>{});
      return {first, last};
    }
    return {};
  }

 private:
  static constexpr std::size_t kFew = 48;

  struct KeyRange {
    std::uint32_t least;
    std::uint32_t greatest;
  };
  static KeyRange key_range(const CandidateList& list) {
    KeyRange range{list.keys[0], list.keys[0]};
    for (std::size_t i = 1; i < list.size; ++i) {
      range.least = std::min(range.least, list.keys[i]);
      range.greatest = std::max(range.greatest, list.keys[i]);
    }
    return range;
  }

  std::vector<Candidate> candidates_;
  std::vector<std::uint32_t> starts_;  // where each bucket begins, and the end of the last
  std::size_t next_bucket_ = 0;
  std::size_t begin_ = 0;
};

}  // namespace lanner::kernels
