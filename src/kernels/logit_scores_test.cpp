#include "kernels/logit_scores.h"

#include <cmath>

#include "kernels/exp.h"
#include "kernels/kernel_testing.h"
#include "kernels/order_key.h"

namespace lanner::kernels::testing {
namespace {

// At the bound and below it no score is above the threshold, at every distance from it.
TEST(LogitScores, TheBoundLosesNothing) {
  for (double power = -29.9; power < 0; power += 0.001) {
    const auto floor = static_cast<float>(std::pow(10.0, power));
    const std::optional<float> bound = logit_bound({false, floor, 0});
    ASSERT_TRUE(bound);
    float logit = *bound;
    for (int step = 0; step < 8; ++step) {
      ASSERT_LE(math::sigmoid(logit), floor) << "logit " << logit;
      logit = std::nextafterf(logit, -100.0f);
    }
    // And it is of use: a little above it scores are close to the threshold.
    ASSERT_GT(math::sigmoid(*bound + 0.01f), floor * 0.99f);
  }
  for (const float floor : {0.99999994f, 1.0f}) {
    ASSERT_LE(math::sigmoid(logit_bound({false, floor, 0}).value()), floor);
  }
}

TEST(LogitScores, SomeThresholdsHaveNoBound) {
  EXPECT_FALSE(logit_bound({true, 0.5f, 0}));
  for (const float floor : {0.0f, -1.0f, 1e-38f, 1.5f, std::nanf(""), INFINITY}) {
    EXPECT_FALSE(logit_bound({false, floor, 0})) << floor;
  }
}

TEST(LogitScores, KeepsTheOrderOfRows) {
  std::vector<float> logits{-3, 2, -0.0f, 100, 0.5f, -1e-9f};
  std::vector<std::uint32_t> keys;
  std::vector<std::uint32_t> rows;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    keys.push_back(order_key(logits[i]));
    rows.push_back(static_cast<std::uint32_t>(10 * i));
  }
  CandidateList list{keys.data(), rows.data(), keys.size()};
  std::vector<float> scratch;
  score_logits(list, 0.5f, scratch);
  ASSERT_EQ(list.size, 3u);
  EXPECT_EQ(std::vector(list.rows, list.rows + 3), (std::vector<std::uint32_t>{10, 30, 40}));
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(list.keys[i], order_key(math::sigmoid(logits[list.rows[i] / 10])));
  }
}

}  // namespace
}  // namespace lanner::kernels::testing
