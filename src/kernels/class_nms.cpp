// ClassNonMaxSuppression: N siblings over the same boxes, each a score filter followed by NonMaxSuppression of what is
// left; made by the compiler and no ONNX operator.
//
// Inputs: boxes float32[A,4], leading ones allowed; scores float32 of any shape; optional filter_threshold float32;
// max_output_boxes_per_class int64 or int32, nothing is kept when absent or not positive; optional iou_threshold
// float32, 0; optional score_threshold float32. A row is a candidate when its score is above both thresholds.
// Attributes: `offsets` and `row_stride`, head_inputs.h; `center_point_box` as in NonMaxSuppression; `activation`,
// head_inputs.h.
// Outputs, sibling after sibling, each best first: rows int64[M], indices into boxes; siblings int64[M]; scores
// float32[M]; boxes float32[M,4], as they came.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/fail.h"
#include "kernels/head_inputs.h"
#include "kernels/kernel.h"
#include "kernels/logit_scores.h"
#include "kernels/nms.h"
#include "kernels/softmax_scores.h"
#include "kernels/vector_math.h"

namespace lanner::kernels {

namespace {

// Throws `op.type` or `op.shape` unless `boxes` is float32[A,4] behind any number of ones; returns A.
std::int64_t box_count(const Tensor& boxes) {
  if (boxes.element_type() != ElementType::kFloat32) {
    base::fail(ErrorCode::kUnimplemented, "op.type", "boxes must be float32, but are {}",
               element_type_name(boxes.element_type()));
  }
  const Shape& shape = boxes.shape();
  const int rank = shape.rank();
  if (rank < 2 || shape[rank - 1] != 4 || shape.element_count(0, rank - 2) != 1) {
    base::invalid("op.shape", "boxes must be [A,4], but are {}", shape.to_string());
  }
  return shape[rank - 2];
}

// The boxes of some rows.
Tensor boxes_of(KernelContext& context, const float* boxes, const std::vector<std::uint32_t>& rows) {
  Tensor some = context.allocate_scratch(ElementType::kFloat32, {static_cast<std::int64_t>(rows.size()), 4});
  auto* out = some.data<float>();
  for (const std::uint32_t row : rows) out = std::copy_n(boxes + 4 * static_cast<std::size_t>(row), 4, out);
  return some;
}

void run_class_nms(KernelContext& context, const SiblingLayout& layout, bool centered, Activation activation) {
  const Tensor& boxes = context.input(0);
  const std::int64_t count = box_count(boxes);
  // With Softmax, of the rows of which a score can pass.
  PickedScores picked{context.input(1), {}};
  Tensor& scores = picked.scores;
  layout.check(scores, count);
  ClassSuppression problem;
  problem.box_count = count;
  problem.boxes = boxes.data<float>();
  problem.centered = centered;
  problem.offsets = layout.offsets;
  problem.row_stride = layout.row_stride;
  problem.floor =
      ScoreFloor(read_scalar<float>(context, 2, "filter_threshold"), read_scalar<float>(context, 5, "score_threshold"));
  const CandidateFilter filter = problem.floor.filter(0);
  Tensor picked_boxes;
  if (activation == Activation::kSigmoid) {
    problem.logits = logit_bound(filter).has_value();
    if (!problem.logits) scores = score_all(context, scores.values<float>());
  } else if (activation == Activation::kSoftmax) {
    picked = pick_softmax_rows(context, scores, layout, count, filter);
    if (picked.rows) {
      picked_boxes = boxes_of(context, problem.boxes, *picked.rows);
      problem.boxes = picked_boxes.data<float>();
      problem.box_count = picked.row_count();
    }
  }
  problem.scores = scores.values<float>();
  problem.limit =
      std::clamp<std::int64_t>(read_count(context, 3, "max_output_boxes_per_class", 0), 0, problem.box_count);
  problem.iou_threshold = read_iou_threshold(context, 4);
  const KeptRows kept = suppress_classes(context, problem);

  const auto total = static_cast<std::int64_t>(kept.rows.size());
  auto* row_out = context.allocate_output(0, ElementType::kInt64, {total}).data<std::int64_t>();
  auto* sibling_out = context.allocate_output(1, ElementType::kInt64, {total}).data<std::int64_t>();
  auto* const all_scores_out = context.allocate_output(2, ElementType::kFloat32, {total}).data<float>();
  float* score_out = all_scores_out;
  auto* box_out = context.allocate_output(3, ElementType::kFloat32, {total, 4}).data<float>();
  for (std::size_t k = 0; k < layout.offsets.size(); ++k) {
    for (std::size_t i = kept.starts[k]; i < kept.starts[k + 1]; ++i) {
      const std::uint32_t row = kept.rows[i];
      *row_out++ = picked.original(row);
      *sibling_out++ = static_cast<std::int64_t>(k);
      *score_out++ = problem.scores[static_cast<std::size_t>(layout.offsets[k] + row * layout.row_stride)];
      box_out = std::copy_n(problem.boxes + 4 * static_cast<std::size_t>(row), 4, box_out);
    }
  }
  if (problem.logits) math::sigmoid_array(all_scores_out, all_scores_out, total);
}

}  // namespace

std::unique_ptr<Kernel> make_ClassNonMaxSuppression(const KernelInfo& info) {
  const std::int64_t centered = info.attributes.get_int("center_point_box", 0);
  if (centered != 0 && centered != 1) {
    base::invalid("op.attribute", "attribute 'center_point_box' must be 0 or 1, but is {}", centered);
  }
  return make_kernel([centered, activation = read_activation(info.attributes), layout = SiblingLayout(info.attributes)](
                         KernelContext& context) { run_class_nms(context, layout, centered == 1, activation); });
}

}  // namespace lanner::kernels
