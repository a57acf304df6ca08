#include "kernels/kernel_testing.h"
#include "tensor/elements.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::Each;
using ::testing::ElementsAre;

TEST(EyeLike, PutsOnesOnADiagonal) {
  const Tensor like = Tensor::allocate(ElementType::kInt32, {2, 3});
  const auto eye = [&](I k) {
    return elements<float>(run("EyeLike", {like}, attributes({{"k", k}, {"dtype", I{1}}})));
  };
  EXPECT_THAT(elements<std::int32_t>(run("EyeLike", {like})), ElementsAre(1, 0, 0, 0, 1, 0));
  const auto half = attributes({{"dtype", static_cast<I>(ElementType::kBfloat16)}});
  EXPECT_THAT(elements<tensor::Bfloat16>(run("EyeLike", {like}, half)), ElementsAre(1, 0, 0, 0, 1, 0));
  EXPECT_THAT(eye(1), ElementsAre(0, 1, 0, 0, 0, 1));
  EXPECT_THAT(eye(-1), ElementsAre(0, 0, 0, 1, 0, 0));
  for (const I k : {I{3}, I{-2}, INT64_MAX, INT64_MIN}) EXPECT_THAT(eye(k), Each(0));
}

TEST(EyeLike, RefusesOtherRanksAndTypes) {
  EXPECT_EQ(reason_of([] { run("EyeLike", {Tensor::scalar(1.0f)}); }), "op.rank");
  EXPECT_EQ(reason_of([] { run("EyeLike", {Tensor::allocate(ElementType::kString, {1, 1})}); }), "op.type");
}

TEST(Trilu, KeepsOneTriangle) {
  const Tensor data = Tensor::of<I>({2, 3}, {1, 2, 3, 4, 5, 6});
  const auto part = [&](I upper, I k) {
    return elements<I>(run("Trilu", {data, Tensor::scalar(k)}, attributes({{"upper", upper}})));
  };
  EXPECT_THAT(elements<I>(run("Trilu", {data})), ElementsAre(1, 2, 3, 0, 5, 6));
  EXPECT_THAT(part(1, 1), ElementsAre(0, 2, 3, 0, 0, 6));
  EXPECT_THAT(part(1, -1), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(part(0, 0), ElementsAre(1, 0, 0, 4, 5, 0));
  EXPECT_THAT(part(0, -1), ElementsAre(0, 0, 0, 4, 0, 0));
  EXPECT_THAT(part(1, INT64_MAX), Each(0));
  EXPECT_THAT(part(0, INT64_MIN), Each(0));
  EXPECT_THAT(part(0, INT64_MAX), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(Trilu, TakesBatchesAndEmptyMatrices) {
  const Tensor data = Tensor::of<float>({2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_THAT(elements<float>(run("Trilu", {data})), ElementsAre(1, 2, 0, 4, 5, 6, 0, 8));
  EXPECT_EQ(run("Trilu", {Tensor::allocate(ElementType::kFloat32, {0, 3})}).shape(), Shape({0, 3}));
  EXPECT_EQ(run("Trilu", {Tensor::allocate(ElementType::kFloat32, {3, 0})}).shape(), Shape({3, 0}));
  EXPECT_EQ(reason_of([] { run("Trilu", {Tensor::scalar(1.0f)}); }), "op.rank");
}

}  // namespace
}  // namespace lanner::kernels::testing
