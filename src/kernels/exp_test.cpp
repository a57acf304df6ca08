#include "kernels/exp.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace lanner::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
const float kNaN = std::nanf("");

// The distance of `value` from `exact` in units in the last place of the float nearest to `exact`.
double error_in_ulps(float value, double exact) {
  if (std::fabs(exact) > std::numeric_limits<float>::max()) return std::isinf(value) ? 0 : 1e9;
  if (std::isinf(value)) {
    // As if float went on beyond its largest value.
    value = std::numeric_limits<float>::max();
  }
  int exponent = 0;
  std::frexp(exact, &exponent);
  const double ulp = std::ldexp(1.0, std::max(exponent - 24, -149));
  return std::fabs(static_cast<double>(value) - exact) / ulp;
}

// The largest error over every `step`-th float between -`last` and `last`.
template <typename Function, typename Exact>
double largest_error(Function function, Exact exact, float last, std::uint32_t step) {
  double worst = 0;
  for (std::uint32_t bits = 0; bits <= std::bit_cast<std::uint32_t>(last); bits += step) {
    for (const float x : {std::bit_cast<float>(bits), -std::bit_cast<float>(bits)}) {
      worst = std::max(worst, error_in_ulps(function(x), exact(static_cast<double>(x))));
    }
  }
  return worst;
}

constexpr std::uint32_t kStep = 1009;

TEST(Exp, IsWithinOneUlpOverADenseSweep) {
  EXPECT_LE(largest_error([](float x) { return math::exp(x); }, [](double x) { return std::exp(x); }, 110.0f, kStep),
            1.0);
}

TEST(Exp, CoversTheWholeRange) {
  EXPECT_EQ(math::exp(0.0f), 1.0f);
  EXPECT_EQ(math::exp(-0.0f), 1.0f);
  EXPECT_EQ(math::exp(kInfinity), kInfinity);
  EXPECT_EQ(math::exp(-kInfinity), 0.0f);
  EXPECT_TRUE(std::isnan(math::exp(kNaN)));
  EXPECT_EQ(math::exp(89.0f), kInfinity);
  EXPECT_EQ(math::exp(std::numeric_limits<float>::max()), kInfinity);
  EXPECT_EQ(math::exp(-104.0f), 0.0f);
  EXPECT_EQ(math::exp(-std::numeric_limits<float>::max()), 0.0f);
  EXPECT_EQ(math::exp(-103.0f), static_cast<float>(std::exp(-103.0)));
  EXPECT_EQ(std::fpclassify(math::exp(-100.0f)), FP_SUBNORMAL);
  EXPECT_TRUE(std::isfinite(math::exp(88.7f)));
}

TEST(Expm1, IsWithinTwoUlpsOverADenseSweep) {
  EXPECT_LE(
      largest_error([](float x) { return math::expm1(x); }, [](double x) { return std::expm1(x); }, 110.0f, kStep),
      2.0);
  EXPECT_EQ(math::expm1(kInfinity), kInfinity);
  EXPECT_EQ(math::expm1(-kInfinity), -1.0f);
  EXPECT_TRUE(std::isnan(math::expm1(kNaN)));
}

TEST(Tanh, IsWithinTwoUlpsOverADenseSweep) {
  EXPECT_LE(largest_error([](float x) { return math::tanh(x); }, [](double x) { return std::tanh(x); }, 110.0f, kStep),
            2.0);
  EXPECT_EQ(math::tanh(kInfinity), 1.0f);
  EXPECT_EQ(math::tanh(-kInfinity), -1.0f);
  EXPECT_TRUE(std::signbit(math::tanh(-0.0f)));
  EXPECT_TRUE(std::isnan(math::tanh(kNaN)));
}

TEST(Sigmoid, IsWithinThreeUlpsInBothTails) {
  const auto exact = [](double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); };
  EXPECT_LE(largest_error([](float x) { return math::sigmoid(x); }, exact, 110.0f, kStep), 3.0);
  EXPECT_EQ(math::sigmoid(kInfinity), 1.0f);
  EXPECT_EQ(math::sigmoid(-kInfinity), 0.0f);
  EXPECT_TRUE(std::isnan(math::sigmoid(kNaN)));
}

}  // namespace
}  // namespace lanner::kernels
