#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using Ints = std::vector<I>;
using ::testing::ElementsAre;

const tensor::Attributes kHalves = attributes({{"kernel_shape", Ints{2, 2}}, {"strides", Ints{2, 2}}});

TEST(MaxUnpool, PutsElementsBack) {
  const Tensor x = Tensor::of<float>({1, 1, 2, 2}, {1, 2, 3, 4});
  const Tensor indices = Tensor::of<I>({1, 1, 2, 2}, {5, 7, 13, 15});
  EXPECT_THAT(elements<float>(run("MaxUnpool", {x, indices}, kHalves)),
              ElementsAre(0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 3, 0, 4));
  // Into a corner of a larger shape.
  EXPECT_THAT(elements<float>(run("MaxUnpool", {x, indices, vec<I>({1, 1, 4, 5})}, kHalves)),
              ElementsAre(0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 4, 0));
}

TEST(MaxUnpool, IsWhatMaxPoolKept) {
  const Tensor x = noise({2, 3, 8, 6});
  const std::vector<Value> pooled = run_operator("MaxPool", kHalves, std::vector<Tensor>{x}, 2);
  const Tensor y = run("MaxUnpool", {pooled[0].tensor(), pooled[1].tensor()}, kHalves);
  ASSERT_EQ(y.shape(), x.shape());
  std::size_t kept = 0;
  for (I i = 0; i < x.element_count(); ++i) {
    const float value = y.data<float>()[i];
    EXPECT_TRUE(value == 0 || value == x.data<float>()[i]);
    kept += value != 0 ? 1u : 0u;
  }
  EXPECT_EQ(kept, 2u * 3 * 4 * 3);
  EXPECT_EQ(elements<float>(run("MaxPool", {y}, kHalves)).size(), kept);
}

TEST(MaxUnpool, RefusesNonsense) {
  const Tensor x = noise({1, 1, 2, 2});
  const auto reason = [&](const Tensor& indices, const tensor::Attributes& attributes, const Tensor& shape = {}) {
    return reason_of([&] { run("MaxUnpool", {x, indices, shape}, attributes); });
  };
  const Tensor indices = Tensor::of<I>({1, 1, 2, 2}, {0, 1, 2, 3});
  EXPECT_EQ(reason(indices, kHalves), "");
  EXPECT_EQ(reason(Tensor::of<I>({1, 1, 2, 2}, {0, 1, 2, 16}), kHalves), "op.index");
  EXPECT_EQ(reason(Tensor::of<I>({1, 1, 2, 2}, {0, 1, 2, -1}), kHalves), "op.index");
  EXPECT_EQ(reason(vec<I>({0}), kHalves), "op.shape");
  EXPECT_EQ(reason(x, kHalves), "op.shape");
  EXPECT_EQ(reason(indices, {}), "op.attribute");
  EXPECT_EQ(reason(indices, attributes({{"kernel_shape", Ints{2, 2}}, {"strides", Ints{2}}})), "op.attribute");
  EXPECT_EQ(reason(indices, attributes({{"kernel_shape", Ints{2, 2}}, {"pads", Ints{9, 9, 9, 9}}})), "op.shape");
  EXPECT_EQ(reason(indices, kHalves, vec<I>({1, 1, 3, 4})), "op.shape");
  EXPECT_EQ(reason(indices, kHalves, vec<I>({1, 2, 4, 4})), "op.shape");
  EXPECT_EQ(reason(indices, kHalves, vec<I>({16})), "op.shape");
  EXPECT_EQ(reason(indices, kHalves, vec<I>({1, 1, I{1} << 40, I{1} << 40})), "op.size");
}

}  // namespace
}  // namespace lanner::kernels::testing
