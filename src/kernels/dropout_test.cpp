#include <cmath>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::Each;
using ::testing::ElementsAre;

std::vector<Value> drop(const Tensor& data, float ratio, bool training, I seed = 0, int threads = 1) {
  const std::vector<Tensor> inputs{data, Tensor::scalar<float>(ratio), Tensor::scalar<bool>(training)};
  return run_operator("Dropout", attributes({{"seed", seed}}), inputs, 2, threads);
}

TEST(Dropout, PassesEverythingOnInInference) {
  const Tensor data = noise({100});
  for (const auto& outputs : {drop(data, 0.7f, false), drop(data, 0, true)}) {
    EXPECT_EQ(elements<float>(outputs[0].tensor()), elements<float>(data));
    EXPECT_THAT(elements<bool>(outputs[1].tensor()), Each(true));
  }
  EXPECT_EQ(elements<float>(run("Dropout", {data})), elements<float>(data));
}

TEST(Dropout, DropsTheRatioInTraining) {
  const Tensor data = noise({100000});
  const std::vector<Value> outputs = drop(data, 0.25f, true);
  const std::vector<float> x = elements<float>(data);
  const std::vector<float> y = elements<float>(outputs[0].tensor());
  const std::vector<bool> mask = elements<bool>(outputs[1].tensor());
  int kept = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    kept += mask[i] ? 1 : 0;
    EXPECT_FLOAT_EQ(y[i], mask[i] ? x[i] / 0.75f : 0.0f);
  }
  EXPECT_NEAR(kept, 75000, 1000);
  EXPECT_EQ(elements<bool>(drop(data, 0.25f, true, 0, 4)[1].tensor()), mask);
  EXPECT_NE(elements<bool>(drop(data, 0.25f, true, 1)[1].tensor()), mask);
  for (const float ratio : {-0.1f, 1.0f, std::nanf("")}) {
    EXPECT_EQ(reason_of([&] { drop(data, ratio, true); }), "op.value");
  }
}

TEST(BitCast, KeepsBits) {
  const auto cast = [](const Tensor& data, ElementType to) {
    return run("BitCast", {data}, attributes({{"to", static_cast<I>(to)}}));
  };
  EXPECT_THAT(elements<std::int32_t>(cast(vec<float>({1, -0.0f}), ElementType::kInt32)),
              ElementsAre(0x3f800000, INT32_MIN));
  EXPECT_EQ(reason_of([&] { cast(vec<float>({1}), ElementType::kInt64); }), "op.type");
  EXPECT_EQ(reason_of([&] { cast(vec<std::string>({"a"}), ElementType::kInt64); }), "op.type");
  EXPECT_EQ(reason_of([&] { cast(vec<I>({1}), ElementType::kString); }), "op.attribute");
}

TEST(CumProd, MultipliesAlongAnAxis) {
  const Tensor data = Tensor::of<I>({2, 3}, {1, 2, 3, 4, 5, 6});
  const Tensor axis = Tensor::scalar<I>(1);
  EXPECT_THAT(elements<I>(run("CumProd", {data, axis})), ElementsAre(1, 2, 6, 4, 20, 120));
  EXPECT_THAT(elements<I>(run("CumProd", {data, axis}, attributes({{"exclusive", I{1}}, {"reverse", I{1}}}))),
              ElementsAre(6, 3, 1, 30, 6, 1));
  EXPECT_THAT(elements<I>(run("CumProd", {data, Tensor::scalar<I>(0)}, attributes({{"exclusive", I{1}}}))),
              ElementsAre(1, 1, 1, 1, 2, 3));
}

}  // namespace
}  // namespace lanner::kernels::testing
