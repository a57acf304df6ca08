#include "vm/measurement.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"

namespace lanner::vm {

namespace {

constexpr int kTeamRuns = 3;  // the first of which only warms up
constexpr int kSingleRuns = 2;
constexpr int kMeasuredRuns = kTeamRuns + kSingleRuns;
// Candidates take turns, several runs each: a thread that has slept through the runs of another wakes up slowly, so the
// first run of a turn does not count. Two rounds, or one where that takes so long.
constexpr int kTurnRuns = 4;
constexpr int kMostRounds = 2;
constexpr std::int64_t kTrialsNs = 500'000'000;
// Of the plain serial time, to be preferred to it.
constexpr double kClearGain = 0.97;

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
  const int trial = runs_++ - kMeasuredRuns;
  const int turn = trial / kTurnRuns;
  const auto count = static_cast<int>(candidates_.size());
  Candidate& candidate = candidates_[static_cast<std::size_t>(turn % count)];
  const std::int64_t start_ns = base::now_ns();
  results = (candidate.frame ? *candidate.frame : serial).run(inputs, environment);
  const std::int64_t taken_ns = base::now_ns() - start_ns;
  if (trial % kTurnRuns != 0) candidate.best_ns = std::min(candidate.best_ns, taken_ns);
  trials_ns_ += taken_ns;
  const int ended = trial + 1;
  if (ended == kMostRounds * count * kTurnRuns || (ended == count * kTurnRuns && trials_ns_ >= kTrialsNs)) choose();
  return results;
}

void Measurement::choose() {
  const Candidate& serial = candidates_.front();
  const Candidate& best = *std::ranges::min_element(candidates_, {}, &Candidate::best_ns);
  const auto enough = static_cast<std::int64_t>(kClearGain * static_cast<double>(serial.best_ns));
  result_ = best.best_ns < enough ? best.layout : serial.layout;
}

std::vector<Value> Measurement::run_timed(Frame& frame, std::span<const Value> inputs, RunEnvironment environment) {
  std::vector<std::int64_t> durations(program_.program().main.instructions.size(), 0);
  environment.durations_ns = &durations;
  const bool single = runs_ >= kTeamRuns;
  if (single) environment.threads = environment.lanes = 1;
  std::vector<Value> results = frame.run(inputs, environment);
  if (runs_ != 0) keep_least(single ? costs_.single : costs_.team, durations);
  return results;
}

void Measurement::propose() {
  const program::Block& block = program_.program().main;
  candidates_.push_back({.layout = program_.serial_layout(), .frame = {}});
  Schedule serial = serial_schedule(block, costs_);
  if (threads_ > 1 && std::ranges::count(serial.narrow, 1) > 0) add_candidate(std::move(serial));
  Schedule schedule = make_schedule(block, costs_, lanes_);
  if (schedule.concurrent()) add_candidate(std::move(schedule));
  if (candidates_.size() == 1) result_ = program_.serial_layout();
}

void Measurement::add_candidate(Schedule schedule) {
  auto layout = std::make_shared<const Layout>(program_.program().main, std::move(schedule));
  candidates_.push_back({.layout = layout, .frame = {}});
  candidates_.back().frame.emplace(program_.ready({.threads = threads_}), program_.program().constants, layout);
}

}  // namespace lanner::vm
