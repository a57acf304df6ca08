// GroupNonMaxSuppression: NonMaxSuppression of one image and one class whose boxes were shifted apart by group (class,
// image or pyramid level), so that boxes of different groups do not meet; made by the compiler and no ONNX operator.
// The result is that of NonMaxSuppression on the same shifted boxes, index for index; the groups only say which pairs
// need no look.
//
// Inputs: shifted float32[1,M,4], corners; scores float32[1,1,M]; groups int64, int32 or float32, M elements or one
// for all; max_output_boxes_per_class, iou_threshold, score_threshold as in NonMaxSuppression. Output: int64[K,3] of
// (0, 0, row).
//
// Why skipping is exact: two boxes overlap only where their x intervals do, so groups whose intervals of the shifted,
// rounded x coordinates are disjoint cannot suppress each other. That is looked up in the coordinates themselves;
// where it does not hold (rounding of large coordinates, negative boxes, anything that is not finite), or a group is no
// small whole number, all boxes are one group.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "base/fail.h"
#include "kernels/head_inputs.h"
#include "kernels/kernel.h"
#include "kernels/nms.h"
#include "kernels/sibling_scores.h"

namespace lanner::kernels {

namespace {

// What a box costs, about.
constexpr std::int64_t kNsPerBox = 40;

// Rows sorted by group: those of group g are rows[starts[g]] to rows[starts[g + 1]], in ascending order.
struct Groups {
  std::vector<std::uint32_t> rows;
  std::vector<std::uint32_t> starts;

  std::size_t size() const { return starts.size() - 1; }
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
  for (const T id : ids) ++groups.starts[static_cast<std::size_t>(id) + 1];
  for (std::size_t g = 1; g < groups.starts.size(); ++g) groups.starts[g] += groups.starts[g - 1];
  std::vector<std::uint32_t> next = groups.starts;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    groups.rows[next[static_cast<std::size_t>(ids[i])]++] = static_cast<std::uint32_t>(i);
  }
  return groups;
}

Groups group_rows(const Tensor& ids, std::int64_t count) {
  if (ids.element_count() == 1) return one_group(static_cast<std::size_t>(count));
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

// Boxes and scores of all groups, group after group: each group's boxes begin a block of their own.
struct GroupedBoxes {
  std::vector<BoxBlock> blocks;
  std::vector<std::size_t> first_block;  // of each group, and the end of the last
  std::vector<float> scores;             // in the order of Groups::rows

  std::span<const BoxBlock> operator[](std::size_t group) const {
    return {blocks.data() + first_block[group], blocks.data() + first_block[group + 1]};
  }
};

GroupedBoxes gather(const HeadLoops& loops, const Groups& groups, const float* boxes, const float* scores) {
  GroupedBoxes grouped;
  std::vector<float> corners(4 * groups.rows.size());
  grouped.scores.resize(groups.rows.size());
  for (std::size_t i = 0; i < groups.rows.size(); ++i) {
    const std::size_t row = groups.rows[i];
    std::copy_n(boxes + 4 * row, 4, corners.data() + 4 * i);
    grouped.scores[i] = scores[row];
  }
  grouped.first_block.assign(1, 0);
  for (std::size_t g = 0; g < groups.size(); ++g) {
    grouped.first_block.push_back(grouped.first_block.back() + block_count(groups[g].size()));
  }
  grouped.blocks.resize(grouped.first_block.back());
  for (std::size_t g = 0; g < groups.size(); ++g) {
    loops.make_blocks(corners.data() + 4 * groups.starts[g], groups[g].size(), false,
                      grouped.blocks.data() + grouped.first_block[g]);
  }
  return grouped;
}

// Whether no box of one group can overlap a box of another.
bool apart(const Groups& groups, const GroupedBoxes& boxes) {
  struct Interval {
    float low;
    float high;
  };
  std::vector<Interval> intervals;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    Interval interval{std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()};
    for (const BoxBlock& block : boxes[g]) {
      for (std::size_t i = 0; i < kBlock; ++i) {
        interval.low = std::min(interval.low, block.x_min[i]);
        interval.high = std::max(interval.high, block.x_max[i]);
      }
    }
    if (interval.low < interval.high) intervals.push_back(interval);
  }
  const auto meets = [](const Interval& a, const Interval& b) { return b.low < a.high; };
  std::ranges::sort(intervals, {}, &Interval::low);
  return std::ranges::adjacent_find(intervals, meets) == intervals.end();
}

// What a thread needs for a group.
struct Scratch {
  explicit Scratch(const HeadLoops& loops) : queue(loops) {}

  SiblingCandidates candidates;
  CandidateQueue queue;
  KeptBoxes kept;
};

// The best `limit` of all, best first. No group has more of them than it kept, so this is what one list would have
// kept.
std::vector<std::uint32_t> merge(const HeadLoops& loops, std::span<const std::vector<std::uint32_t>> kept_of_group,
                                 const float* scores, std::size_t limit) {
  std::vector<std::uint32_t> rows;
  for (const auto& kept : kept_of_group) rows.insert(rows.end(), kept.begin(), kept.end());
  std::vector<std::uint32_t> keys(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) keys[i] = candidate_key(scores[rows[i]]);
  const std::size_t total = std::min(limit, rows.size());
  CandidateQueue queue(loops);
  queue.fill({keys.data(), rows.data(), rows.size()}, total);
  std::vector<std::uint32_t> best;
  best.reserve(total);
  while (best.size() < total) {
    const auto candidates = queue.next();
    for (const Candidate candidate : candidates.first(std::min(candidates.size(), total - best.size()))) {
      best.push_back(candidate_row(candidate));
    }
  }
  return best;
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
      std::clamp<std::int64_t>(read_count(context, 3, "max_output_boxes_per_class", 0), 0, count);
  const float iou_threshold = read_iou_threshold(context, 4);
  const CandidateFilter filter = ScoreFloor(read_scalar<float>(context, 5, "score_threshold")).filter(kNanLast);

  const auto* box_data = boxes.data<float>();
  const auto* score_data = scores.data<float>();
  const HeadLoops& loops = head_loops();
  Groups groups = group_rows(context.input(2), count);
  std::vector<std::uint32_t> kept;
  if (limit > 0) {
    GroupedBoxes grouped = gather(loops, groups, box_data, score_data);
    if (!apart(groups, grouped)) {
      groups = one_group(static_cast<std::size_t>(count));
      grouped = gather(loops, groups, box_data, score_data);
    }
    std::vector<std::vector<std::uint32_t>> kept_of_group(groups.size());
    share_out<Scratch>(loops, worthwhile_threads(context.threads(), kNsPerBox * count),
                       static_cast<std::int64_t>(groups.size()), [&](Scratch& scratch, std::int64_t unit) {
                         const auto g = static_cast<std::size_t>(unit);
                         const auto rows = groups[g];
                         scratch.candidates.collect(loops, grouped.scores, groups.starts[g], 1, 1,
                                                    static_cast<std::int64_t>(rows.size()), filter);
                         if (scratch.candidates[0].size == 0) return;
                         scratch.queue.fill(scratch.candidates[0], 2 * static_cast<std::size_t>(limit));
                         suppress(loops, scratch.queue, grouped[g], iou_threshold, static_cast<std::size_t>(limit),
                                  scratch.kept, kept_of_group[g]);
                         for (std::uint32_t& row : kept_of_group[g]) row = rows[row];
                       });
    kept = merge(loops, kept_of_group, score_data, static_cast<std::size_t>(limit));
  }
  auto* out =
      context.allocate_output(0, ElementType::kInt64, {static_cast<std::int64_t>(kept.size()), 3}).data<std::int64_t>();
  for (const std::uint32_t row : kept) {
    *out++ = 0;
    *out++ = 0;
    *out++ = row;
  }
}

}  // namespace

std::unique_ptr<Kernel> make_GroupNonMaxSuppression(const KernelInfo&) {
  return make_kernel([](KernelContext& context) { run_group_nms(context); });
}

}  // namespace lanner::kernels
