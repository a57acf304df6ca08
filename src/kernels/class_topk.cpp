// ClassTopK: N siblings over one tensor of scores, each a score filter followed by TopK of at most what is left; made
// by the compiler and no ONNX operator.
//
// Inputs: scores float32 of any shape; optional filter_threshold float32, a row is a candidate when its score is above
// it; k int64 or int32. Attributes: `offsets` and `row_stride`, head_inputs.h; `row_count`, or -1 for the size of axis
// `row_axis` of scores.
// Outputs, sibling after sibling, each as TopK orders: rows int64[M]; siblings int64[M]; scores float32[M].
#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/head_inputs.h"
#include "kernels/kernel.h"
#include "kernels/order_key.h"

namespace lanner::kernels {

namespace {

// An element by rank, as TopK ranks: NaN is the greatest.
std::uint64_t make_entry(float score, std::uint32_t row) {
  return static_cast<std::uint64_t>(order_key(score)) << 32 | static_cast<std::uint32_t>(~row);
}
std::uint32_t row_of(std::uint64_t entry) {
  return static_cast<std::uint32_t>(~static_cast<std::uint32_t>(entry));
}

void run_class_topk(KernelContext& context, const SiblingLayout& layout, std::int64_t row_count,
                    std::int64_t row_axis) {
  const Tensor& scores = context.input(0);
  const std::int64_t count = row_count >= 0 ? row_count : scores.shape()[normalize_axis(row_axis, scores.rank())];
  layout.check(scores, count);
  const ScoreFloor floor(read_scalar<float>(context, 1, "filter_threshold"));
  context.input(2);
  const std::int64_t k = read_count(context, 2, "k", 0);
  if (k < 0) base::invalid("op.value", "input 'k' must not be negative, but is {}", k);

  const std::int64_t siblings = layout.sibling_count();
  const auto* data = scores.data<float>();
  std::vector<std::vector<std::uint64_t>> best(static_cast<std::size_t>(siblings));
  const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(count, 1));
  base::parallel_for(context.threads(), siblings, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t sibling = begin; sibling < end; ++sibling) {
      const float* column = data + layout.offsets[static_cast<std::size_t>(sibling)];
      auto& entries = best[static_cast<std::size_t>(sibling)];
      for (std::int64_t row = 0; row < count; ++row) {
        const float score = column[row * layout.row_stride];
        if (floor.passes(score)) entries.push_back(make_entry(score, static_cast<std::uint32_t>(row)));
      }
      const auto wanted = std::min<std::int64_t>(k, static_cast<std::int64_t>(entries.size()));
      std::partial_sort(entries.begin(), entries.begin() + wanted, entries.end(), std::greater<>{});
      entries.resize(static_cast<std::size_t>(wanted));
    }
  });

  std::int64_t total = 0;
  for (const auto& entries : best) total += static_cast<std::int64_t>(entries.size());
  auto* row_out = context.allocate_output(0, ElementType::kInt64, {total}).data<std::int64_t>();
  auto* sibling_out = context.allocate_output(1, ElementType::kInt64, {total}).data<std::int64_t>();
  auto* score_out = context.allocate_output(2, ElementType::kFloat32, {total}).data<float>();
  for (std::int64_t sibling = 0; sibling < siblings; ++sibling) {
    const float* column = data + layout.offsets[static_cast<std::size_t>(sibling)];
    for (const std::uint64_t entry : best[static_cast<std::size_t>(sibling)]) {
      const std::uint32_t row = row_of(entry);
      *row_out++ = row;
      *sibling_out++ = sibling;
      *score_out++ = column[row * layout.row_stride];
    }
  }
}

}  // namespace

std::unique_ptr<Kernel> make_ClassTopK(const KernelInfo& info) {
  const std::int64_t row_count = info.attributes.get_int("row_count", -1);
  if (row_count < -1) base::invalid("op.attribute", "attribute 'row_count' must be at least -1, but is {}", row_count);
  return make_kernel([row_count, row_axis = info.attributes.get_int("row_axis", 0),
                      layout = SiblingLayout(info.attributes)](KernelContext& context) {
    run_class_topk(context, layout, row_count, row_axis);
  });
}

}  // namespace lanner::kernels
