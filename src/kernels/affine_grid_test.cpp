#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::ElementsAre;

Tensor identity() {
  return Tensor::of<float>({1, 2, 3}, {1, 0, 0, 0, 1, 0});
}

TEST(AffineGrid, GivesTheCentresOfPixels) {
  const Tensor size = vec<I>({1, 5, 2, 4});
  const Tensor edges = run("AffineGrid", {identity(), size});
  ASSERT_EQ(edges.shape(), Shape({1, 2, 4, 2}));
  EXPECT_THAT(elements<float>(edges), ElementsAre(-0.75f, -0.5f, -0.25f, -0.5f, 0.25f, -0.5f, 0.75f, -0.5f,  //
                                                  -0.75f, 0.5f, -0.25f, 0.5f, 0.25f, 0.5f, 0.75f, 0.5f));
  const Tensor corners = run("AffineGrid", {identity(), vec<I>({1, 5, 2, 3})}, attributes({{"align_corners", I{1}}}));
  EXPECT_THAT(elements<float>(corners), ElementsAre(-1, -1, 0, -1, 1, -1, -1, 1, 0, 1, 1, 1));
  for (const I aligned : {0, 1}) {
    const Tensor one = run("AffineGrid", {identity(), vec<I>({1, 5, 1, 1})}, attributes({{"align_corners", aligned}}));
    EXPECT_THAT(elements<float>(one), ElementsAre(0, 0));
  }
}

TEST(AffineGrid, MapsEachImageByItsOwnTheta) {
  const Tensor theta = Tensor::of<float>({2, 2, 3}, {2, 0, 0.5f, 0, 3, 0, 0, 1, 0, -1, 0, 4});
  const Tensor grid = run("AffineGrid", {theta, vec<I>({2, 1, 2, 2})}, attributes({{"align_corners", I{1}}}), 2);
  EXPECT_THAT(elements<float>(grid), ElementsAre(-1.5f, -3, 2.5f, -3, -1.5f, 3, 2.5f, 3,  //
                                                 -1, 5, -1, 3, 1, 5, 1, 3));
}

TEST(AffineGrid, HasThreeDimensions) {
  const Tensor theta = Tensor::of<double>({1, 3, 4}, {1, 0, 0, 0, 0, 2, 0, 1, 0, 0, 3, 0});
  const Tensor grid = run("AffineGrid", {theta, vec<I>({1, 1, 2, 1, 2})}, attributes({{"align_corners", I{1}}}));
  ASSERT_EQ(grid.shape(), Shape({1, 2, 1, 2, 3}));
  EXPECT_THAT(elements<double>(grid), ElementsAre(-1, 1, -3, 1, 1, -3, -1, 1, 3, 1, 1, 3));
}

TEST(AffineGrid, RefusesWhatDoesNotFit) {
  EXPECT_EQ(reason_of([&] { run("AffineGrid", {identity(), vec<I>({1, 1, 2})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("AffineGrid", {identity(), vec<I>({2, 1, 2, 2})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("AffineGrid", {identity(), vec<I>({1, 1, 2, 2, 2})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("AffineGrid", {identity(), vec<I>({1, 1, -2, 2})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("AffineGrid", {identity(), vec<I>({1, 1, I{1} << 40, I{1} << 40})}); }), "op.size");
  EXPECT_EQ(run("AffineGrid", {identity(), vec<I>({1, 1, 0, 2})}).shape(), Shape({1, 0, 2, 2}));
}

}  // namespace
}  // namespace lanner::kernels::testing
