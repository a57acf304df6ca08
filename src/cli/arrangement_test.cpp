#include "cli/arrangement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error_testing.h"
#include "program/text.h"

namespace lanner::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::Field;

auto is(int sessions, int threads) {
  return ::testing::AllOf(Field(&Arrangement::sessions, sessions), Field(&Arrangement::threads, threads));
}

TEST(Arrangements, KeepEveryCpuBusyOrAnswerOne) {
  EXPECT_THAT(arrangements(1, false), ElementsAre(is(1, 1)));
  EXPECT_THAT(arrangements(6, false), ElementsAre(is(6, 1), is(3, 2), is(1, 4), is(1, 6)));
  EXPECT_THAT(arrangements(8, true), ElementsAre(is(1, 1), is(1, 2), is(1, 4), is(1, 8)));
}

TEST(Latencies, PercentilesAreInterpolated) {
  const Latencies latencies{{4, 1, 3, 2}, 2};
  EXPECT_DOUBLE_EQ(latencies.percentile(0), 1);
  EXPECT_DOUBLE_EQ(latencies.percentile(0.5), 2.5);
  EXPECT_DOUBLE_EQ(latencies.percentile(1), 4);
  EXPECT_DOUBLE_EQ(latencies.per_second(), 2);
  EXPECT_DOUBLE_EQ(Latencies({{7}, 1}).percentile(0.99), 7);
}

}  // namespace
}  // namespace lanner::cli
