#include "kernels/extremes.h"

#include <bit>
#include <cmath>
#include <vector>

#include "kernels/head_testing.h"
#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

// The definition, element by element: the first that nothing beats.
std::int64_t place_by_definition(Extreme which, const float* row, std::int64_t length) {
  std::int64_t best = 0;
  for (std::int64_t i = 1; i < length && !std::isnan(row[best]); ++i) {
    if (std::isnan(row[i]) || (which == Extreme::kMax ? row[i] > row[best] : row[i] < row[best])) best = i;
  }
  return best;
}

TEST(Extremes, AreTheFirstThatNothingBeats) {
  Random random(1);
  for (int round = 0; round < 2000; ++round) {
    const std::int64_t length = 1 + random.below(random.one_in(4) ? 100 : 20);
    const std::int64_t count = random.below(6);
    Tensor rows = Tensor::allocate(ElementType::kFloat32, {count, length});
    fill_scores(random, rows, random.one_in(2), random.one_in(3));
    std::vector<float> values(static_cast<std::size_t>(count));
    std::vector<std::int64_t> places(static_cast<std::size_t>(count));
    for (const Extreme which : {Extreme::kMax, Extreme::kMin}) {
      extremes_of_rows(which, rows.data<float>(), length, count, values.data());
      places_of_extremes(which, rows.data<float>(), length, count, places.data());
      for (std::int64_t row = 0; row < count; ++row) {
        const float* from = rows.data<float>() + row * length;
        const std::int64_t place = place_by_definition(which, from, length);
        const auto at = static_cast<std::size_t>(row);
        ASSERT_EQ(places[at], place) << "round " << round;
        ASSERT_TRUE(values[at] == from[place] || (std::isnan(values[at]) && std::isnan(from[place])));
      }
    }
  }
}

}  // namespace
}  // namespace lanner::kernels::testing
