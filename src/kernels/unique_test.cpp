#include <cmath>
#include <limits>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::ElementsAre;

std::vector<Value> unique(const Tensor& data, const tensor::Attributes& attributes = {}) {
  return run_operator("Unique", attributes, std::vector{data}, 4);
}

TEST(Unique, KeepsTheOrderOfOccurrenceOrSorts) {
  const Tensor data = Tensor::of<float>({6}, {2, 1, 1, 3, 4, 3});
  const auto found = unique(data, attributes({{"sorted", I{0}}}));
  EXPECT_THAT(elements<float>(found[0].tensor()), ElementsAre(2, 1, 3, 4));
  EXPECT_THAT(elements<I>(found[1].tensor()), ElementsAre(0, 1, 3, 4));
  EXPECT_THAT(elements<I>(found[2].tensor()), ElementsAre(0, 1, 1, 2, 3, 2));
  EXPECT_THAT(elements<I>(found[3].tensor()), ElementsAre(1, 2, 2, 1));
  const auto sorted = unique(Tensor::of<I>({2, 2}, {1, 3, 2, 3}));
  EXPECT_THAT(elements<I>(sorted[0].tensor()), ElementsAre(1, 2, 3));
  EXPECT_THAT(elements<I>(sorted[1].tensor()), ElementsAre(0, 2, 1));
  EXPECT_THAT(elements<I>(sorted[2].tensor()), ElementsAre(0, 2, 1, 2));
  EXPECT_THAT(elements<I>(sorted[3].tensor()), ElementsAre(1, 1, 2));
}

TEST(Unique, ComparesSlicesAlongAnAxis) {
  const Tensor rows = Tensor::of<float>({3, 3}, {1, 0, 0, 1, 0, 0, 2, 3, 4});
  const auto by_row = unique(rows, attributes({{"axis", I{0}}}));
  EXPECT_THAT(elements<float>(by_row[0].tensor()), ElementsAre(1, 0, 0, 2, 3, 4));
  EXPECT_THAT(elements<I>(by_row[2].tensor()), ElementsAre(0, 0, 1));
  const Tensor columns = Tensor::of<float>({2, 3}, {2, 1, 2, 5, 0, 5});
  const auto by_column = unique(columns, attributes({{"axis", I{-1}}}));
  EXPECT_EQ(by_column[0].tensor().shape(), Shape({2, 2}));
  EXPECT_THAT(elements<float>(by_column[0].tensor()), ElementsAre(1, 2, 0, 5));
  EXPECT_THAT(elements<I>(by_column[3].tensor()), ElementsAre(1, 2));
}

TEST(Unique, TakesNaNStringsAndEmptyTensors) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto found = unique(Tensor::of<float>({4}, {nan, 1, nan, 0}));
  ASSERT_EQ(found[0].tensor().shape(), Shape({3}));
  EXPECT_TRUE(std::isnan(found[0].tensor().data<float>()[2]));
  EXPECT_THAT(elements<I>(found[3].tensor()), ElementsAre(1, 1, 2));
  EXPECT_THAT(elements<std::string>(unique(Tensor::of<std::string>({3}, {"b", "a", "b"}))[0].tensor()),
              ElementsAre("a", "b"));
  EXPECT_EQ(unique(Tensor::allocate(ElementType::kInt64, {0}))[0].tensor().shape(), Shape({0}));
  EXPECT_EQ(reason_of([&] {
              unique(Tensor::allocate(ElementType::kInt64, {2, 0}), attributes({{"axis", I{0}}}));
            }),
            "op.shape");
}

}  // namespace
}  // namespace lanner::kernels::testing
