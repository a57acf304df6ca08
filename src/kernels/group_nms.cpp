// GroupNonMaxSuppression: NonMaxSuppression of one image and one class whose boxes were shifted apart by group (class,
// image or pyramid level), so that boxes of different groups do not meet; made by the compiler and no ONNX operator.
// The result is that of NonMaxSuppression on the same shifted boxes, index for index; the groups only say which pairs
// need no look.
//
// Inputs: shifted float32[1,M,4], corners; scores float32[1,1,M]; groups int64, int32 or float32, M elements; boxes
// before the shift, not read; max_output_boxes_per_class, iou_threshold, score_threshold as in NonMaxSuppression.
// Output: int64[K,3] of (0, 0, row).
//
// Why skipping is exact: two boxes overlap only where their x intervals do, so groups whose intervals of the shifted,
// rounded x coordinates are disjoint cannot suppress each other. That is looked up in the coordinates themselves;
// where it does not hold (rounding of large coordinates, negative boxes, anything that is not finite), or a group is no
// small whole number, all boxes are one group.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/head_inputs.h"
#include "kernels/kernel.h"
#include "kernels/nms.h"

namespace lanner::kernels {

namespace {

// Rows sorted by group: those of group g are rows[starts[g]] to rows[starts[g + 1]], in ascending order.
struct Groups {
  std::vector<std::uint32_t> rows;
  std::vector<std::uint32_t> starts;

  std::int64_t size() const { return static_cast<std::int64_t>(starts.size()) - 1; }
  std::span<const std::uint32_t> operator[](std::size_t group) const {
    return {rows.data() + starts[group], rows.data() + starts[group + 1]};
  }
};

Groups one_group(std::size_t count) {
  Groups groups{std::vector<std::uint32_t>(count), {0, static_cast<std::uint32_t>(count)}};
  for (std::size_t i = 0; i < count; ++i) groups.rows[i] = static_cast<std::uint32_t>(i);
  return groups;
}

// Sorts rows by their id; one group of all when an id is no whole number in [0, 65536).
template <typename T>
Groups group_rows(std::span<const T> ids) {
  constexpr T kLimit = 65536;
  T largest = 0;
  for (const T id : ids) {
    if (!(id >= 0 && id < kLimit) || static_cast<T>(static_cast<std::uint32_t>(id)) != id) {
      return one_group(ids.size());
    }
    largest = std::max(largest, id);
  }
  Groups groups{std::vector<std::uint32_t>(ids.size()),
                std::vector<std::uint32_t>(static_cast<std::size_t>(largest) + 2, 0)};
  // After the placement below, starts[g] has moved to where g + 1 begins: count one place further on.
  std::vector<std::uint32_t> next(groups.starts.size(), 0);
  for (const T id : ids) ++groups.starts[static_cast<std::size_t>(id) + 1];
  for (std::size_t g = 1; g < groups.starts.size(); ++g) groups.starts[g] += groups.starts[g - 1];
  next = groups.starts;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    groups.rows[next[static_cast<std::size_t>(ids[i])]++] = static_cast<std::uint32_t>(i);
  }
  return groups;
}

Groups group_rows(const Tensor& ids, std::int64_t count) {
  if (ids.element_count() != count) {
    base::invalid("op.shape", "groups must hold {} elements, but are {}", count, ids.type_string());
  }
  switch (ids.element_type()) {
    case ElementType::kInt64:
      return group_rows(ids.values<std::int64_t>());
    case ElementType::kInt32:
      return group_rows(ids.values<std::int32_t>());
    case ElementType::kFloat32:
      return group_rows(ids.values<float>());
    default:
      base::invalid("op.type", "groups must be int64, int32 or float32, but are {}",
                    element_type_name(ids.element_type()));
  }
}

// Whether no box of one group can overlap a box of another. A box without an area (or with NaN) overlaps none.
bool apart(const Groups& groups, const float* boxes) {
  struct Interval {
    float low;
    float high;
  };
  std::vector<Interval> intervals;
  for (std::size_t g = 0; g < static_cast<std::size_t>(groups.size()); ++g) {
    Interval interval{std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()};
    for (const std::uint32_t row : groups[g]) {
      const Box box = box_from_corners(boxes + 4 * static_cast<std::size_t>(row));
      if (std::isnan(box.x_min) || std::isnan(box.x_max)) continue;
      interval.low = std::min(interval.low, box.x_min);
      interval.high = std::max(interval.high, box.x_max);
    }
    if (interval.low < interval.high) intervals.push_back(interval);
  }
  const auto meets = [](const Interval& a, const Interval& b) { return b.low < a.high; };
  std::ranges::sort(intervals, {}, &Interval::low);
  return std::ranges::adjacent_find(intervals, meets) == intervals.end();
}

void run_group_nms(KernelContext& context) {
  const Tensor& boxes = context.input(0);
  const Tensor& scores = context.input(1);
  if (boxes.element_type() != ElementType::kFloat32 || scores.element_type() != ElementType::kFloat32) {
    base::fail(ErrorCode::kUnimplemented, "op.type", "boxes and scores must be float32, but are {} and {}",
               element_type_name(boxes.element_type()), element_type_name(scores.element_type()));
  }
  const std::int64_t count = scores.element_count();
  if (boxes.shape() != Shape({1, count, 4}) || scores.shape() != Shape({1, 1, count})) {
    base::invalid("op.shape", "boxes must be [1,M,4] and scores [1,1,M], but are {} and {}", boxes.shape().to_string(),
                  scores.shape().to_string());
  }
  if (count > std::numeric_limits<std::uint32_t>::max()) base::invalid("op.size", "{} boxes are too many", count);
  const std::int64_t limit =
      std::clamp<std::int64_t>(read_count(context, 4, "max_output_boxes_per_class", 0), 0, count);
  const float iou_threshold = read_iou_threshold(context, 5);
  const ScoreFloor floor(read_scalar<float>(context, 6, "score_threshold"));

  Groups groups = group_rows(context.input(2), count);
  const auto* box_data = boxes.data<float>();
  const auto* score_data = scores.data<float>();
  if (!apart(groups, box_data)) groups = one_group(static_cast<std::size_t>(count));

  const std::int64_t group_count = limit == 0 ? 0 : groups.size();
  std::vector<std::vector<std::uint32_t>> selected(static_cast<std::size_t>(group_count));
  const std::int64_t grain =
      std::max<std::int64_t>(1, kElementGrain / 4 * group_count / std::max<std::int64_t>(count, 1));
  base::parallel_for(context.threads(), group_count, grain, [&](std::int64_t begin, std::int64_t end) {
    std::vector<Candidate> candidates;
    KeptBoxes kept;
    for (std::int64_t g = begin; g < end; ++g) {
      candidates.clear();
      for (const std::uint32_t row : groups[static_cast<std::size_t>(g)]) {
        if (floor.passes(score_data[row])) candidates.push_back(make_candidate(score_data[row], row));
      }
      const auto box_at = [&](std::uint32_t row) {
        return box_from_corners(box_data + 4 * static_cast<std::size_t>(row));
      };
      suppress(candidates, iou_threshold, static_cast<std::size_t>(limit), box_at, kept,
               selected[static_cast<std::size_t>(g)]);
    }
  });
  // No group has more than `limit` of the best `limit`, so cutting the merged list is what one list would have kept.
  std::vector<Candidate> merged;
  for (const auto& rows : selected) {
    for (const std::uint32_t row : rows) merged.push_back(make_candidate(score_data[row], row));
  }
  std::ranges::sort(merged, std::greater<>{});
  const auto total = std::min<std::int64_t>(limit, static_cast<std::int64_t>(merged.size()));
  auto* out = context.allocate_output(0, ElementType::kInt64, {total, 3}).data<std::int64_t>();
  for (std::int64_t i = 0; i < total; ++i) {
    *out++ = 0;
    *out++ = 0;
    *out++ = candidate_index(merged[static_cast<std::size_t>(i)]);
  }
}

}  // namespace

std::unique_ptr<Kernel> make_GroupNonMaxSuppression(const KernelInfo&) {
  return make_kernel([](KernelContext& context) { run_group_nms(context); });
}

}  // namespace lanner::kernels
