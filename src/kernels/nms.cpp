// NonMaxSuppression: for each image and class, the boxes that no better kept box overlaps. Images times classes run in
// parallel; the result is ordered by image, class and rank whatever the number of threads.
#include "kernels/nms.h"

#include <cstdint>
#include <limits>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/head_inputs.h"
#include "kernels/kernel.h"

namespace lanner::kernels {

namespace {

void run_nms(KernelContext& context, bool centered) {
  const Tensor& boxes = context.input(0);
  const Tensor& scores = context.input(1);
  if (boxes.element_type() != ElementType::kFloat32 || scores.element_type() != ElementType::kFloat32) {
    base::fail(ErrorCode::kUnimplemented, "op.type", "boxes and scores must be float32, but are {} and {}",
               element_type_name(boxes.element_type()), element_type_name(scores.element_type()));
  }
  if (boxes.rank() != 3 || scores.rank() != 3) {
    base::invalid("op.rank", "boxes and scores must have rank 3, but have shapes {} and {}", boxes.shape().to_string(),
                  scores.shape().to_string());
  }
  const std::int64_t batch = boxes.shape()[0];
  const std::int64_t count = boxes.shape()[1];
  const std::int64_t classes = scores.shape()[1];
  if (boxes.shape()[2] != 4 || scores.shape()[0] != batch || scores.shape()[2] != count) {
    base::invalid("op.shape", "boxes must be [batch,N,4] and scores [batch,classes,N], but are {} and {}",
                  boxes.shape().to_string(), scores.shape().to_string());
  }
  if (count > std::numeric_limits<std::uint32_t>::max()) base::invalid("op.size", "{} boxes are too many", count);
  const std::int64_t limit =
      std::clamp<std::int64_t>(read_count(context, 2, "max_output_boxes_per_class", 0), 0, count);
  const float iou_threshold = read_iou_threshold(context, 3);
  const ScoreFloor floor(read_scalar<float>(context, 4, "score_threshold"));
  const std::int64_t heads = limit == 0 ? 0 : batch * classes;
  std::vector<std::vector<std::uint32_t>> selected(static_cast<std::size_t>(heads));
  const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / 4 / std::max<std::int64_t>(count, 1));
  base::parallel_for(context.threads(), heads, grain, [&](std::int64_t begin, std::int64_t end) {
    std::vector<Candidate> candidates;
    KeptBoxes kept;
    for (std::int64_t head = begin; head < end; ++head) {
      const float* class_scores = scores.data<float>() + head * count;
      const float* image_boxes = boxes.data<float>() + head / classes * count * 4;
      candidates.clear();
      for (std::int64_t i = 0; i < count; ++i) {
        if (!floor.passes(class_scores[i])) continue;
        candidates.push_back(make_candidate(class_scores[i], static_cast<std::uint32_t>(i)));
      }
      const auto box_at = [&](std::uint32_t index) {
        const float* box = image_boxes + 4 * static_cast<std::size_t>(index);
        return centered ? box_from_center(box) : box_from_corners(box);
      };
      suppress(candidates, iou_threshold, static_cast<std::size_t>(limit), box_at, kept,
               selected[static_cast<std::size_t>(head)]);
    }
  });
  std::int64_t total = 0;
  for (const auto& indices : selected) total += static_cast<std::int64_t>(indices.size());
  Tensor& out = context.allocate_output(0, ElementType::kInt64, {total, 3});
  auto* row = out.data<std::int64_t>();
  for (std::int64_t head = 0; head < heads; ++head) {
    for (const std::uint32_t index : selected[static_cast<std::size_t>(head)]) {
      row[0] = head / classes;
      row[1] = head % classes;
      row[2] = index;
      row += 3;
    }
  }
}

}  // namespace

std::unique_ptr<Kernel> make_NonMaxSuppression(const KernelInfo& info) {
  const std::int64_t centered = info.attributes.get_int("center_point_box", 0);
  if (centered != 0 && centered != 1) {
    base::invalid("op.attribute", "attribute 'center_point_box' must be 0 or 1, but is {}", centered);
  }
  return make_kernel([centered](KernelContext& context) { run_nms(context, centered == 1); });
}

}  // namespace lanner::kernels
