#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::ElementsAre;

tensor::Attributes axes(I time, I batch) {
  return attributes({{"time_axis", time}, {"batch_axis", batch}});
}

TEST(ReverseSequence, ReversesTheBeginningOfEachItem) {
  const Tensor in = Tensor::of<float>({3, 2}, {0, 3, 1, 4, 2, 5});
  const Tensor lengths = Tensor::of<I>({2}, {3, 2});
  EXPECT_THAT(elements<float>(run("ReverseSequence", {in, lengths})), ElementsAre(2, 4, 1, 3, 0, 5));
  const Tensor rows = Tensor::of<float>({2, 3}, {0, 1, 2, 3, 4, 5});
  EXPECT_THAT(elements<float>(run("ReverseSequence", {rows, Tensor::of<I>({2}, {0, 3})}, axes(1, 0))),
              ElementsAre(0, 1, 2, 5, 4, 3));
}

TEST(ReverseSequence, MovesWholeSteps) {
  const Tensor in = Tensor::of<I>({1, 2, 3}, {0, 1, 2, 3, 4, 5});
  EXPECT_THAT(elements<I>(run("ReverseSequence", {in, Tensor::of<I>({1}, {2})}, axes(1, 0))),
              ElementsAre(3, 4, 5, 0, 1, 2));
}

TEST(ReverseSequence, RefusesNonsense) {
  const Tensor in = Tensor::allocate(ElementType::kFloat32, {2, 1});
  EXPECT_EQ(reason_of([&] { run("ReverseSequence", {in, Tensor::of<I>({1}, {3})}); }), "op.value");
  EXPECT_EQ(reason_of([&] { run("ReverseSequence", {in, Tensor::of<I>({1}, {-1})}); }), "op.value");
  EXPECT_EQ(reason_of([&] { run("ReverseSequence", {in, Tensor::of<I>({2}, {1, 1})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("ReverseSequence", {in, Tensor::of<float>({1}, {1})}); }), "op.type");
  EXPECT_EQ(reason_of([&] { run("ReverseSequence", {in, Tensor::of<I>({1}, {1})}, axes(1, 1)); }), "op.attribute");
}

}  // namespace
}  // namespace lanner::kernels::testing
