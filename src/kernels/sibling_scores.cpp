#include "kernels/sibling_scores.h"

namespace lanner::kernels {

namespace {

// Room for the candidates of one sibling, in a list's two arrays.
std::size_t list_room(std::size_t rows) {
  return (rows + 2 * kBlock - 1) / kBlock * kBlock;
}

}  // namespace

std::int64_t estimate_work_ns(std::span<const float> scores, std::int64_t score_count, const CandidateFilter& filter) {
  constexpr std::size_t kSamples = 128;
  constexpr std::int64_t kScoresPerNs = 16;
  constexpr std::int64_t kNsPerCandidate = 4;
  const std::size_t step = std::max<std::size_t>(1, scores.size() / kSamples);
  std::int64_t samples = 0;
  std::int64_t candidates = 0;
  for (std::size_t i = 0; i < scores.size(); i += step) {
    ++samples;
    candidates += filter.all || scores[i] > filter.floor ? 1 : 0;
  }
  if (samples == 0) return 0;
  return score_count / kScoresPerNs + score_count / samples * candidates * kNsPerCandidate;
}

std::vector<SiblingRun> sibling_runs(std::span<const std::int64_t> offsets, std::int64_t row_stride,
                                     std::int64_t row_count, int threads) {
  constexpr std::int64_t kRunsPerThread = 3;
  constexpr std::int64_t kMostBytes = 32 << 20;  // of a run's candidates
  const auto count = static_cast<std::int64_t>(offsets.size());
  const std::int64_t wanted_runs = threads == 1 ? 1 : kRunsPerThread * threads;
  const auto bytes =
      static_cast<std::int64_t>(2 * sizeof(std::uint32_t) * list_room(static_cast<std::size_t>(row_count)));
  const std::int64_t most = row_stride == 1 ? 1
                                            : std::clamp<std::int64_t>((count + wanted_runs - 1) / wanted_runs, 1,
                                                                       std::max<std::int64_t>(1, kMostBytes / bytes));
  std::vector<SiblingRun> runs;
  for (std::int64_t k = 0; k < count; ++k) {
    const auto i = static_cast<std::size_t>(k);
    if (!runs.empty() && runs.back().count < most && offsets[i] - offsets[i - 1] == 1) {
      ++runs.back().count;
    } else {
      runs.push_back({k, 1});
    }
  }
  return runs;
}

void SiblingCandidates::collect(const HeadLoops& loops, std::span<const float> scores, std::int64_t offset,
                                std::int64_t count, std::int64_t row_stride, std::int64_t row_count,
                                const CandidateFilter& filter) {
  const auto rows = static_cast<std::size_t>(row_count);
  const auto width = static_cast<std::size_t>(count);
  const std::size_t room = list_room(rows);
  if (capacity_ < 2 * room * width) {
    capacity_ = 2 * room * width;
    memory_ = std::make_unique_for_overwrite<std::uint32_t[]>(capacity_);
  }
  lists_.resize(width);
  for (std::size_t c = 0; c < width; ++c) {
    lists_[c] = {memory_.get() + 2 * c * room, memory_.get() + (2 * c + 1) * room, 0};
  }
  if (rows == 0) return;
  const float* from = scores.data() + offset;
  if (row_stride == 1 && width == 1) {
    loops.collect_row(from, 0, rows, filter, lists_[0]);
  } else {
    loops.collect_columns(from, scores.size() - static_cast<std::size_t>(offset), static_cast<std::size_t>(row_stride),
                          rows, width, filter, lists_.data());
  }
}

}  // namespace lanner::kernels
