// Greedy non-maximum suppression of one class, exact over all candidates: the pieces that NonMaxSuppression and the
// fused detection heads share. Overlap is computed in float32 step by step as ONNX Runtime's CPU kernel does, because
// the boxes that stay must be the same, index for index: intersection and areas as products of side lengths, their
// union as (first + second) - intersection, then one division. A box whose area is not positive (or NaN) neither
// suppresses nor is suppressed.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "kernels/order_key.h"

namespace lanner::kernels {

struct Box {
  float x_min;
  float y_min;
  float x_max;
  float y_max;
};

// A box of two opposite corners (y1, x1, y2, x2), in any order.
inline Box box_from_corners(const float* corners) {
  Box box;
  const auto order = [](float a, float b, float& low, float& high) {
    low = a >= b ? b : a;
    high = a >= b ? a : b;
  };
  order(corners[0], corners[2], box.y_min, box.y_max);
  order(corners[1], corners[3], box.x_min, box.x_max);
  return box;
}

// A box of (x centre, y centre, width, height).
inline Box box_from_center(const float* center) {
  const float half_width = center[2] / 2;
  const float half_height = center[3] / 2;
  return {center[0] - half_width, center[1] - half_height, center[0] + half_width, center[1] + half_height};
}

// The boxes kept so far, one array a coordinate, filled up to whole blocks with boxes of area 0.
class KeptBoxes {
 public:
  std::size_t size() const { return size_; }
  void clear() {
    size_ = 0;
    blocks_.clear();
  }
  void add(const Box& box) {
    const std::size_t lane = size_ % kLanes;
    if (lane == 0) blocks_.push_back({});
    Block& block = blocks_.back();
    block.x_min[lane] = box.x_min;
    block.y_min[lane] = box.y_min;
    block.x_max[lane] = box.x_max;
    block.y_max[lane] = box.y_max;
    block.area[lane] = area_of(box);
    ++size_;
  }
  // Whether a kept box overlaps `box` by more than `iou_threshold`.
  bool overlap(const Box& box, float iou_threshold) const {
    const float area = area_of(box);
    if (!(area > 0)) return false;
    for (const Block& block : blocks_) {
      std::int32_t hits = 0;
      for (std::size_t i = 0; i < kLanes; ++i) {
        const float x_min = std::max(block.x_min[i], box.x_min);
        const float y_min = std::max(block.y_min[i], box.y_min);
        const float x_max = std::min(block.x_max[i], box.x_max);
        const float y_max = std::min(block.y_max[i], box.y_max);
        const float intersection = (x_max - x_min) * (y_max - y_min);
        const float joined = block.area[i] + area - intersection;
        const float iou = intersection / joined;
        hits |= static_cast<std::int32_t>((x_max > x_min) & (y_max > y_min) & (intersection > 0) & (block.area[i] > 0) &
                                          (joined > 0) & (iou > iou_threshold));
      }
      if (hits != 0) return true;
    }
    return false;
  }

 private:
  static constexpr std::size_t kLanes = 16;
  struct Block {
    std::array<float, kLanes> x_min{};
    std::array<float, kLanes> y_min{};
    std::array<float, kLanes> x_max{};
    std::array<float, kLanes> y_max{};
    std::array<float, kLanes> area{};
  };

  static float area_of(const Box& box) { return (box.x_max - box.x_min) * (box.y_max - box.y_min); }

  std::vector<Block> blocks_;
  std::size_t size_ = 0;
};

// A candidate by rank: its score's order key above its inverted index, so that greater is better and, of equal scores,
// the lower index. A NaN score ranks last.
using Candidate = std::uint64_t;
inline Candidate make_candidate(float score, std::uint32_t index) {
  const std::uint32_t key = score != score ? 0 : order_key(score);
  return static_cast<Candidate>(key) << 32 | static_cast<std::uint32_t>(~index);
}
inline std::uint32_t candidate_index(Candidate candidate) {
  return static_cast<std::uint32_t>(~static_cast<std::uint32_t>(candidate));
}

// Appends to `selected` the indices of up to `limit` boxes, best first: each candidate in order of rank, unless a
// selected one overlaps it by more than `iou_threshold`. `box_at(index)` returns a candidate's Box. Reorders
// `candidates`, sorting only as far as the selection gets. `kept` is scratch, kept between calls for its memory.
template <typename BoxAt>
void suppress(std::span<Candidate> candidates, float iou_threshold, std::size_t limit, BoxAt&& box_at, KeptBoxes& kept,
              std::vector<std::uint32_t>& selected) {
  kept.clear();
  std::size_t sorted = 0;
  std::size_t stretch = std::max<std::size_t>(256, std::min(2 * limit, candidates.size()));
  while (sorted < candidates.size() && kept.size() < limit) {
    const std::size_t next = std::min(candidates.size(), sorted + stretch);
    const auto first = candidates.begin() + static_cast<std::ptrdiff_t>(sorted);
    const auto last = candidates.begin() + static_cast<std::ptrdiff_t>(next);
    if (next < candidates.size()) std::nth_element(first, last, candidates.end(), std::greater<>{});
    std::sort(first, last, std::greater<>{});
    for (; sorted < next && kept.size() < limit; ++sorted) {
      const std::uint32_t index = candidate_index(candidates[sorted]);
      const Box box = box_at(index);
      if (kept.overlap(box, iou_threshold)) continue;
      kept.add(box);
      selected.push_back(index);
    }
    stretch *= 2;
  }
}

}  // namespace lanner::kernels
