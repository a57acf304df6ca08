#include "kernels/candidate_queue.h"

#include <algorithm>
#include <bit>
#include <functional>

namespace lanner::kernels {

namespace {

// Buckets up to this size are sorted by insertion.
constexpr std::size_t kSmall = 32;
// Portions pay where they leave out most of a list.
constexpr std::size_t kPortionsFrom = 4;

constexpr unsigned kMostCountBits = 10;
constexpr unsigned kMostBucketBits = 12;

// How far to shift keys that differ by up to `difference` so that at most `bits` bits are left.
unsigned shift_for(std::uint32_t difference, unsigned bits) {
  const auto width = static_cast<unsigned>(std::bit_width(difference));
  return width > bits ? width - bits : 0;
}

// Of few candidates, most of them already in order.
void insertion_sort(std::span<Candidate> candidates) {
  for (std::size_t i = 1; i < candidates.size(); ++i) {
    const Candidate candidate = candidates[i];
    std::size_t to = i;
    for (; to > 0 && candidates[to - 1] < candidate; --to) candidates[to] = candidates[to - 1];
    candidates[to] = candidate;
  }
}

}  // namespace

void CandidateQueue::fill(const CandidateList& list, std::size_t wanted) {
  list_ = list;
  left_ = list.size;
  counts_.clear();
  next_count_ = 0;
  starts_.clear();
  next_bucket_ = 0;
  if (list.size == 0) return;
  if (list.size <= kFewCandidates) return spread(list, {});
  range_ = loops_.key_range(list);
  wanted_ = std::max<std::size_t>(wanted, 64);
  if (list.size < kPortionsFrom * wanted_) {
    spread(list, range_);
    return;
  }
  count_shift_ = shift_for(range_.greatest - range_.least, kMostCountBits);
  counts_.assign(((range_.greatest - range_.least) >> count_shift_) + 1, 0);
  for (std::size_t i = 0; i < list.size; ++i) ++counts_[(range_.greatest - list.keys[i]) >> count_shift_];
}

bool CandidateQueue::next_portion() {
  const std::size_t first = next_count_;
  std::size_t size = 0;
  while (next_count_ < counts_.size() && size < wanted_) size += counts_[next_count_++];
  if (size == 0) return false;
  wanted_ = 2 * size;
  if (portion_capacity_ < size + kBlock) {
    portion_capacity_ = std::min(2 * size, list_.size) + kBlock;
    portion_memory_ = std::make_unique_for_overwrite<std::uint32_t[]>(2 * portion_capacity_);
  }
  CandidateList portion{portion_memory_.get(), portion_memory_.get() + portion_capacity_, 0};
  // The last range may reach below the least key, but not below 0.
  const std::uint32_t greatest = range_.greatest - (static_cast<std::uint32_t>(first) << count_shift_);
  const std::uint32_t below = static_cast<std::uint32_t>(next_count_) << count_shift_;
  const std::uint32_t least = next_count_ == counts_.size() ? range_.least : range_.greatest - below + 1;
  loops_.select_keys(list_, {least, greatest}, portion);
  spread(portion, {least, greatest});
  return true;
}

void CandidateQueue::spread(const CandidateList& portion, KeyRange range) {
  const std::size_t size = portion.size;
  if (candidates_.size() < size) candidates_.resize(size);
  next_bucket_ = 0;
  sorted_ = size <= kFewCandidates;
  if (sorted_) {
    loops_.sort_few(portion, candidates_.data());
    starts_.assign({0, static_cast<std::uint32_t>(size)});
    return;
  }
  const unsigned shift =
      shift_for(range.greatest - range.least, std::min(kMostBucketBits, static_cast<unsigned>(std::bit_width(size))));
  const auto bucket_of = [=](std::uint32_t key) { return (range.greatest - key) >> shift; };
  // Counted two buckets further on; while candidates are placed, starts_[b + 1] is where the next one of bucket b goes,
  // and in the end where bucket b + 1 begins.
  starts_.assign(bucket_of(range.least) + 3, 0);
  for (std::size_t i = 0; i < size; ++i) ++starts_[bucket_of(portion.keys[i]) + 2];
  for (std::size_t b = 2; b < starts_.size(); ++b) starts_[b] += starts_[b - 1];
  for (std::size_t i = 0; i < size; ++i) {
    candidates_[starts_[bucket_of(portion.keys[i]) + 1]++] = make_candidate(portion.keys[i], portion.rows[i]);
  }
  starts_.pop_back();
}

std::span<const Candidate> CandidateQueue::next() {
  for (;;) {
    while (next_bucket_ + 1 < starts_.size()) {
      const std::size_t begin = starts_[next_bucket_];
      // Small buckets are taken together: candidates move no further than their bucket.
      std::size_t end = starts_[++next_bucket_];
      const bool small = end - begin <= kSmall;
      while (small && end - begin < kSmall && next_bucket_ + 1 < starts_.size() &&
             starts_[next_bucket_ + 1] - end <= kSmall) {
        end = starts_[++next_bucket_];
      }
      if (begin == end) continue;
      left_ -= end - begin;
      const std::span bucket(candidates_.data() + begin, end - begin);
      if (sorted_) return bucket;
      if (small) {
        insertion_sort(bucket);
      } else if (!std::is_sorted(bucket.begin(), bucket.end(), std::greater<>{})) {  // as equal scores are
        std::sort(bucket.begin(), bucket.end(), std::greater<>{});
      }
      return bucket;
    }
    if (!next_portion()) return {};
  }
}

}  // namespace lanner::kernels
