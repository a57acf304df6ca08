#include "backends/onednn/contest.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>

namespace lanner::backends::onednn {
namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();

// Runs a contest to its end; `us` is asked for a problem's time by problem, candidate and run of the line-up. Returns
// how often each line-up ran.
std::vector<int> hold(Contest& contest, std::size_t problems, double run_us,
                      const std::function<double(std::size_t, std::size_t, int)>& us) {
  std::vector<int> runs(contest.line_up_count());
  while (const auto line_up = contest.next()) {
    std::vector<double> times;
    for (std::size_t i = 0; i < problems; ++i) {
      times.push_back(us(i, contest.candidate_of(i, *line_up), runs[*line_up]));
    }
    contest.record(*line_up, times, run_us);
    if (++runs[*line_up] > 1000) throw std::logic_error("the contest does not end");
  }
  return runs;
}

TEST(Contest, LeastTimesCountAndTheWarmUpDoesNot) {
  Contest contest({2, 1}, {.least_rounds = 3, .most_rounds = 3});
  EXPECT_EQ(contest.line_up_count(), 2U);
  EXPECT_EQ(contest.best_us(0, 1), kInfinite);
  const double noise[] = {0, 5, 1, 3};
  const auto runs = hold(contest, 2, 1, [&](std::size_t problem, std::size_t candidate, int run) {
    return run == 0 ? 0 : (problem == 0 ? (candidate == 0 ? 100 : 50) : 10) + noise[run];
  });
  EXPECT_EQ(runs, (std::vector<int>{4, 4}));
  EXPECT_EQ(contest.best_us(0, 0), 101);
  EXPECT_EQ(contest.best_us(0, 1), 51);
  EXPECT_EQ(contest.best_us(1, 0), 11);
}

TEST(Contest, CandidatesTakeTurns) {
  Contest contest({3, 2, 1}, {.least_rounds = 1, .most_rounds = 1});
  std::vector<std::size_t> order;
  while (const auto line_up = contest.next()) {
    order.push_back(*line_up);
    contest.record(*line_up, std::vector<double>{1, 1, 1}, 1);
  }
  EXPECT_EQ(order, (std::vector<std::size_t>{0, 1, 2, 0, 1, 2}));
  EXPECT_EQ(contest.candidate_of(1, 2), 0U) << "who has fewer candidates starts again";
}

TEST(Contest, EndsWhenTwoRunsAgree) {
  Contest quiet({2}, {.least_rounds = 2, .most_rounds = 50});
  EXPECT_EQ(hold(quiet, 1, 1, [](auto, std::size_t candidate, int) { return candidate == 0 ? 100.0 : 101.0; }),
            (std::vector<int>{3, 3}))
      << "that candidates are close is no reason to go on";

  // The second candidate's sixth run is as fast as its first; only it goes on until then.
  Contest busy({2, 1}, {.least_rounds = 2, .most_rounds = 50});
  const double noise[] = {9, 1, 1.5, 1.3, 1.1, 1.01, 1};
  EXPECT_EQ(hold(busy, 2, 1,
                 [&](std::size_t problem, std::size_t candidate, int run) {
                   return problem == 1 || candidate == 0 ? 100.0 : 100 * noise[run];
                 }),
            (std::vector<int>{3, 6}));
  EXPECT_EQ(busy.best_us(0, 1), 100);
}

TEST(Contest, DoesNotWaitForWhatDecidesNothing) {
  const auto growing = [](int run) { return 1 + 1.0 / (1 + run); };  // two runs never agree
  const ContestRules rules{.least_rounds = 2, .most_rounds = 5, .agreement = 0};
  Contest hopeless({2}, rules);
  EXPECT_EQ(hold(hopeless, 1, 1, [&](auto, std::size_t c, int run) { return c == 0 ? 100 : 300 * growing(run); }),
            (std::vector<int>{3, 3}));
  Contest alone({1}, rules);
  EXPECT_EQ(hold(alone, 1, 1, [&](auto, auto, int run) { return growing(run); }), (std::vector<int>{3}));
  Contest negligible({2}, rules);
  EXPECT_EQ(hold(negligible, 1, 1e5, [&](auto, auto, int run) { return growing(run); }), (std::vector<int>{3, 3}));
  Contest open({2}, rules);
  EXPECT_EQ(hold(open, 1, 1, [&](auto, auto, int run) { return growing(run); }), (std::vector<int>{6, 6}));
}

TEST(Contest, EndsWhenItHasTakenTooLong) {
  const auto growing = [](auto, auto, int run) { return 1 + 1.0 / (1 + run); };
  const ContestRules rules{.least_rounds = 2, .most_rounds = 50, .most_us = 100, .agreement = 0};
  Contest contest({2}, rules);
  // Ten runs of 10 us; and the least number of rounds however long they take.
  EXPECT_EQ(hold(contest, 1, 10, growing), (std::vector<int>{5, 5}));
  EXPECT_EQ(contest.progress(), 1);
  Contest slow({2}, rules);
  EXPECT_EQ(hold(slow, 1, 1000, growing), (std::vector<int>{3, 3}));
}

TEST(Contest, ProgressGrowsFromNothingToAll) {
  Contest contest({2}, {.least_rounds = 3, .most_rounds = 3});
  double before = contest.progress();
  EXPECT_EQ(before, 0);
  while (const auto line_up = contest.next()) {
    contest.record(*line_up, std::vector<double>{1}, 1);
    EXPECT_GT(contest.progress(), before);
    before = contest.progress();
  }
  EXPECT_EQ(before, 1);
}

TEST(Contest, TheFasterOfTwoWinsIfTheGainIsClear) {
  EXPECT_EQ(winner(std::vector<double>{100, 50}), 1U);
  EXPECT_EQ(winner(std::vector<double>{50, 100}), 0U);
  EXPECT_EQ(winner(std::vector<double>{100, 98}), 0U) << "what was expected stays unless the gain is clear";
  EXPECT_EQ(winner(std::vector<double>{100, 98, 96, 97}), 2U);
  EXPECT_EQ(winner(std::vector<double>{100}), 0U);
  EXPECT_EQ(winner(std::vector<double>{kInfinite, 3}), 1U);
}

}  // namespace
}  // namespace lanner::backends::onednn
