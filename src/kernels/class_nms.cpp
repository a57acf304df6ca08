// ClassNonMaxSuppression: N siblings over the same boxes, each a score filter followed by NonMaxSuppression of what is
// left; made by the compiler and no ONNX operator.
//
// Inputs: boxes float32[A,4], leading ones allowed; scores float32 of any shape; optional filter_threshold float32;
// max_output_boxes_per_class int64 or int32, nothing is kept when absent or not positive; optional iou_threshold
// float32, 0; optional score_threshold float32. A row is a candidate when its score is above both thresholds.
// Attributes: `offsets` and `row_stride`, head_inputs.h; `center_point_box` as in NonMaxSuppression; `activation`, when
// "Sigmoid", says that a score is the sigmoid of what `scores` holds, as the operator Sigmoid computes it.
// Outputs, sibling after sibling, each best first: rows int64[M], indices into boxes; siblings int64[M]; scores
// float32[M]; boxes float32[M,4], as they came.
#include <algorithm>
#include <cstdint>
#include <string>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/head_inputs.h"
#include "kernels/kernel.h"
#include "kernels/logit_scores.h"
#include "kernels/nms.h"
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

// The scores of logits, all of them.
Tensor all_scores(KernelContext& context, const Tensor& logits) {
  Tensor scores = context.allocate_scratch(ElementType::kFloat32, logits.shape());
  base::parallel_for(context.threads(), logits.element_count(), kElementGrain,
                     [&](std::int64_t begin, std::int64_t end) {
                       math::sigmoid_array(logits.data<float>() + begin, scores.data<float>() + begin, end - begin);
                     });
  return scores;
}

void run_class_nms(KernelContext& context, const SiblingLayout& layout, bool centered, bool logits) {
  const Tensor& boxes = context.input(0);
  Tensor scores = context.input(1);
  const std::int64_t count = box_count(boxes);
  layout.check(scores, count);
  const auto* box_data = boxes.data<float>();
  ClassSuppression problem;
  problem.box_count = count;
  problem.boxes = box_data;
  problem.centered = centered;
  problem.offsets = layout.offsets;
  problem.row_stride = layout.row_stride;
  problem.floor =
      ScoreFloor(read_scalar<float>(context, 2, "filter_threshold"), read_scalar<float>(context, 5, "score_threshold"));
  if (logits) {
    problem.logits = logit_bound(problem.floor.filter(0)).has_value();
    if (!problem.logits) scores = all_scores(context, scores);
  }
  problem.scores = scores.values<float>();
  problem.limit = std::clamp<std::int64_t>(read_count(context, 3, "max_output_boxes_per_class", 0), 0, count);
  problem.iou_threshold = read_iou_threshold(context, 4);
  const KeptRows kept = suppress_classes(context, problem);

  const auto total = static_cast<std::int64_t>(kept.rows.size());
  auto* row_out = context.allocate_output(0, ElementType::kInt64, {total}).data<std::int64_t>();
  auto* sibling_out = context.allocate_output(1, ElementType::kInt64, {total}).data<std::int64_t>();
  auto* const all_scores_out = context.allocate_output(2, ElementType::kFloat32, {total}).data<float>();
  float* score_out = all_scores_out;
  auto* box_out = context.allocate_output(3, ElementType::kFloat32, {total, 4}).data<float>();
  for (std::size_t k = 0; k < layout.offsets.size(); ++k) {
    const float* column = scores.data<float>() + layout.offsets[k];
    for (std::size_t i = kept.starts[k]; i < kept.starts[k + 1]; ++i) {
      const std::uint32_t row = kept.rows[i];
      *row_out++ = row;
      *sibling_out++ = static_cast<std::int64_t>(k);
      *score_out++ = column[row * layout.row_stride];
      box_out = std::copy_n(box_data + 4 * static_cast<std::size_t>(row), 4, box_out);
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
  const std::string activation = info.attributes.get_string("activation", "");
  if (!activation.empty() && activation != "Sigmoid") {
    base::invalid("op.attribute", "attribute 'activation' must be \"Sigmoid\" or absent, but is \"{}\"", activation);
  }
  return make_kernel([centered, logits = !activation.empty(), layout = SiblingLayout(info.attributes)](
                         KernelContext& context) { run_class_nms(context, layout, centered == 1, logits); });
}

}  // namespace lanner::kernels
