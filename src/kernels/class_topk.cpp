// ClassTopK: N siblings over one tensor of scores, each a score filter followed by TopK of at most what is left; made
// by the compiler and no ONNX operator.
//
// Inputs: scores float32 of any shape; optional filter_threshold float32, a row is a candidate when its score is above
// it; k int64 or int32. Attributes: `offsets` and `row_stride`, head_inputs.h; `row_count`, or -1 for the size of axis
// `row_axis` of scores; `activation`, head_inputs.h.
// Outputs, sibling after sibling, each as TopK orders: rows int64[M]; siblings int64[M]; scores float32[M].
#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "base/fail.h"
#include "kernels/candidate_queue.h"
#include "kernels/head_inputs.h"
#include "kernels/head_loops.h"
#include "kernels/kernel.h"
#include "kernels/logit_scores.h"
#include "kernels/order_key.h"
#include "kernels/sibling_scores.h"
#include "kernels/softmax_scores.h"
#include "kernels/vector_math.h"

namespace lanner::kernels {

namespace {

// What a thread needs for a run of siblings.
struct Scratch {
  explicit Scratch(const HeadLoops& loops) : queue(loops) {}

  SiblingCandidates candidates;
  CandidateQueue queue;
  std::vector<float> scores;
};

struct Settings {
  SiblingLayout layout;
  std::int64_t row_count;
  std::int64_t row_axis;
  Activation activation;
};

void run_class_topk(KernelContext& context, const Settings& settings) {
  SiblingLayout layout = settings.layout;
  // With Softmax, of the rows of which a score can pass.
  PickedScores picked{context.input(0), {}};
  Tensor& scores = picked.scores;
  std::int64_t count = settings.row_count;
  if (count < 0) count = scores.shape()[normalize_axis(settings.row_axis, scores.rank())];
  layout.check(scores, count);
  const ScoreFloor floor(read_scalar<float>(context, 1, "filter_threshold"));
  context.input(2);
  const std::int64_t k = read_count(context, 2, "k", 0);
  if (k < 0) base::invalid("op.value", "input 'k' must not be negative, but is {}", k);

  const HeadLoops& loops = head_loops();
  const CandidateFilter filter = floor.filter(order_key(std::numeric_limits<float>::quiet_NaN()));
  CandidateFilter collected = filter;
  const std::optional<float> bound = logit_bound(filter);
  const bool logits = settings.activation == Activation::kSigmoid && bound;
  if (logits) {
    collected.floor = *bound;
  } else if (settings.activation == Activation::kSigmoid) {
    const std::span<const float> used = layout.used(scores, count);
    if (!used.empty()) {
      const std::ptrdiff_t first = used.data() - scores.data<float>();
      for (std::int64_t& offset : layout.offsets) offset -= first;
    }
    scores = score_all(context, used);
  } else if (settings.activation == Activation::kSoftmax) {
    picked = pick_softmax_rows(context, scores, layout, count, filter);
    count = picked.row_count();
  }
  const int threads = worthwhile_threads(
      context.threads(), estimate_work_ns(layout.used(scores, count), layout.sibling_count() * count, collected));
  const auto runs = sibling_runs(layout.offsets, layout.row_stride, count, threads);
  std::vector<std::vector<std::uint32_t>> best(runs.size());
  std::vector<std::size_t> sizes(layout.offsets.size());
  share_out<Scratch>(loops, threads, static_cast<std::int64_t>(runs.size()), [&](Scratch& scratch, std::int64_t unit) {
    const SiblingRun run = runs[static_cast<std::size_t>(unit)];
    const auto first = static_cast<std::size_t>(run.first);
    auto& rows = best[static_cast<std::size_t>(unit)];
    scratch.candidates.collect(loops, scores.values<float>(), layout.offsets[first], run.count, layout.row_stride,
                               count, collected);
    for (std::int64_t sibling = 0; sibling < run.count; ++sibling) {
      CandidateList& list = scratch.candidates[sibling];
      if (logits) score_logits(list, filter.floor, scratch.scores);
      const std::size_t wanted = std::min(static_cast<std::size_t>(k), list.size);
      sizes[first + static_cast<std::size_t>(sibling)] = wanted;
      if (wanted == 0) continue;
      scratch.queue.fill(list, wanted);
      for (std::size_t left = wanted; left > 0;) {
        const auto candidates = scratch.queue.next();
        const std::size_t taken = std::min(left, candidates.size());
        for (std::size_t i = 0; i < taken; ++i) rows.push_back(candidate_row(candidates[i]));
        left -= taken;
      }
    }
  });

  std::size_t total = 0;
  for (const std::size_t size : sizes) total += size;
  const auto shape = Shape{static_cast<std::int64_t>(total)};
  auto* row_out = context.allocate_output(0, ElementType::kInt64, shape).data<std::int64_t>();
  auto* sibling_out = context.allocate_output(1, ElementType::kInt64, shape).data<std::int64_t>();
  auto* const all_scores_out = context.allocate_output(2, ElementType::kFloat32, shape).data<float>();
  float* score_out = all_scores_out;
  for (std::size_t unit = 0; unit < runs.size(); ++unit) {
    const std::uint32_t* row = best[unit].data();
    for (std::int64_t sibling = runs[unit].first; sibling < runs[unit].first + runs[unit].count; ++sibling) {
      const std::int64_t offset = layout.offsets[static_cast<std::size_t>(sibling)];
      for (std::size_t i = 0; i < sizes[static_cast<std::size_t>(sibling)]; ++i, ++row) {
        *row_out++ = picked.original(*row);
        *sibling_out++ = sibling;
        *score_out++ = scores.data<float>()[offset + *row * layout.row_stride];
      }
    }
  }
  if (logits) math::sigmoid_array(all_scores_out, all_scores_out, static_cast<std::int64_t>(total));
}

}  // namespace

std::unique_ptr<Kernel> make_ClassTopK(const KernelInfo& info) {
  const std::int64_t row_count = info.attributes.get_int("row_count", -1);
  if (row_count < -1) base::invalid("op.attribute", "attribute 'row_count' must be at least -1, but is {}", row_count);
  return make_kernel([settings = Settings{SiblingLayout(info.attributes), row_count,
                                          info.attributes.get_int("row_axis", 0), read_activation(info.attributes)}](
                         KernelContext& context) { run_class_topk(context, settings); });
}

}  // namespace lanner::kernels
