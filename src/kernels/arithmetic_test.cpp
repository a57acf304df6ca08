#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::ElementsAre;
using ::testing::IsNan;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
const float kNaN = std::nanf("");

// Values 0, 1, 2 ... times `step`.
Tensor ramp(const Shape& shape, float step) {
  Tensor tensor = Tensor::allocate(ElementType::kFloat32, shape);
  float index = 0;
  for (float& value : tensor.values<float>()) value = step * index++;
  return tensor;
}

TEST(Add, BroadcastsBothWays) {
  const Tensor column = Tensor::of<float>({2, 1}, {10, 20});
  EXPECT_THAT(elements<float>(run("Add", {column, vec<float>({1, 2, 3})})), ElementsAre(11, 12, 13, 21, 22, 23));
  const Tensor sum = run("Add", {Tensor::scalar<I>(1), Tensor::scalar<I>(2)});
  EXPECT_EQ(sum.shape(), Shape({}));
  EXPECT_THAT(elements<I>(sum), ElementsAre(3));
  EXPECT_EQ(run("Add", {Tensor::allocate(ElementType::kFloat32, {0, 3}), vec<float>({1, 2, 3})}).shape(),
            Shape({0, 3}));
}

TEST(Arithmetic, WrapsIntegers) {
  EXPECT_THAT(elements<std::int8_t>(run("Add", {vec<std::int8_t>({127, -128}), vec<std::int8_t>({1, -1})})),
              ElementsAre(-128, 127));
  EXPECT_THAT(elements<std::int32_t>(run("Sub", {vec<std::int32_t>({INT32_MIN}), vec<std::int32_t>({1})})),
              ElementsAre(INT32_MAX));
  EXPECT_THAT(elements<std::uint16_t>(run("Mul", {vec<std::uint16_t>({65535}), vec<std::uint16_t>({65535})})),
              ElementsAre(1));
  EXPECT_THAT(elements<I>(run("Mul", {vec<I>({INT64_MIN, 3}), vec<I>({-1, -4})})), ElementsAre(INT64_MIN, -12));
  EXPECT_THAT(elements<std::int32_t>(run("Neg", {vec<std::int32_t>({INT32_MIN, 5})})), ElementsAre(INT32_MIN, -5));
  EXPECT_THAT(elements<I>(run("Abs", {vec<I>({INT64_MIN, -5, 5})})), ElementsAre(INT64_MIN, 5, 5));
}

TEST(Arithmetic, RefusesOtherTypesAndShapes) {
  EXPECT_EQ(reason_of([] { run("Add", {vec<float>({1}), vec<double>({1})}); }), "op.type");
  EXPECT_EQ(reason_of([] { run("Add", {vec<bool>({true}), vec<bool>({true})}); }), "op.type");
  EXPECT_EQ(reason_of([] { run("Sqrt", {vec<I>({4})}); }), "op.type");
  EXPECT_EQ(reason_of([] { run("Mul", {vec<float>({1, 2}), vec<float>({1, 2, 3})}); }), "op.shape");
  EXPECT_EQ(reason_of([] { run("Sub", {vec<float>({1, 2})}); }), "op.input");
}

TEST(Div, TruncatesIntegersAndRefusesZero) {
  EXPECT_THAT(
      elements<std::int32_t>(run("Div", {vec<std::int32_t>({-7, 7, INT32_MIN}), vec<std::int32_t>({2, -2, -1})})),
      ElementsAre(-3, -3, INT32_MIN));
  EXPECT_EQ(reason_of([] { run("Div", {vec<I>({1, 2}), vec<I>({1, 0})}); }), "op.value");
  EXPECT_EQ(run("Div", {Tensor::allocate(ElementType::kInt64, {0}), vec<I>({0})}).shape(), Shape({0}));
  EXPECT_THAT(elements<float>(run("Div", {vec<float>({1, -1, 0}), vec<float>({0})})),
              ElementsAre(kInfinity, -kInfinity, IsNan()));
}

TEST(Mod, TakesTheDivisorsOrTheDividendsSign) {
  const Tensor a = vec<std::int32_t>({-4, 7, 5, 4, -7, 8, INT32_MIN});
  const Tensor b = vec<std::int32_t>({2, -3, 8, -2, 3, 5, -1});
  EXPECT_THAT(elements<std::int32_t>(run("Mod", {a, b})), ElementsAre(0, -2, 5, 0, 2, 3, 0));
  EXPECT_THAT(elements<std::int32_t>(run("Mod", {a, b}, attributes({{"fmod", I{1}}}))),
              ElementsAre(0, 1, 5, 0, -1, 3, 0));
  EXPECT_EQ(reason_of([&] { run("Mod", {a, vec<std::int32_t>({0})}); }), "op.value");
  EXPECT_EQ(reason_of([&] { run("Mod", {a, b}, attributes({{"fmod", I{2}}})); }), "op.attribute");
}

TEST(Mod, HandlesSpecialFloats) {
  const Tensor a = vec<float>({0.0f, 0.0f, kInfinity, 1, 1, -1, 1, kNaN, -5.5f});
  const Tensor b = vec<float>({-2.0f, 2.0f, 3, 0, kInfinity, kInfinity, -kInfinity, 1, 2});
  const auto floored = elements<float>(run("Mod", {a, b}));
  EXPECT_THAT(floored, ElementsAre(0, 0, IsNan(), IsNan(), 1, kInfinity, -kInfinity, IsNan(), 0.5f));
  EXPECT_TRUE(std::signbit(floored[0]));
  EXPECT_FALSE(std::signbit(floored[1]));
  EXPECT_THAT(elements<float>(run("Mod", {a, b}, attributes({{"fmod", I{1}}}))),
              ElementsAre(0, 0, IsNan(), IsNan(), 1, -1, 1, IsNan(), -1.5f));
}

TEST(Pow, MixesTypesAndKeepsTheBases) {
  const Tensor squares = run("Pow", {vec<float>({1, 2, 3}), vec<I>({4, 5, 6})});
  EXPECT_EQ(squares.element_type(), ElementType::kFloat32);
  EXPECT_THAT(elements<float>(squares), ElementsAre(1, 32, 729));
  EXPECT_THAT(elements<I>(run("Pow", {vec<I>({1, 2, 3}), vec<float>({4, 5, 6})})), ElementsAre(1, 32, 729));
  EXPECT_THAT(elements<std::int32_t>(run("Pow", {vec<std::int32_t>({2, -3, 7}), vec<std::uint8_t>({10, 3, 0})})),
              ElementsAre(1024, -27, 1));
  EXPECT_THAT(elements<double>(run("Pow", {vec<double>({2}), vec<float>({0.5f, -1})})),
              ElementsAre(std::sqrt(2.0), 0.5));
  EXPECT_EQ(reason_of([] { run("Pow", {vec<std::uint8_t>({2}), vec<std::uint8_t>({2})}); }), "op.type");
  EXPECT_EQ(reason_of([] { run("Pow", {vec<float>({2}), vec<bool>({true})}); }), "op.type");
}

TEST(Pow, HandlesConstantExponents) {
  const Tensor x = vec<float>({-0.0f, -kInfinity, -2, 2.25f});
  EXPECT_THAT(elements<float>(run("Pow", {x, vec<float>({2})})), ElementsAre(0, kInfinity, 4, 5.0625f));
  EXPECT_THAT(elements<float>(run("Pow", {x, Tensor::scalar<std::int32_t>(3)})),
              ElementsAre(0, -kInfinity, -8, 11.390625f));
  const auto roots = elements<float>(run("Pow", {x, vec<double>({0.5})}));
  EXPECT_THAT(roots, ElementsAre(0, kInfinity, IsNan(), 1.5f));
  EXPECT_FALSE(std::signbit(roots[0]));
  EXPECT_EQ(run("Pow", {x, Tensor::of<float>({1, 1}, {2})}).shape(), Shape({1, 4}));
}

TEST(Pow, DefinesExtremeIntegerPowers) {
  const Tensor negative = vec<std::int32_t>({-1});
  EXPECT_THAT(elements<I>(run("Pow", {vec<I>({1, -1, 2}), negative})), ElementsAre(1, -1, 0));
  EXPECT_EQ(reason_of([&] { run("Pow", {vec<I>({0}), negative}); }), "op.value");
  EXPECT_THAT(elements<I>(run("Pow", {vec<I>({-1, 2, 1}), vec<std::uint64_t>({UINT64_MAX})})), ElementsAre(-1, 0, 1));
  // 3 is invertible modulo 2^64 with an order that divides 2^62, so 3^(2^64 - 1) is 3's inverse.
  EXPECT_THAT(elements<I>(run("Pow", {vec<I>({3}), vec<std::uint64_t>({UINT64_MAX})})),
              ElementsAre(static_cast<I>(0xaaaaaaaaaaaaaaab)));
  EXPECT_THAT(elements<std::int32_t>(run("Pow", {vec<std::int32_t>({10, -10}), vec<float>({20, 21})})),
              ElementsAre(INT32_MAX, INT32_MIN));
}

TEST(MinMax, PropagateNaN) {
  const Tensor a = vec<float>({1, kNaN, 2, -kInfinity});
  const Tensor b = vec<float>({2, 0, kNaN, 5});
  EXPECT_THAT(elements<float>(run("Max", {a, b})), ElementsAre(2, IsNan(), IsNan(), 5));
  EXPECT_THAT(elements<float>(run("Min", {a, b})), ElementsAre(1, IsNan(), IsNan(), -kInfinity));
}

TEST(MinMax, TakeAnyNumberOfInputsThatBroadcast) {
  const Tensor narrow = Tensor::of<std::int8_t>({2, 1}, {1, 5});
  const Tensor also_narrow = Tensor::of<std::int8_t>({2, 1}, {2, 3});
  const Tensor row = vec<std::int8_t>({-1, 4, 9});
  EXPECT_THAT(elements<std::int8_t>(run("Max", {narrow, also_narrow, row})), ElementsAre(2, 4, 9, 5, 5, 9));
  EXPECT_THAT(elements<std::int8_t>(run("Min", {row, narrow, also_narrow})), ElementsAre(-1, 1, 1, -1, 3, 3));
  const Tensor only = run("Max", {row});
  EXPECT_THAT(elements<std::int8_t>(only), ElementsAre(-1, 4, 9));
  EXPECT_NE(only.raw_data(), row.raw_data());
  EXPECT_EQ(reason_of([] { run("Max", {}); }), "op.input");
  EXPECT_EQ(reason_of([&] { run("Max", {row, row, vec<I>({1})}); }), "op.type");
}

TEST(SumMean, FoldFromTheLeft) {
  const Tensor a = vec<float>({1, 2, 3});
  const Tensor b = Tensor::of<float>({2, 1}, {10, 20});
  EXPECT_THAT(elements<float>(run("Sum", {a, b, a})), ElementsAre(12, 14, 16, 22, 24, 26));
  EXPECT_THAT(elements<float>(run("Mean", {a, b})), ElementsAre(5.5f, 6, 6.5f, 10.5f, 11, 11.5f));
  EXPECT_EQ(reason_of([] { run("Sum", {vec<I>({1})}); }), "op.type");
}

TEST(Sign, KeepsNaN) {
  EXPECT_THAT(elements<float>(run("Sign", {vec<float>({-2, -0.0f, 3, kNaN})})), ElementsAre(-1, 0, 1, IsNan()));
  EXPECT_THAT(elements<std::int16_t>(run("Sign", {vec<std::int16_t>({-2, 0, 3})})), ElementsAre(-1, 0, 1));
  EXPECT_THAT(elements<std::uint64_t>(run("Sign", {vec<std::uint64_t>({0, UINT64_MAX})})), ElementsAre(0, 1));
}

TEST(Round, TakesHalvesToEven) {
  EXPECT_THAT(elements<float>(run("Round", {vec<float>({0.9f, 2.5f, 2.3f, 1.5f, -4.5f, kInfinity})})),
              ElementsAre(1, 2, 2, 2, -4, kInfinity));
  EXPECT_THAT(elements<double>(run("Floor", {vec<double>({-1.5, 1.2})})), ElementsAre(-2, 1));
  EXPECT_THAT(elements<double>(run("Ceil", {vec<double>({-1.5, 1.2})})), ElementsAre(-1, 2));
}

TEST(FloatFunctions, MatchTheStandardLibrary) {
  struct Row {
    const char* name;
    double (*function)(double);
  };
  const Row rows[] = {
      {"Sqrt", std::sqrt},
      {"Exp", std::exp},
      {"Log", std::log},
      {"Erf", std::erf},
      {"Sin", std::sin},
      {"Cos", std::cos},
      {"Tan", std::tan},
      {"Asin", std::asin},
      {"Acos", std::acos},
      {"Atan", std::atan},
      {"Sinh", std::sinh},
      {"Cosh", std::cosh},
      {"Tanh", std::tanh},
      {"Asinh", std::asinh},
      {"Acosh", std::acosh},
      {"Atanh", std::atanh},
      {"Reciprocal", [](double x) { return 1 / x; }},
  };
  for (const Row& row : rows) {
    for (const double x : {0.25, 0.75, 1.5}) {
      const double exact = row.function(x);
      const float single = elements<float>(run(row.name, {vec<float>({static_cast<float>(x)})}))[0];
      const double twice = elements<double>(run(row.name, {vec<double>({x})}))[0];
      if (std::isnan(exact)) {
        EXPECT_TRUE(std::isnan(single) && std::isnan(twice)) << row.name << " " << x;
      } else {
        EXPECT_FLOAT_EQ(single, static_cast<float>(exact)) << row.name << " " << x;
        EXPECT_DOUBLE_EQ(twice, exact) << row.name << " " << x;
      }
    }
  }
  EXPECT_THAT(elements<float>(run("Sqrt", {vec<float>({-1, 0, kInfinity})})), ElementsAre(IsNan(), 0, kInfinity));
}

TEST(Arithmetic, IsTheSameOnAnyNumberOfThreads) {
  const Tensor large = ramp({13, 7, 31, 37}, 0.37f);
  const Tensor channels = ramp({7, 1, 1}, -1.3f);
  const Tensor row = ramp({37}, 2.1f);
  for (const char* name : {"Add", "Mul", "Pow", "Max", "Mod"}) {
    for (const Tensor& other : {channels, row, large}) {
      const Tensor one = run(name, {large, other}, {}, 1);
      const Tensor four = run(name, {large, other}, {}, 4);
      EXPECT_EQ(std::memcmp(one.raw_data(), four.raw_data(), one.byte_count()), 0) << name;
    }
  }
  const Tensor one = run("Mean", {row, channels, large}, {}, 1);
  const Tensor four = run("Mean", {row, channels, large}, {}, 4);
  EXPECT_EQ(std::memcmp(one.raw_data(), four.raw_data(), one.byte_count()), 0);
  // An error on a helping thread arrives.
  Tensor zeros = Tensor::allocate(ElementType::kInt64, {50000});
  std::ranges::fill(zeros.values<I>(), I{0});
  EXPECT_EQ(reason_of([&] { run("Pow", {zeros, vec<I>({-1})}, {}, 4); }), "op.value");
}

}  // namespace
}  // namespace lanner::kernels::testing
