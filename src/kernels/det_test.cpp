#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;

TEST(Det, EliminatesWithPivots) {
  EXPECT_THAT(elements<float>(run("Det", {Tensor::of<float>({2, 2}, {0, 1, 2, 3})})), ElementsAre(-2));
  EXPECT_EQ(run("Det", {Tensor::of<float>({2, 2}, {0, 1, 2, 3})}).rank(), 0);
  EXPECT_THAT(elements<float>(run("Det", {Tensor::of<float>({3, 2, 2}, {1, 2, 3, 4, 1, 2, 2, 1, 1, 3, 3, 1})}, {}, 3)),
              ElementsAre(FloatNear(-2, 1e-6f), -3, FloatNear(-8, 1e-6f)));
  EXPECT_THAT(elements<double>(run("Det", {Tensor::of<double>({3, 3}, {2, 0, 1, 4, 3, 0, 6, 3, 1})})),
              ElementsAre(::testing::DoubleNear(0, 1e-14)));
  EXPECT_THAT(elements<double>(run("Det", {Tensor::of<double>({3, 3}, {0, 0, 1, 0, 2, 0, 4, 0, 0})})), ElementsAre(-8));
}

TEST(Det, TakesEmptyMatricesAndNone) {
  EXPECT_THAT(elements<float>(run("Det", {Tensor::allocate(ElementType::kFloat32, {2, 0, 0})})), ElementsAre(1, 1));
  EXPECT_EQ(run("Det", {Tensor::allocate(ElementType::kFloat32, {0, 3, 3})}).shape(), Shape({0}));
}

TEST(Det, RefusesWhatIsNotSquare) {
  EXPECT_EQ(reason_of([] { run("Det", {noise({2, 3})}); }), "op.shape");
  EXPECT_EQ(reason_of([] { run("Det", {noise({2})}); }), "op.shape");
  EXPECT_EQ(reason_of([] { run("Det", {Tensor::of<std::int32_t>({1, 1}, {1})}); }), "op.type");
}

}  // namespace
}  // namespace lanner::kernels::testing
