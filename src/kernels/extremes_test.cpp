#include "kernels/extremes.h"

#include <bit>
#include <cmath>
#include <vector>

#include "kernels/head_testing.h"
#include "kernels/kernel_testing.h"
#include "kernels/loops_testing.h"

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

void check_random_rows() {
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
      if (which != Extreme::kMax) continue;
      const std::vector<std::int64_t> expected = places;
      greatest_of_rows(rows.data<float>(), length, count, values.data(), places.data());
      ASSERT_EQ(places, expected);
      for (std::size_t row = 0; row < values.size(); ++row) {
        const float value = rows.data<float>()[static_cast<std::int64_t>(row) * length + places[row]];
        ASSERT_TRUE(values[row] == value || (std::isnan(values[row]) && std::isnan(value)));
      }
    }
  }
}

TEST(Extremes, AreTheFirstThatNothingBeats) {
  for_each_instruction_set(extreme_loops_of_cpu(), check_random_rows);
}

// Of zeros of both signs every instruction set takes the same one.
TEST(Extremes, HaveTheSameBitsOnEveryCpu) {
  Random random(2);
  Tensor rows = Tensor::allocate(ElementType::kFloat32, {40, 100});
  float* const numbers = rows.data<float>();
  for (std::int64_t i = 0; i < rows.element_count(); ++i) numbers[i] = random.one_in(2) ? 0.0f : -0.0f;
  for (std::int64_t length = 1; length <= 100; ++length) {
    std::vector<std::vector<float>> found;
    for_each_instruction_set(extreme_loops_of_cpu(), [&] {
      for (const Extreme which : {Extreme::kMax, Extreme::kMin}) {
        extremes_of_rows(which, numbers, length, 40, found.emplace_back(40).data());
      }
    });
    for (std::size_t set = 2; set < found.size(); ++set) {
      for (std::size_t row = 0; row < 40; ++row) {
        ASSERT_EQ(std::signbit(found[set][row]), std::signbit(found[set % 2][row])) << "length " << length;
      }
    }
  }
}

}  // namespace
}  // namespace lanner::kernels::testing
