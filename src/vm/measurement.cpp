#include "vm/measurement.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"

namespace lanner::vm {

namespace {

constexpr int kTeamRuns = 3;  // the first of which only warms up
constexpr int kSingleRuns = 2;
constexpr int kMeasuredRuns = kTeamRuns + kSingleRuns;
// Of each of the two layouts: at most so many, but at least the least, until they have taken so long together.
constexpr int kMostTrials = 10;
constexpr int kLeastTrials = 3;
constexpr std::int64_t kTrialsNs = 500'000'000;

void keep_least(std::vector<std::int64_t>& best, const std::vector<std::int64_t>& durations) {
  if (best.empty()) best = durations;
  for (std::size_t i = 0; i < durations.size(); ++i) best[i] = std::min(best[i], durations[i]);
}

}  // namespace

std::vector<Value> Measurement::run(Frame& serial, std::span<const Value> inputs, const RunEnvironment& environment) {
  std::vector<Value> results;
  if (runs_ < kMeasuredRuns) {
    results = run_timed(serial, inputs, environment);
    if (++runs_ == kMeasuredRuns) propose();
    return results;
  }
  const bool is_trial = (runs_ - kMeasuredRuns) % 2 == 0;
  const std::int64_t start_ns = base::now_ns();
  results = (is_trial ? *trial_ : serial).run(inputs, environment);
  const std::int64_t taken_ns = base::now_ns() - start_ns;
  std::int64_t& best_ns = is_trial ? trial_ns_ : serial_ns_;
  best_ns = std::min(best_ns, taken_ns);
  trials_ns_ += taken_ns;
  const int trials = (++runs_ - kMeasuredRuns) / 2;
  if (trials == kMostTrials || (trials >= kLeastTrials && trials_ns_ >= kTrialsNs)) {
    result_ = trial_ns_ < serial_ns_ ? proposed_ : program_.serial_layout();
  }
  return results;
}

std::vector<Value> Measurement::run_timed(Frame& frame, std::span<const Value> inputs, RunEnvironment environment) {
  std::vector<std::int64_t> durations(program_.program().main.instructions.size(), 0);
  environment.durations_ns = &durations;
  const bool single = runs_ >= kTeamRuns;
  if (single) environment.threads = 1;
  std::vector<Value> results = frame.run(inputs, environment);
  if (runs_ != 0) keep_least(single ? costs_.single : costs_.team, durations);
  return results;
}

void Measurement::propose() {
  const program::Block& block = program_.program().main;
  Schedule schedule = make_schedule(block, costs_, lanes_);
  if (!schedule.concurrent()) {
    result_ = program_.serial_layout();
    return;
  }
  proposed_ = std::make_shared<const Layout>(block, std::move(schedule));
  trial_.emplace(program_.ready({.threads = threads_}), program_.program().constants, proposed_);
}

}  // namespace lanner::vm
