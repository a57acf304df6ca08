#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using ::testing::ElementsAre;
using I = std::int64_t;

Tensor row(std::vector<float> values) {
  return Tensor::of<float>({static_cast<I>(values.size())}, std::span<const float>(values));
}

// Two channels, with means 2 and 20 and variances 1 and 100 in the batch.
TEST(BatchNormalization, LearnsInTraining) {
  const Tensor x = Tensor::of<float>({2, 2, 1}, {1, 10, 3, 30});
  const std::vector<Tensor> inputs{x, vec<float>({1, 1}), vec<float>({0, 5}), vec<float>({4, 0}), vec<float>({0, 50})};
  const auto how = attributes({{"training_mode", I{1}}, {"momentum", 0.5f}, {"epsilon", 0.0f}});
  const std::vector<Value> outputs = run_operator("BatchNormalization", how, inputs, 3);
  EXPECT_THAT(elements<float>(outputs[0].tensor()), ElementsAre(-1, 4, 1, 6));
  EXPECT_THAT(elements<float>(outputs[1].tensor()), ElementsAre(3, 10));
  EXPECT_THAT(elements<float>(outputs[2].tensor()), ElementsAre(0.5f, 75));
}

TEST(BatchNormalization, ScalesEachChannel) {
  const Tensor x = Tensor::of<float>({1, 2, 2}, {1, 2, 3, 4});
  const auto exact = attributes({{"epsilon", 0.0f}});
  const Tensor y = run("BatchNormalization", {x, row({2, 1}), row({0, 10}), row({1, 3}), row({4, 1})}, exact);
  EXPECT_THAT(elements<float>(y), ElementsAre(0, 1, 10, 11));
  EXPECT_EQ(reason_of([&] {
              run("BatchNormalization", {x, row({1}), row({0, 0}), row({0, 0}), row({1, 1})});
            }),
            "op.shape");
}

TEST(InstanceNormalization, NormalizesEachPlane) {
  const Tensor x = Tensor::of<float>({1, 2, 2}, {1, 3, 10, 30});
  const Tensor y = run("InstanceNormalization", {x, row({1, 2}), row({0, 5})}, attributes({{"epsilon", 0.0f}}));
  EXPECT_THAT(elements<float>(y), ElementsAre(-1, 1, 3, 7));
}

TEST(LayerNormalization, NormalizesRowsAndBroadcastsParameters) {
  const Tensor x = Tensor::of<float>({2, 2}, {1, 3, 10, 30});
  const auto exact = attributes({{"epsilon", 0.0f}});
  const auto out = run_operator("LayerNormalization", exact, std::vector<Tensor>{x, row({1, 2}), row({0, 5})}, 3);
  EXPECT_THAT(elements<float>(out[0].tensor()), ElementsAre(-1, 7, -1, 7));
  EXPECT_THAT(elements<float>(out[1].tensor()), ElementsAre(2, 20));
  EXPECT_THAT(elements<float>(out[2].tensor()), ElementsAre(1, 0.1f));
  EXPECT_EQ(out[1].tensor().shape(), Shape({2, 1}));
  EXPECT_THAT(elements<float>(run("LayerNormalization", {x, row({3})}, exact)), ElementsAre(-3, 3, -3, 3));
  EXPECT_EQ(reason_of([&] { run("LayerNormalization", {x, row({1, 2, 3})}); }), "op.shape");
}

TEST(LRN, SumsSquaresOfNeighbouringChannels) {
  const Tensor x = Tensor::of<float>({1, 3, 1, 1}, {1, 2, 3});
  const auto options = attributes({{"size", I{3}}, {"alpha", 3.0f}, {"beta", 1.0f}, {"bias", 1.0f}});
  EXPECT_THAT(elements<float>(run("LRN", {x}, options)), ElementsAre(1.0f / 6, 2.0f / 15, 3.0f / 14));
  EXPECT_EQ(reason_of([&] { run("LRN", {x}); }), "op.attribute");
}

}  // namespace
}  // namespace lanner::kernels::testing
