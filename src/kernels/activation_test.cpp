#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::FloatNear;
using ::testing::IsNan;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
const float kNaN = std::nanf("");

TEST(Relu, KeepsNaN) {
  EXPECT_THAT(elements<float>(run("Relu", {vec<float>({-1, 0, 2, kNaN})})), ElementsAre(0, 0, 2, IsNan()));
  EXPECT_THAT(elements<std::int8_t>(run("Relu", {vec<std::int8_t>({-128, 127})})), ElementsAre(0, 127));
  EXPECT_EQ(reason_of([] { run("Relu", {vec<std::uint8_t>({1})}); }), "op.type");
}

TEST(LeakyRelu, ScalesNegatives) {
  EXPECT_THAT(elements<float>(run("LeakyRelu", {vec<float>({-1, 0, 1})}, attributes({{"alpha", 0.1f}}))),
              ElementsAre(-0.1f, 0, 1));
  EXPECT_THAT(elements<float>(run("LeakyRelu", {vec<float>({-1, kNaN})})), ElementsAre(-0.01f, IsNan()));
}

TEST(PRelu, BroadcastsTheSlopeOnly) {
  const Tensor x = Tensor::of<float>({2, 2}, {-1, 2, -3, -4});
  EXPECT_THAT(elements<float>(run("PRelu", {x, vec<float>({0.5f, 10})})), ElementsAre(-0.5f, 2, -1.5f, -40));
  EXPECT_THAT(elements<float>(run("PRelu", {x, Tensor::of<float>({2, 1}, {0, 2})})), ElementsAre(0, 2, -6, -8));
  EXPECT_THAT(elements<std::int32_t>(run("PRelu", {vec<std::int32_t>({-3, 3}), vec<std::int32_t>({2})})),
              ElementsAre(-6, 3));
  EXPECT_EQ(reason_of([] { run("PRelu", {vec<float>({1}), vec<float>({1, 2})}); }), "op.shape");
}

TEST(Clip, TakesAbsentLimitsAndCrossedOnes) {
  const Tensor x = vec<float>({-2, 0, 2, kNaN, -kInfinity});
  const Tensor low = Tensor::scalar<float>(-1);
  const Tensor high = Tensor::scalar<float>(1);
  EXPECT_THAT(elements<float>(run("Clip", {x, low, high})), ElementsAre(-1, 0, 1, IsNan(), -1));
  EXPECT_THAT(elements<float>(run("Clip", {x, Tensor(), high})), ElementsAre(-2, 0, 1, IsNan(), -kInfinity));
  EXPECT_THAT(elements<float>(run("Clip", {x, low})), ElementsAre(-1, 0, 2, IsNan(), -1));
  EXPECT_THAT(elements<float>(run("Clip", {x, high, low})), ElementsAre(-1, -1, -1, IsNan(), -1));
  EXPECT_THAT(elements<float>(run("Clip", {vec<float>({1, 2}), Tensor::scalar<float>(kNaN)})),
              ElementsAre(IsNan(), IsNan()));
  EXPECT_THAT(elements<std::uint8_t>(run("Clip", {vec<std::uint8_t>({1, 9}), vec<std::uint8_t>({3})})),
              ElementsAre(3, 9));
  EXPECT_EQ(reason_of([&] { run("Clip", {x, Tensor::scalar<I>(1)}); }), "op.type");
  EXPECT_EQ(reason_of([&] { run("Clip", {x, vec<float>({1, 2})}); }), "op.shape");
}

TEST(Activations, MatchTheirFormulas) {
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  struct Row {
    const char* name;
    std::function<double(double)> formula;
    tensor::Attributes attributes = {};
  };
  const std::vector<Row> rows = {
      {"Sigmoid", sigmoid},
      {"HardSigmoid", [](double x) { return std::clamp(0.2 * x + 0.5, 0.0, 1.0); }},
      {"HardSwish", [](double x) { return x * std::clamp(x / 6 + 0.5, 0.0, 1.0); }},
      {"Swish", [&](double x) { return x * sigmoid(0.5 * x); }, attributes({{"alpha", 0.5f}})},
      {"Mish", [](double x) { return x * std::tanh(std::log1p(std::exp(x))); }},
      {"Elu", [](double x) { return x < 0 ? 2 * std::expm1(x) : x; }, attributes({{"alpha", 2.0f}})},
      {"Selu", [](double x) { return 3 * (x > 0 ? x : 2 * std::expm1(x)); },
       attributes({{"alpha", 2.0f}, {"gamma", 3.0f}})},
      {"Celu", [](double x) { return std::max(0.0, x) + std::min(0.0, 2 * std::expm1(x / 2)); },
       attributes({{"alpha", 2.0f}})},
      {"Softplus", [](double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }},
      {"Softsign", [](double x) { return x / (1 + std::fabs(x)); }},
      {"ThresholdedRelu", [](double x) { return x > 2 ? x : 0; }, attributes({{"alpha", 2.0f}})},
      {"Gelu", [](double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2)); }},
      {"Gelu", [](double x) { return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))); },
       attributes({{"approximate", std::string("tanh")}})},
  };
  const Tensor x = noise({1000});
  const Tensor wide = run("Cast", {x}, attributes({{"to", static_cast<I>(ElementType::kFloat64)}}));
  for (const Row& row : rows) {
    const auto single = elements<float>(run(row.name, {x}, row.attributes));
    const auto twice = elements<double>(run(row.name, {wide}, row.attributes));
    for (std::size_t i = 0; i < single.size(); ++i) {
      const double exact = row.formula(wide.data<double>()[i]);
      ASSERT_NEAR(single[i], exact, 2e-6 * std::fabs(exact) + 1e-6) << row.name << " of " << wide.data<double>()[i];
      // Attributes are float32, so defaults such as 0.2 are only that close.
      ASSERT_NEAR(twice[i], exact, 1e-7 * std::fabs(exact) + 1e-7) << row.name << " of " << wide.data<double>()[i];
    }
    const Tensor special = run(row.name, {vec<float>({kNaN, 1e30f})}, row.attributes);
    const bool keeps_nan = std::string_view(row.name) != "ThresholdedRelu";
    EXPECT_EQ(std::isnan(elements<float>(special)[0]), keeps_nan) << row.name;
    EXPECT_FALSE(std::isnan(elements<float>(special)[1])) << row.name;
  }
}

TEST(Activations, StayFiniteFarFromZero) {
  const Tensor far = vec<float>({-1000, 1000});
  EXPECT_THAT(elements<float>(run("Sigmoid", {far})), ElementsAre(0, 1));
  EXPECT_THAT(elements<float>(run("Mish", {far})), ElementsAre(0, 1000));
  EXPECT_THAT(elements<float>(run("Swish", {far})), ElementsAre(0, 1000));
  EXPECT_THAT(elements<float>(run("Softplus", {far})), ElementsAre(0, 1000));
  EXPECT_THAT(elements<float>(run("Elu", {far})), ElementsAre(-1, 1000));
  EXPECT_THAT(elements<float>(run("Celu", {far})), ElementsAre(-1, 1000));
}

TEST(Activations, RefuseOtherTypesAndAttributes) {
  EXPECT_EQ(reason_of([] { run("Sigmoid", {vec<I>({1})}); }), "op.type");
  EXPECT_EQ(reason_of([] {
              run("Gelu", {vec<float>({1})}, attributes({{"approximate", std::string("x")}}));
            }),
            "op.attribute");
}

TEST(Activations, AreTheSameOnAnyNumberOfThreads) {
  const Tensor x = noise({5, 91, 333});
  for (const char* name : {"Sigmoid", "Mish", "Gelu"}) {
    const Tensor one = run(name, {x}, {}, 1);
    const Tensor four = run(name, {x}, {}, 4);
    EXPECT_EQ(std::memcmp(one.raw_data(), four.raw_data(), one.byte_count()), 0) << name;
  }
}

}  // namespace
}  // namespace lanner::kernels::testing
