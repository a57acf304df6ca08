// Scores that are the softmax of each row of logits, computed only for rows in which one can pass a threshold: where a
// background class is far more likely than all others, none can. The scores have the bits that Softmax gives them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/head_inputs.h"
#include "kernels/kernel.h"

namespace lanner::kernels {

// Some rows of scores, and which rows of the logits they are, ascending; nothing when they are all of them.
struct PickedScores {
  Tensor scores;  // float32[N,length]
  std::optional<std::vector<std::uint32_t>> rows;

  std::int64_t row_count() const { return scores.shape()[0]; }
  std::uint32_t original(std::uint32_t row) const { return rows ? (*rows)[row] : row; }
};

// Those that hold a score of a sibling which `filter` passes, and perhaps others. `logits` are float32, `row_count`
// rows along their last axis; throws `op.shape` unless they are and the siblings are columns of these rows.
PickedScores pick_softmax_rows(KernelContext& context, const Tensor& logits, const SiblingLayout& layout,
                               std::int64_t row_count, const CandidateFilter& filter);

}  // namespace lanner::kernels
