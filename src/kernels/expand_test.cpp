#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::ElementsAre;

Tensor ints(std::initializer_list<I> values) {
  return Tensor::of<I>({static_cast<I>(values.size())}, values);
}

TEST(Expand, BroadcastsBothWays) {
  const Tensor column = Tensor::of<float>({3, 1}, {1, 2, 3});
  const Tensor out = run("Expand", {column, ints({2, 1, 2})});
  EXPECT_EQ(out.shape(), Shape({2, 3, 2}));
  EXPECT_THAT(elements<float>(out), ElementsAre(1, 1, 2, 2, 3, 3, 1, 1, 2, 2, 3, 3));
  EXPECT_EQ(run("Expand", {column, ints({1})}).shape(), Shape({3, 1}));
  EXPECT_THAT(elements<float>(run("Expand", {column, ints({1})})), ElementsAre(1, 2, 3));
}

TEST(Expand, TakesScalarsEmptyShapesAndStrings) {
  EXPECT_THAT(elements<I>(run("Expand", {Tensor::scalar(I{4}), ints({2})})), ElementsAre(4, 4));
  EXPECT_EQ(run("Expand", {Tensor::scalar(I{4}), ints({0, 2})}).shape(), Shape({0, 2}));
  EXPECT_THAT(elements<std::string>(run("Expand", {Tensor::of<std::string>({1}, {"a"}), ints({2})})),
              ElementsAre("a", "a"));
}

TEST(Expand, RefusesWhatDoesNotBroadcast) {
  const Tensor data = Tensor::allocate(ElementType::kFloat32, {3});
  EXPECT_EQ(reason_of([&] { run("Expand", {data, ints({2})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("Expand", {data, ints({-1, 3})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("Expand", {data, ints({INT64_MAX, 3})}); }), "op.size");
}

TEST(Tile, RepeatsAlongEveryDimension) {
  const Tensor data = Tensor::of<I>({2, 2}, {0, 1, 2, 3});
  const Tensor out = run("Tile", {data, ints({2, 2})});
  EXPECT_EQ(out.shape(), Shape({4, 4}));
  EXPECT_THAT(elements<I>(out), ElementsAre(0, 1, 0, 1, 2, 3, 2, 3, 0, 1, 0, 1, 2, 3, 2, 3));
  EXPECT_EQ(run("Tile", {data, ints({0, 2})}).shape(), Shape({0, 4}));
  EXPECT_THAT(elements<I>(run("Tile", {Tensor::scalar(I{4}), ints({})})), ElementsAre(4));
}

TEST(Tile, RefusesImpossibleRepeats) {
  const Tensor data = Tensor::allocate(ElementType::kFloat32, {3});
  EXPECT_EQ(reason_of([&] { run("Tile", {data, ints({1, 1})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("Tile", {data, ints({-1})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("Tile", {data, ints({INT64_MAX})}); }), "op.size");
}

TEST(Tile, DoesNotDependOnThreads) {
  Tensor data = Tensor::allocate(ElementType::kInt64, {30, 7});
  for (I i = 0; i < 210; ++i) data.data<I>()[i] = i;
  EXPECT_EQ(elements<I>(run("Tile", {data, ints({20, 30})}, {}, 1)),
            elements<I>(run("Tile", {data, ints({20, 30})}, {}, 4)));
}

}  // namespace
}  // namespace lanner::kernels::testing
