#include <cstring>
#include <limits>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::ElementsAre;

TEST(NonZero, ListsCoordinatesByDimension) {
  const Tensor out = run("NonZero", {Tensor::of<float>({2, 2}, {1, 0, -1, 1})});
  EXPECT_EQ(out.shape(), Shape({2, 3}));
  EXPECT_THAT(elements<I>(out), ElementsAre(0, 1, 1, 0, 0, 1));
  const Tensor cube = run("NonZero", {Tensor::of<I>({2, 2, 2}, {0, 0, 0, 5, 0, 0, 6, 0})});
  EXPECT_THAT(elements<I>(cube), ElementsAre(0, 1, 1, 1, 1, 0));
}

TEST(NonZero, FindsEveryBitOfAMask) {
  for (const I size : {1, 7, 8, 9, 64, 100, 300}) {
    for (I step = 1; step <= size; ++step) {
      Tensor mask = Tensor::allocate(ElementType::kBool, {size});
      std::vector<I> expected;
      for (I i = 0; i < size; ++i) {
        mask.data<bool>()[i] = i % step == step - 1;
        if (i % step == step - 1) expected.push_back(i);
      }
      ASSERT_EQ(elements<I>(run("NonZero", {mask})), expected) << size << ' ' << step;
    }
  }
}

// What comes from outside need not be 0 or 1.
TEST(NonZero, TakesAnyByteForTrue) {
  std::vector<I> expected;
  Tensor mask = Tensor::allocate(ElementType::kBool, {1000});
  Tensor numbers = Tensor::allocate(ElementType::kInt8, {1000});
  auto* bytes = static_cast<std::uint8_t*>(mask.raw_data());
  for (I i = 0; i < 1000; ++i) {
    bytes[i] = i % 3 == 0 ? static_cast<std::uint8_t>(i) : 0;
    if (bytes[i] != 0) expected.push_back(i);
  }
  std::memcpy(numbers.raw_data(), bytes, 1000);
  EXPECT_EQ(elements<I>(run("NonZero", {mask})), expected);
  EXPECT_EQ(elements<I>(run("NonZero", {numbers})), expected);
  std::memset(mask.raw_data(), 0xff, 1000);
  EXPECT_EQ(run("NonZero", {mask}).shape(), Shape({1, 1000}));
}

TEST(NonZero, TakesScalarsEmptyTensorsNaNAndStrings) {
  EXPECT_EQ(run("NonZero", {Tensor::scalar(1.0f)}).shape(), Shape({0, 1}));
  EXPECT_EQ(run("NonZero", {Tensor::scalar(0.0f)}).shape(), Shape({0, 0}));
  EXPECT_EQ(run("NonZero", {Tensor::allocate(ElementType::kBool, {3, 0})}).shape(), Shape({2, 0}));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(elements<I>(run("NonZero", {Tensor::of<float>({3}, {-0.0f, nan, 2})})), ElementsAre(1, 2));
  EXPECT_THAT(elements<I>(run("NonZero", {Tensor::of<std::string>({2}, {"", "a"})})), ElementsAre(1));
}

TEST(Compress, KeepsWhereTheConditionHolds) {
  const Tensor data = Tensor::of<float>({3, 2}, {1, 2, 3, 4, 5, 6});
  const Tensor rows = run("Compress", {data, Tensor::of<bool>({3}, {false, true, true})}, attributes({{"axis", I{0}}}));
  EXPECT_THAT(elements<float>(rows), ElementsAre(3, 4, 5, 6));
  const Tensor column = run("Compress", {data, Tensor::of<bool>({2}, {false, true})}, attributes({{"axis", I{-1}}}));
  EXPECT_EQ(column.shape(), Shape({3, 1}));
  EXPECT_THAT(elements<float>(column), ElementsAre(2, 4, 6));
  const Tensor flat = run("Compress", {data, Tensor::of<bool>({5}, {false, true, false, false, true})});
  EXPECT_THAT(elements<float>(flat), ElementsAre(2, 5));
  EXPECT_EQ(run("Compress", {data, Tensor::of<bool>({1}, {false})}).shape(), Shape({0}));
}

TEST(Compress, RefusesConditionsThatDoNotFit) {
  const Tensor data = Tensor::of<float>({2}, {1, 2});
  EXPECT_EQ(reason_of([&] { run("Compress", {data, Tensor::of<bool>({3}, {false, false, true})}); }), "op.index");
  EXPECT_EQ(reason_of([&] { run("Compress", {data, Tensor::of<I>({1}, {1})}); }), "op.type");
  EXPECT_EQ(reason_of([&] { run("Compress", {data, Tensor::scalar(true)}); }), "op.rank");
  EXPECT_EQ(reason_of([&] {
              run("Compress", {data, Tensor::of<bool>({1}, {true})}, attributes({{"axis", I{1}}}));
            }),
            "op.axis");
}

}  // namespace
}  // namespace lanner::kernels::testing
