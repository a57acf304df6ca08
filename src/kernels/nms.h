// Greedy non-maximum suppression, exact over all candidates: what NonMaxSuppression and the fused detection heads
// share. Overlap is computed in float32 step by step as ONNX Runtime's CPU kernel does, because the boxes that stay
// must be the same, index for index: intersection and areas as products of side lengths, their union as (first +
// second) - intersection, then one division. A box whose area is not positive (or NaN) neither suppresses nor is
// suppressed.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/parallel.h"
#include "kernels/candidate_queue.h"
#include "kernels/head_inputs.h"
#include "kernels/head_loops.h"
#include "kernels/kernel.h"

namespace lanner::kernels {

// The boxes kept so far, copied together so that a candidate is compared with whole blocks of them.
class KeptBoxes {
 public:
  void clear();
  std::size_t size() const { return size_; }
  // Whether one of them overlaps lane `lane` of `box` by more than `iou_threshold`.
  bool overlap(const HeadLoops& loops, const BoxBlock& box, std::size_t lane, float iou_threshold);
  // Only for a box with an area; others overlap nothing.
  void add(const BoxBlock& box, std::size_t lane);
  // What overlap() has had to look at since clear(), at most.
  std::size_t compared_blocks() const { return compared_blocks_; }

 private:
  std::vector<BoxBlock> blocks_;
  std::size_t size_ = 0;
  std::size_t compared_blocks_ = 0;
};

// Appends to `kept_rows` up to `limit` rows of `queue`, best first: each in order of rank, unless a kept one overlaps
// it by more than `iou_threshold`. Row r is lane r % kBlock of blocks[r / kBlock]. `kept` is scratch.
void suppress(const HeadLoops& loops, CandidateQueue& queue, std::span<const BoxBlock> blocks, float iou_threshold,
              std::size_t limit, KeptBoxes& kept, std::vector<std::uint32_t>& kept_rows);

// Suppression class by class over the boxes of an image, for one or several images.
struct ClassSuppression {
  std::int64_t image_count = 1;
  std::int64_t box_count = 0;    // of an image
  const float* boxes = nullptr;  // [image_count, box_count, 4]
  bool centered = false;
  // Score of box r for class k of image i: scores[i * image_stride + offsets[k] + r * row_stride].
  std::span<const float> scores;
  bool logits = false;  // the score is the sigmoid of that; only where logit_bound() knows a bound for `floor`
  std::int64_t image_stride = 0;
  std::span<const std::int64_t> offsets;
  std::int64_t row_stride = 1;
  ScoreFloor floor;
  float iou_threshold = 0;
  std::int64_t limit = 0;  // of a class, in [0, box_count]
};

// Those of class k of image i are rows[starts[i * class_count + k]] up to the next start, best first.
struct KeptRows {
  std::vector<std::uint32_t> rows;
  std::vector<std::size_t> starts;
};

// Classes run in parallel; the result does not depend on the number of threads.
KeptRows suppress_classes(KernelContext& context, const ClassSuppression& problem);

}  // namespace lanner::kernels
