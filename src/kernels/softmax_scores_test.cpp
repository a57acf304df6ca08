#include "kernels/softmax_scores.h"

#include <cmath>

#include "kernels/head_testing.h"
#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;

std::size_t stand_out(const std::vector<float>& row, ColumnRange columns, float margin) {
  std::vector<std::uint32_t> rows(1);
  return head_loops().rows_that_stand_out(row.data(), 0, 1, row.size(), columns, margin, rows.data());
}

// Also where the logits are so large that the bound is rounded by more than the margin's slack.
TEST(SoftmaxScores, TheBoundLosesNothing) {
  Random random(1);
  std::size_t lost = 0;
  for (int round = 0; round < 20000; ++round) {
    const float size = std::pow(10.0f, 8 * random.unit() - 2);
    const I length = 2 + random.below(40);
    std::vector<float> row(static_cast<std::size_t>(length));
    for (float& logit : row) logit = size * (random.unit() - 0.5f);
    const Tensor scores = run("Softmax", {Tensor::of<float>({length}, row)});
    const I first = random.below(2);
    const I last = length - (1 - first);
    const float best = *std::max_element(scores.data<float>() + first, scores.data<float>() + last);
    if (!(best > 1e-29f)) continue;
    const float floor = std::nextafterf(best, 0.0f);  // which the best is just above
    const float margin = std::log(floor) - 1e-4f;
    for_each_instruction_set([&] {
      const ColumnRange columns{static_cast<std::size_t>(first), static_cast<std::size_t>(last)};
      ASSERT_EQ(stand_out(row, columns, margin), 1u) << round;
      // And it is of use: far below the bound nothing is found.
      lost += stand_out(row, columns, margin + 1) == 0 ? 1 : 0;
    });
  }
  EXPECT_GT(lost, 1000u);
}

}  // namespace
}  // namespace lanner::kernels::testing
