#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;

Tensor ints(std::initializer_list<I> values) {
  return Tensor::of<I>({static_cast<I>(values.size())}, values);
}

TEST(Reshape, CopiesZeroAndInfersMinusOne) {
  const Tensor data = Tensor::allocate(ElementType::kFloat32, {2, 3, 4});
  EXPECT_EQ(run("Reshape", {data, ints({0, -1})}).shape(), Shape({2, 12}));
  EXPECT_EQ(run("Reshape", {data, ints({-1})}).shape(), Shape({24}));
}

TEST(Reshape, AllowZeroMakesEmptyTensors) {
  const Tensor data = Tensor::allocate(ElementType::kFloat32, {0, 3});
  EXPECT_EQ(run("Reshape", {data, ints({3, 0})}, attributes({{"allowzero", I{1}}})).shape(), Shape({3, 0}));
  EXPECT_EQ(run("Reshape", {data, ints({0, 7})}).shape(), Shape({0, 7}));
}

TEST(Reshape, SharesItsInputsMemory) {
  const Tensor data = Tensor::allocate(ElementType::kInt64, {4});
  EXPECT_EQ(run("Reshape", {data, ints({2, 2})}).raw_data(), data.raw_data());
}

TEST(Reshape, RefusesWhatDoesNotFit) {
  const Tensor data = Tensor::allocate(ElementType::kFloat32, {2, 3});
  EXPECT_EQ(reason_of([&] { run("Reshape", {data, ints({4, -1})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("Reshape", {data, ints({-1, -1})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("Reshape", {data, ints({2, 3, 0})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("Reshape", {data, ints({-2, 3})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("Reshape", {data, ints({INT64_MAX, 3})}); }), "op.size");
}

TEST(Flatten, AllowsTheRankItselfAsAxis) {
  const Tensor data = Tensor::allocate(ElementType::kFloat32, {2, 3, 4});
  EXPECT_EQ(run("Flatten", {data}).shape(), Shape({2, 12}));
  EXPECT_EQ(run("Flatten", {data}, attributes({{"axis", I{3}}})).shape(), Shape({24, 1}));
  EXPECT_EQ(run("Flatten", {data}, attributes({{"axis", I{-1}}})).shape(), Shape({6, 4}));
  EXPECT_EQ(reason_of([&] { run("Flatten", {data}, attributes({{"axis", I{4}}})); }), "op.axis");
}

TEST(Squeeze, TakesAllOnesOrTheNamedAxes) {
  const Tensor data = Tensor::allocate(ElementType::kFloat32, {1, 3, 1});
  EXPECT_EQ(run("Squeeze", {data}).shape(), Shape({3}));
  EXPECT_EQ(run("Squeeze", {data, ints({-1})}).shape(), Shape({1, 3}));
  EXPECT_EQ(reason_of([&] { run("Squeeze", {data, ints({1})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("Squeeze", {data, ints({3})}); }), "op.axis");
}

TEST(Unsqueeze, InsertsOnesInTheOutputsAxes) {
  const Tensor data = Tensor::allocate(ElementType::kFloat32, {3, 4});
  EXPECT_EQ(run("Unsqueeze", {data, ints({0, -1})}).shape(), Shape({1, 3, 4, 1}));
  EXPECT_EQ(reason_of([&] { run("Unsqueeze", {data, ints({0, 0})}); }), "op.axis");
  EXPECT_EQ(reason_of([&] { run("Unsqueeze", {data, ints({0, 1, 2, 3, 4, 5, 6})}); }), "op.rank");
}

TEST(Identity, PassesStringsThrough) {
  const Tensor words = Tensor::of<std::string>({2}, {"red", "blue"});
  EXPECT_THAT(elements<std::string>(run("Identity", {words})), ::testing::ElementsAre("red", "blue"));
}

}  // namespace
}  // namespace lanner::kernels::testing
