// NonMaxSuppression: for each image and class, the boxes that no better kept box overlaps.
#include "kernels/nms.h"

#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <vector>

#include "base/fail.h"
#include "kernels/kernel.h"
#include "kernels/logit_scores.h"
#include "kernels/overlap_table.h"
#include "kernels/sibling_scores.h"

namespace lanner::kernels {

void KeptBoxes::add(const BoxBlock& box, std::size_t lane) {
  const std::size_t block = size_ / kBlock;
  const std::size_t to = size_ % kBlock;
  if (block == blocks_.size()) blocks_.emplace_back();
  BoxBlock& kept = blocks_[block];
  if (to == 0) kept.clear();
  kept.x_min[to] = box.x_min[lane];
  kept.y_min[to] = box.y_min[lane];
  kept.x_max[to] = box.x_max[lane];
  kept.y_max[to] = box.y_max[lane];
  kept.area[to] = box.area[lane];
  ++size_;
}

void KeptBoxes::clear() {
  size_ = 0;
  compared_blocks_ = 0;
}

bool KeptBoxes::overlap(const HeadLoops& loops, const BoxBlock& box, std::size_t lane, float iou_threshold) {
  const std::size_t count = block_count(size_);
  compared_blocks_ += count;
  return loops.overlaps_any(box, lane, blocks_.data(), count, iou_threshold);
}

namespace {

// Suppresses until `limit` rows are kept, the candidates are at an end, or, after a stretch of them, `enough(kept)`.
// Returns whether it stopped for the last reason.
template <typename Enough>
bool suppress_until(const HeadLoops& loops, CandidateQueue& queue, std::span<const BoxBlock> blocks,
                    float iou_threshold, std::size_t limit, KeptBoxes& kept, std::vector<std::uint32_t>& kept_rows,
                    Enough&& enough) {
  kept.clear();
  std::size_t left = limit;
  while (left > 0) {
    const auto candidates = queue.next();
    if (candidates.empty()) return false;
    for (const Candidate candidate : candidates) {
      const std::uint32_t row = candidate_row(candidate);
      const BoxBlock& block = blocks[row / kBlock];
      const std::size_t lane = row % kBlock;
      if (block.area[lane] > 0) {
        if (kept.overlap(loops, block, lane, iou_threshold)) continue;
        kept.add(block, lane);
      }
      kept_rows.push_back(row);
      if (--left == 0) return false;
    }
    if (enough(kept)) return true;
  }
  return false;
}

}  // namespace

void suppress(const HeadLoops& loops, CandidateQueue& queue, std::span<const BoxBlock> blocks, float iou_threshold,
              std::size_t limit, KeptBoxes& kept, std::vector<std::uint32_t>& kept_rows) {
  suppress_until(loops, queue, blocks, iou_threshold, limit, kept, kept_rows, [](const KeptBoxes&) { return false; });
}

namespace {

// What a thread needs for a class.
struct Scratch {
  explicit Scratch(const HeadLoops& loops) : queue(loops) {}

  SiblingCandidates candidates;
  CandidateQueue queue;
  KeptBoxes kept;
  std::vector<std::uint16_t> suppressed;  // a bit for each box
  std::vector<std::uint16_t> row;
  std::vector<float> scores;
};

// Goes on with the candidates left in the queue after the last `already` of kept_rows were kept, up to `limit` of them.
void suppress_by_table(OverlapTable& table, std::span<const BoxBlock> blocks, std::size_t already, std::size_t limit,
                       Scratch& scratch, std::vector<std::uint32_t>& kept_rows) {
  const std::size_t words = table.row_words();
  scratch.suppressed.assign(words, 0);
  scratch.row.resize(words);
  const auto mark = [&](std::uint32_t row) {
    if (!(blocks[row / kBlock].area[row % kBlock] > 0)) return;
    const std::uint16_t* overlaps = table.row(row, scratch.row.data());
    std::uint16_t* suppressed = scratch.suppressed.data();
    for (std::size_t i = 0; i < words; ++i) suppressed[i] |= overlaps[i];
  };
  for (const std::uint32_t row : std::span(kept_rows).last(already)) mark(row);
  for (std::size_t left = limit - already; left > 0;) {
    const auto candidates = scratch.queue.next();
    if (candidates.empty()) return;
    for (const Candidate candidate : candidates) {
      const std::uint32_t row = candidate_row(candidate);
      if ((scratch.suppressed[row / kBlock] >> (row % kBlock) & 1) != 0) continue;
      kept_rows.push_back(row);
      if (--left == 0) return;
      mark(row);
    }
  }
}

// A table pays where several classes ask for the same rows. A class goes over to it when it has compared as many blocks
// as its share of its rows costs, if this many classes ask for each row, and is likely to compare as many again.
constexpr std::int64_t kClassesForTable = 4;
constexpr std::size_t kClassesOfRow = 8;

bool table_pays(const KeptBoxes& kept, std::size_t candidates_left, std::size_t blocks_of_row) {
  const std::size_t cost = (kept.size() + kBlock) * blocks_of_row;
  return kept.compared_blocks() * kClassesOfRow > cost &&
         candidates_left * block_count(kept.size()) * kClassesOfRow > cost;
}

// For the rows of all images; far more than one image of 10,000 boxes needs.
constexpr std::size_t kTableBytes = 16 << 20;

// The boxes of all images in blocks, and for each image a table, made when a class first wants it.
class ImageBoxes {
 public:
  ImageBoxes(const HeadLoops& loops, const ClassSuppression& problem, KernelContext& context)
      : loops_(loops), iou_threshold_(problem.iou_threshold), context_(context) {
    const auto images = static_cast<std::size_t>(problem.image_count);
    const auto box_count = static_cast<std::size_t>(problem.box_count);
    block_count_ = block_count(box_count);
    bound_count_ = block_count(block_count_);
    blocks_ = std::make_unique_for_overwrite<BoxBlock[]>(images * block_count_);
    bounds_ = std::make_unique_for_overwrite<BoxBlock[]>(images * bound_count_);
    tables_ = std::vector<LazyTable>(images);
    for (std::size_t i = 0; i < images; ++i) {
      loops.make_blocks(problem.boxes + 4 * i * box_count, box_count, problem.centered, &blocks_[i * block_count_]);
    }
  }

  BlockedBoxes blocked(std::int64_t image) const {
    const auto i = static_cast<std::size_t>(image);
    return {{&blocks_[i * block_count_], block_count_}, {&bounds_[i * bound_count_], bound_count_}};
  }
  OverlapTable& table(std::int64_t image) {
    const auto i = static_cast<std::size_t>(image);
    LazyTable& lazy = tables_[i];
    std::call_once(lazy.once, [&] {
      const BlockedBoxes boxes = blocked(image);
      make_bounds(boxes.blocks, &bounds_[i * bound_count_]);
      lazy.table = std::make_unique<OverlapTable>(loops_, boxes, iou_threshold_, kTableBytes / tables_.size(),
                                                  context_.allocator());
    });
    return *lazy.table;
  }

 private:
  struct LazyTable {
    std::once_flag once;
    std::unique_ptr<OverlapTable> table;
  };

  const HeadLoops& loops_;
  float iou_threshold_;
  KernelContext& context_;
  std::size_t block_count_ = 0;
  std::size_t bound_count_ = 0;
  std::unique_ptr<BoxBlock[]> blocks_;
  std::unique_ptr<BoxBlock[]> bounds_;
  std::vector<LazyTable> tables_;
};

}  // namespace

KeptRows suppress_classes(KernelContext& context, const ClassSuppression& problem) {
  const auto classes = static_cast<std::int64_t>(problem.offsets.size());
  const std::int64_t heads = problem.image_count * classes;
  KeptRows result;
  result.starts.assign(static_cast<std::size_t>(heads) + 1, 0);
  if (problem.limit == 0 || heads == 0 || problem.box_count == 0) return result;

  const HeadLoops& loops = head_loops();
  const auto limit = static_cast<std::size_t>(problem.limit);
  ImageBoxes boxes(loops, problem, context);
  const CandidateFilter filter = problem.floor.filter(kNanLast);
  CandidateFilter collected = filter;
  if (problem.logits) collected.floor = logit_bound(filter).value();
  const int threads =
      worthwhile_threads(context.threads(), estimate_work_ns(problem.scores, heads * problem.box_count, collected));
  const auto runs = sibling_runs(problem.offsets, problem.row_stride, problem.box_count, threads);
  const auto run_count = static_cast<std::int64_t>(runs.size());
  std::vector<std::vector<std::uint32_t>> kept_rows(static_cast<std::size_t>(problem.image_count) * runs.size());
  share_out<Scratch>(loops, threads, problem.image_count * run_count, [&](Scratch& scratch, std::int64_t unit) {
    const std::int64_t image = unit / run_count;
    const SiblingRun run = runs[static_cast<std::size_t>(unit % run_count)];
    const BlockedBoxes of_image = boxes.blocked(image);
    auto& kept = kept_rows[static_cast<std::size_t>(unit)];
    scratch.candidates.collect(loops, problem.scores,
                               image * problem.image_stride + problem.offsets[static_cast<std::size_t>(run.first)],
                               run.count, problem.row_stride, problem.box_count, collected);
    for (std::int64_t k = 0; k < run.count; ++k) {
      CandidateList& list = scratch.candidates[k];
      if (problem.logits) score_logits(list, filter.floor, scratch.scores);
      if (list.size == 0) continue;
      const std::size_t before = kept.size();
      scratch.queue.fill(list, 2 * limit);
      const auto enough = [&](const KeptBoxes& boxes_kept) {
        return classes >= kClassesForTable && table_pays(boxes_kept, scratch.queue.left(), of_image.blocks.size());
      };
      if (suppress_until(loops, scratch.queue, of_image.blocks, problem.iou_threshold, limit, scratch.kept, kept,
                         enough)) {
        suppress_by_table(boxes.table(image), of_image.blocks, kept.size() - before, limit, scratch, kept);
      }
      result.starts[static_cast<std::size_t>(image * classes + run.first + k) + 1] = kept.size() - before;
    }
  });
  for (std::size_t head = 1; head < result.starts.size(); ++head) result.starts[head] += result.starts[head - 1];
  result.rows.reserve(result.starts.back());
  for (const auto& rows : kept_rows) result.rows.insert(result.rows.end(), rows.begin(), rows.end());
  return result;
}

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
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(classes));
  for (std::int64_t k = 0; k < classes; ++k) offsets[static_cast<std::size_t>(k)] = k * count;

  ClassSuppression problem;
  problem.image_count = batch;
  problem.box_count = count;
  problem.boxes = boxes.data<float>();
  problem.centered = centered;
  problem.scores = scores.values<float>();
  problem.image_stride = classes * count;
  problem.offsets = offsets;
  problem.limit = std::clamp<std::int64_t>(read_count(context, 2, "max_output_boxes_per_class", 0), 0, count);
  problem.iou_threshold = read_iou_threshold(context, 3);
  problem.floor = ScoreFloor(read_scalar<float>(context, 4, "score_threshold"));
  const KeptRows kept = suppress_classes(context, problem);

  const auto total = static_cast<std::int64_t>(kept.rows.size());
  auto* out = context.allocate_output(0, ElementType::kInt64, {total, 3}).data<std::int64_t>();
  for (std::int64_t head = 0; head < batch * classes; ++head) {
    const auto k = static_cast<std::size_t>(head);
    for (std::size_t i = kept.starts[k]; i < kept.starts[k + 1]; ++i) {
      *out++ = head / classes;
      *out++ = head % classes;
      *out++ = kept.rows[i];
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
