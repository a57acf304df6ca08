// Scores that are the sigmoid of a tensor's elements (logits), computed only where they can pass a threshold: most of a
// detection head's scores do not. The scores have the bits that Sigmoid gives them.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "kernels/head_loops.h"
#include "kernels/kernel.h"

namespace lanner::kernels {

// The scores of all of `logits`, float32 of one axis.
Tensor score_all(KernelContext& context, std::span<const float> logits);

// A bound such that the score of every logit up to it is not above `floor`; a logit above it may still have such a
// score. Nothing where `floor` allows no such bound, or all scores, or NaN.
std::optional<float> logit_bound(const CandidateFilter& filter);

// Turns a list of logits into the list of their scores that are above `floor`. `scratch` is kept for its memory.
void score_logits(CandidateList& list, float floor, std::vector<float>& scratch);

}  // namespace lanner::kernels
