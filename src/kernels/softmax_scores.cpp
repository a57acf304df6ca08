#include "kernels/softmax_scores.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <memory>

#include "base/parallel.h"
#include "kernels/sibling_scores.h"
#include "kernels/softmax.h"

namespace lanner::kernels {

namespace {

// How far a logit must be above the greatest of the others at least for its score to be above the threshold; nothing
// where there is no telling. A score is exp(x - greatest) by a sum of at least 1, computed to a few units in the last
// place.
std::optional<float> least_margin(const CandidateFilter& filter) {
  constexpr double kSlack = 1e-4;
  constexpr float kLeast = 1e-30f;  // far from where scores become subnormal
  if (filter.all || !(filter.floor >= kLeast && filter.floor <= 1.0f)) return std::nullopt;
  return static_cast<float>(std::log(static_cast<double>(filter.floor)) - kSlack);
}

constexpr std::int64_t kRowsAtOnce = 512;

std::vector<std::uint32_t> rows_that_may_pass(KernelContext& context, const float* logits, std::int64_t row_count,
                                              std::int64_t length, ColumnRange columns, float margin) {
  constexpr std::int64_t kLogitsPerNs = 8;
  const HeadLoops& loops = head_loops();
  const std::int64_t parts = (row_count + kRowsAtOnce - 1) / kRowsAtOnce;
  std::vector<std::uint32_t> rows(static_cast<std::size_t>(row_count));
  std::vector<std::size_t> found(static_cast<std::size_t>(parts));
  const int threads = worthwhile_threads(context.threads(), row_count * length / kLogitsPerNs);
  base::parallel_for(threads, parts, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t part = begin; part < end; ++part) {
      const std::int64_t first = part * kRowsAtOnce;
      found[static_cast<std::size_t>(part)] =
          loops.rows_that_stand_out(logits + first * length, static_cast<std::uint32_t>(first),
                                    static_cast<std::size_t>(std::min(kRowsAtOnce, row_count - first)),
                                    static_cast<std::size_t>(length), columns, margin, rows.data() + first);
    }
  });
  std::size_t count = 0;
  for (std::size_t part = 0; part < found.size(); ++part) {
    const auto from = rows.begin() + static_cast<std::ptrdiff_t>(part) * kRowsAtOnce;
    std::copy_n(from, found[part], rows.begin() + static_cast<std::ptrdiff_t>(count));
    count += found[part];
  }
  rows.resize(count);
  return rows;
}

}  // namespace

PickedScores pick_softmax_rows(KernelContext& context, const Tensor& logits, const SiblingLayout& layout,
                               std::int64_t row_count, const CandidateFilter& filter) {
  const std::int64_t length = logits.rank() > 0 ? logits.shape()[logits.rank() - 1] : 0;
  const auto [least, greatest] =
      layout.offsets.empty() ? std::ranges::minmax_result<std::int64_t>{0, -1} : std::ranges::minmax(layout.offsets);
  if (layout.row_stride != length || length == 0 || greatest >= length ||
      logits.element_count() / length != row_count) {
    base::invalid("op.shape", "{} rows of {} elements cannot be the rows of scores {}", row_count, layout.row_stride,
                  logits.type_string());
  }
  const float* from = logits.data<float>();
  PickedScores picked;
  const std::optional<float> margin = least_margin(filter);
  const ColumnRange columns{static_cast<std::size_t>(least), static_cast<std::size_t>(greatest + 1)};
  // Where no column is left over, the greatest of each row is among those that are wanted.
  if (margin && columns.last - columns.first < static_cast<std::size_t>(length)) {
    picked.rows = rows_that_may_pass(context, from, row_count, length, columns, *margin);
  }
  const std::int64_t count = picked.rows ? static_cast<std::int64_t>(picked.rows->size()) : row_count;
  picked.scores = context.allocate_scratch(ElementType::kFloat32, {count, length});
  auto* scores = picked.scores.data<float>();
  const auto make_rows = [&](std::int64_t begin, std::int64_t end) {
    if (!picked.rows) return softmax_rows(from + begin * length, scores + begin * length, length, end - begin);
    for (std::int64_t i = begin; i < end; ++i) {
      std::memcpy(scores + i * length, from + (*picked.rows)[static_cast<std::size_t>(i)] * length,
                  static_cast<std::size_t>(length) * sizeof(float));
    }
    softmax_rows(scores + begin * length, scores + begin * length, length, end - begin);
  };
  constexpr std::int64_t kScoresPerNs = 2;
  base::parallel_for(worthwhile_threads(context.threads(), count * length / kScoresPerNs), count, 16, make_rows);
  return picked;
}

}  // namespace lanner::kernels
