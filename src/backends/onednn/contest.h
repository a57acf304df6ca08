// Who wins when several algorithms compete for each of several problems: which runs are still needed, and what follows
// from their times. Knows neither clock nor algorithms, so it can be tested with times that are made up.
//
// One run decides about all problems at once: a line-up says which candidate each problem runs with. In line-up k it is
// the k-th, counted round and round where a problem has fewer. Line-ups take turns, so that what else the machine does
// falls on all of them alike. Of each candidate the least time counts, and it counts as known when two runs agree on
// it: on a machine that is busy with something else, most runs take longer than they need.
#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <vector>

namespace lanner::backends::onednn {

struct ContestRules {
  // Each line-up runs so many times, the first, which warms everything up, not counted; where times are not known then,
  // more often, up to the highest number or until all runs together have taken so long.
  int least_rounds = 2;
  int most_rounds = 10;
  double most_us = 3e6;
  // Two runs agree when their times differ by less than this part.
  double agreement = 0.02;
};

class Contest {
 public:
  // `candidate_counts` has the number of candidates, at least 1, of each problem.
  Contest(std::vector<std::size_t> candidate_counts, ContestRules rules);

  std::size_t line_up_count() const { return line_up_count_; }
  std::size_t candidate_of(std::size_t problem, std::size_t line_up) const { return line_up % counts_[problem]; }
  // The line-up to run next; nothing when there is no need for more.
  std::optional<std::size_t> next();
  // How long it took: each problem, in all of its places, and everything.
  void record(std::size_t line_up, std::span<const double> us, double run_us);
  // Least time; infinite before the first counted run.
  double best_us(std::size_t problem, std::size_t candidate) const { return least_[problem][candidate].best; }
  // About how much of what next() may still ask for is done, from 0 to 1.
  double progress() const;

 private:
  struct Least {
    double best = std::numeric_limits<double>::infinity();
    double second = std::numeric_limits<double>::infinity();
  };

  // Whether a further run of the line-up may change who wins where it matters.
  bool is_open(std::size_t line_up) const;

  std::vector<std::size_t> counts_;
  ContestRules rules_;
  std::size_t line_up_count_ = 1;
  std::vector<std::vector<Least>> least_;  // of each problem's candidates
  std::vector<int> runs_;                  // of each line-up
  std::size_t next_ = 0;
  double spent_us_ = 0;
  double best_run_us_ = std::numeric_limits<double>::infinity();
};

// The candidate to take: the first unless another takes less than 97 % of its time, which measuring can tell apart.
// The first is what was expected to be best.
std::size_t winner(std::span<const double> us);

}  // namespace lanner::backends::onednn
