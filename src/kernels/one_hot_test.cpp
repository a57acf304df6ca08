#include <limits>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::ElementsAre;

TEST(OneHot, AddsADimension) {
  const Tensor indices = Tensor::of<I>({2}, {0, -1});
  const Tensor values = Tensor::of<float>({2}, {2, 5});
  const Tensor out = run("OneHot", {indices, Tensor::scalar(I{3}), values});
  EXPECT_EQ(out.shape(), Shape({2, 3}));
  EXPECT_THAT(elements<float>(out), ElementsAre(5, 2, 2, 2, 2, 5));
  const Tensor first = run("OneHot", {indices, Tensor::of<float>({1}, {3}), values}, attributes({{"axis", I{0}}}));
  EXPECT_EQ(first.shape(), Shape({3, 2}));
  EXPECT_THAT(elements<float>(first), ElementsAre(5, 2, 2, 2, 2, 5));
  const Tensor half = run("Cast", {indices}, attributes({{"to", static_cast<I>(ElementType::kFloat16)}}));
  EXPECT_THAT(elements<float>(run("OneHot", {half, Tensor::scalar(I{3}), values})), ElementsAre(5, 2, 2, 2, 2, 5));
}

TEST(OneHot, LeavesWhatIsOutOfRangeOff) {
  const float infinity = std::numeric_limits<float>::infinity();
  const Tensor indices = Tensor::of<float>({4}, {2, -3, infinity, -infinity});
  const Tensor out = run("OneHot", {indices, Tensor::scalar(std::int32_t{2}), Tensor::of<bool>({2}, {false, true})});
  EXPECT_THAT(elements<bool>(out), ::testing::Each(false));
  const Tensor none = run("OneHot", {indices, Tensor::scalar(I{0}), Tensor::of<I>({2}, {0, 1})});
  EXPECT_EQ(none.shape(), Shape({4, 0}));
}

TEST(OneHot, RefusesNonsense) {
  const Tensor index = Tensor::scalar(I{0});
  const Tensor values = Tensor::of<I>({2}, {0, 1});
  EXPECT_EQ(reason_of([&] { run("OneHot", {index, Tensor::scalar(I{-1}), values}); }), "op.value");
  EXPECT_EQ(reason_of([&] { run("OneHot", {index, Tensor::of<I>({2}, {1, 2}), values}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("OneHot", {index, index, index}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("OneHot", {Tensor::scalar(true), index, values}); }), "op.type");
  EXPECT_EQ(reason_of([&] {
              run("OneHot", {Tensor::of<I>({2}, {0, 0}), Tensor::scalar(INT64_MAX), values});
            }),
            "op.size");
}

}  // namespace
}  // namespace lanner::kernels::testing
