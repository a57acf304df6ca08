#include "backends/onednn/contest.h"

#include <algorithm>

namespace lanner::backends::onednn {

namespace {

constexpr double kClearGain = 0.97;
constexpr double kHopeless = 2;         // so many times the best one's time
constexpr double kNegligible = 0.0005;  // of a run's time

}  // namespace

Contest::Contest(std::vector<std::size_t> candidate_counts, ContestRules rules)
    : counts_(std::move(candidate_counts)), rules_(rules) {
  for (const std::size_t count : counts_) {
    line_up_count_ = std::max(line_up_count_, count);
    least_.emplace_back(count);
  }
  runs_.assign(line_up_count_, 0);
}

bool Contest::is_open(std::size_t line_up) const {
  if (runs_[line_up] <= rules_.least_rounds) return true;
  for (std::size_t problem = 0; problem < counts_.size(); ++problem) {
    const std::vector<Least>& least = least_[problem];
    if (least.size() == 1) continue;
    const double best = std::ranges::min_element(least, {}, &Least::best)->best;
    const Least& own = least[candidate_of(problem, line_up)];
    const bool known = own.second <= (1 + rules_.agreement) * own.best;
    if (!known && own.best < kHopeless * best && own.best > kNegligible * best_run_us_) return true;
  }
  return false;
}

std::optional<std::size_t> Contest::next() {
  for (std::size_t skipped = 0; skipped < line_up_count_; ++skipped) {
    const std::size_t line_up = next_;
    next_ = (next_ + 1) % line_up_count_;
    const bool allowed =
        runs_[line_up] <= rules_.least_rounds || (runs_[line_up] <= rules_.most_rounds && spent_us_ < rules_.most_us);
    if (allowed && is_open(line_up)) return line_up;
  }
  return std::nullopt;
}

void Contest::record(std::size_t line_up, std::span<const double> us, double run_us) {
  spent_us_ += run_us;
  if (runs_[line_up]++ == 0) return;
  best_run_us_ = std::min(best_run_us_, run_us);
  for (std::size_t problem = 0; problem < counts_.size(); ++problem) {
    auto& [best, second] = least_[problem][candidate_of(problem, line_up)];
    second = std::min(second, std::max(best, us[problem]));
    best = std::min(best, us[problem]);
  }
}

double Contest::progress() const {
  double done = 0;
  for (const int runs : runs_) done += runs;
  const double rounds = done / static_cast<double>(line_up_count_ * static_cast<std::size_t>(rules_.most_rounds + 1));
  return std::min(1.0, std::max(rounds, spent_us_ / rules_.most_us));
}

std::size_t winner(std::span<const double> us) {
  const auto best = static_cast<std::size_t>(std::ranges::min_element(us) - us.begin());
  return us[best] < kClearGain * us[0] ? best : 0;
}

}  // namespace lanner::backends::onednn
