#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::ElementsAre;

tensor::Attributes kind(I exclusive, I reverse) {
  return attributes({{"exclusive", exclusive}, {"reverse", reverse}});
}

TEST(CumSum, FollowsTheDocumentsExample) {
  const Tensor data = Tensor::of<float>({3}, {1, 2, 3});
  const Tensor axis = Tensor::scalar(I{0});
  EXPECT_THAT(elements<float>(run("CumSum", {data, axis})), ElementsAre(1, 3, 6));
  EXPECT_THAT(elements<float>(run("CumSum", {data, axis}, kind(1, 0))), ElementsAre(0, 1, 3));
  EXPECT_THAT(elements<float>(run("CumSum", {data, axis}, kind(0, 1))), ElementsAre(6, 5, 3));
  EXPECT_THAT(elements<float>(run("CumSum", {data, axis}, kind(1, 1))), ElementsAre(5, 3, 0));
}

TEST(CumSum, SumsAlongOuterAxes) {
  const Tensor data = Tensor::of<I>({2, 3}, {1, 2, 3, 4, 5, 6});
  const Tensor axis = Tensor::scalar(std::int32_t{-2});
  EXPECT_THAT(elements<I>(run("CumSum", {data, axis})), ElementsAre(1, 2, 3, 5, 7, 9));
  EXPECT_THAT(elements<I>(run("CumSum", {data, axis}, kind(1, 0))), ElementsAre(0, 0, 0, 1, 2, 3));
  EXPECT_THAT(elements<I>(run("CumSum", {data, axis}, kind(0, 1))), ElementsAre(5, 7, 9, 4, 5, 6));
  EXPECT_THAT(elements<I>(run("CumSum", {data, axis}, kind(1, 1))), ElementsAre(4, 5, 6, 0, 0, 0));
}

TEST(CumSum, WrapsIntegersAndTakesEmptyTensors) {
  const Tensor big = Tensor::of<std::int32_t>({2}, {INT32_MAX, 1});
  EXPECT_THAT(elements<std::int32_t>(run("CumSum", {big, Tensor::scalar(I{0})})), ElementsAre(INT32_MAX, INT32_MIN));
  EXPECT_EQ(run("CumSum", {Tensor::allocate(ElementType::kFloat32, {2, 0}), Tensor::scalar(I{1})}).shape(),
            Shape({2, 0}));
}

TEST(CumSum, DoesNotDependOnThreads) {
  Tensor data = Tensor::allocate(ElementType::kFloat32, {40, 50, 30});
  for (I i = 0; i < 60000; ++i) data.data<float>()[i] = 0.1f * static_cast<float>(i % 17);
  for (const I axis : {0, 1, 2}) {
    EXPECT_EQ(elements<float>(run("CumSum", {data, Tensor::scalar(axis)}, {}, 1)),
              elements<float>(run("CumSum", {data, Tensor::scalar(axis)}, {}, 4)));
  }
}

TEST(CumSum, RefusesNonsense) {
  const Tensor data = Tensor::of<float>({1}, {1});
  EXPECT_EQ(reason_of([&] { run("CumSum", {data, Tensor::scalar(I{1})}); }), "op.axis");
  EXPECT_EQ(reason_of([&] { run("CumSum", {data, Tensor::of<I>({2}, {0, 0})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("CumSum", {Tensor::of<bool>({1}, {true}), Tensor::scalar(I{0})}); }), "op.type");
}

TEST(CumProd, FollowsTheDocumentsExample) {
  const Tensor data = Tensor::of<float>({3}, {1, 2, 3});
  const Tensor axis = Tensor::scalar(I{0});
  EXPECT_THAT(elements<float>(run("CumProd", {data, axis})), ElementsAre(1, 2, 6));
  EXPECT_THAT(elements<float>(run("CumProd", {data, axis}, kind(1, 0))), ElementsAre(1, 1, 2));
  EXPECT_THAT(elements<float>(run("CumProd", {data, axis}, kind(0, 1))), ElementsAre(6, 6, 3));
  EXPECT_THAT(elements<float>(run("CumProd", {data, axis}, kind(1, 1))), ElementsAre(6, 3, 1));
  const Tensor rows = Tensor::of<std::int32_t>({2, 3}, {1, 2, 3, 4, 5, 1 << 30});
  EXPECT_THAT(elements<std::int32_t>(run("CumProd", {rows, axis})), ElementsAre(1, 2, 3, 4, 10, -1073741824));
  EXPECT_THAT(elements<std::int32_t>(run("CumProd", {rows, axis}, kind(1, 0))), ElementsAre(1, 1, 1, 1, 2, 3));
  EXPECT_EQ(reason_of([&] { run("CumProd", {data, Tensor::scalar(I{1})}); }), "op.axis");
}

}  // namespace
}  // namespace lanner::kernels::testing
