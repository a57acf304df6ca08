#include "vm/measurement.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"

namespace lanner::vm {

namespace {

constexpr int kTeamRuns = 3;  // the first of which only warms up
constexpr int kTrials = 4;    // of each of the two layouts

}  // namespace

std::vector<Value> Measurement::run(Frame& serial, std::span<const Value> inputs, const RunEnvironment& environment) {
  std::vector<Value> results;
  if (runs_ <= kTeamRuns) {
    results = run_timed(serial, inputs, environment);
    if (runs_ == kTeamRuns) propose();
  } else {
    const bool is_trial = (runs_ - kTeamRuns) % 2 == 1;
    const std::int64_t start_ns = base::now_ns();
    results = (is_trial ? *trial_ : serial).run(inputs, environment);
    std::int64_t& best_ns = is_trial ? trial_ns_ : serial_ns_;
    best_ns = std::min(best_ns, base::now_ns() - start_ns);
    if (runs_ == kTeamRuns + 2 * kTrials) result_ = trial_ns_ < serial_ns_ ? proposed_ : program_.serial_layout();
  }
  ++runs_;
  return results;
}

std::vector<Value> Measurement::run_timed(Frame& frame, std::span<const Value> inputs, RunEnvironment environment) {
  std::vector<std::int64_t> durations(program_.program().main.instructions.size(), 0);
  environment.durations_ns = &durations;
  if (runs_ == kTeamRuns) environment.threads = 1;
  std::vector<Value> results = frame.run(inputs, environment);
  if (runs_ == kTeamRuns) {
    costs_.single = std::move(durations);
  } else if (runs_ <= 1) {
    costs_.team = std::move(durations);
  } else {
    std::ranges::transform(costs_.team, durations, costs_.team.begin(), [](auto a, auto b) { return std::min(a, b); });
  }
  return results;
}

void Measurement::propose() {
  const program::Block& block = program_.program().main;
  Schedule schedule = make_schedule(block, costs_, lanes_);
  if (schedule.stages.size() <= 1) {
    result_ = program_.serial_layout();
    return;
  }
  proposed_ = std::make_shared<const Layout>(block, std::move(schedule));
  trial_.emplace(program_.ready({.threads = threads_}), program_.program().constants, proposed_);
}

}  // namespace lanner::vm
