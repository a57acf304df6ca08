#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::ElementsAre;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

Tensor cast(const Tensor& input, ElementType to) {
  return run("Cast", {input}, attributes({{"to", static_cast<I>(to)}}));
}

TEST(Cast, TruncatesAndSaturatesFloats) {
  const Tensor x = vec<float>({1.9f, -1.9f, 300, -300, kInfinity, -kInfinity, std::nanf("")});
  EXPECT_THAT(elements<std::int8_t>(cast(x, ElementType::kInt8)), ElementsAre(1, -1, 127, -128, 127, -128, 0));
  EXPECT_THAT(elements<std::uint8_t>(cast(x, ElementType::kUint8)), ElementsAre(1, 0, 255, 0, 255, 0, 0));
  EXPECT_THAT(elements<I>(cast(x, ElementType::kInt64)), ElementsAre(1, -1, 300, -300, INT64_MAX, INT64_MIN, 0));
  EXPECT_THAT(elements<std::uint64_t>(cast(x, ElementType::kUint64)), ElementsAre(1, 0, 300, 0, UINT64_MAX, 0, 0));
}

TEST(Cast, KeepsTheLargestFloatsInRange) {
  EXPECT_THAT(
      elements<std::int32_t>(cast(vec<float>({2147483520.0f, 2147483648.0f, -2147483648.0f}), ElementType::kInt32)),
      ElementsAre(2147483520, INT32_MAX, INT32_MIN));
  EXPECT_THAT(elements<std::int8_t>(cast(vec<double>({127.9, 128, -128.9, -129}), ElementType::kInt8)),
              ElementsAre(127, 127, -128, -128));
  EXPECT_THAT(elements<I>(cast(vec<double>({9223372036854774784.0, 9223372036854775808.0}), ElementType::kInt64)),
              ElementsAre(9223372036854774784, INT64_MAX));
}

TEST(Cast, WrapsIntegers) {
  EXPECT_THAT(elements<std::int8_t>(cast(vec<std::int16_t>({200, -200, 5}), ElementType::kInt8)),
              ElementsAre(-56, 56, 5));
  EXPECT_THAT(elements<std::uint32_t>(cast(vec<I>({-1, I{1} << 32}), ElementType::kUint32)),
              ElementsAre(UINT32_MAX, 0));
  EXPECT_THAT(elements<I>(cast(vec<std::uint64_t>({UINT64_MAX}), ElementType::kInt64)), ElementsAre(-1));
}

TEST(Cast, GoesToAndFromBooleans) {
  EXPECT_THAT(elements<bool>(cast(vec<float>({0, -0.0f, 0.5f, std::nanf("")}), ElementType::kBool)),
              ElementsAre(false, false, true, true));
  EXPECT_THAT(elements<bool>(cast(vec<I>({0, 256, -1}), ElementType::kBool)), ElementsAre(false, true, true));
  EXPECT_THAT(elements<float>(cast(vec<bool>({true, false}), ElementType::kFloat32)), ElementsAre(1, 0));
  Tensor odd = Tensor::allocate(ElementType::kBool, {1});
  std::memset(odd.raw_data(), 7, 1);
  EXPECT_THAT(elements<I>(cast(odd, ElementType::kInt64)), ElementsAre(1));
  EXPECT_THAT(elements<bool>(cast(odd, ElementType::kBool)), ElementsAre(true));
}

TEST(Cast, RoundsBetweenFloats) {
  EXPECT_THAT(elements<float>(cast(vec<double>({0.1, 1e300, -1e300}), ElementType::kFloat32)),
              ElementsAre(0.1f, kInfinity, -kInfinity));
  EXPECT_THAT(elements<double>(cast(vec<float>({0.1f}), ElementType::kFloat64)), ElementsAre(0.1f));
  EXPECT_THAT(elements<float>(cast(vec<I>({16777217}), ElementType::kFloat32)), ElementsAre(16777216));
}

TEST(Cast, KeepsShapesAndRefusesOtherTypes) {
  EXPECT_EQ(cast(Tensor::allocate(ElementType::kInt64, {0, 3}), ElementType::kFloat32).type_string(), "float32[0,3]");
  EXPECT_EQ(cast(Tensor::scalar<I>(1), ElementType::kInt32).shape(), Shape({}));
  EXPECT_EQ(reason_of([] { cast(vec<I>({1}), ElementType::kComplex64); }), "op.type");
  EXPECT_EQ(reason_of([] { run("Cast", {vec<I>({1})}); }), "op.attribute");
  EXPECT_EQ(reason_of([] { run("Cast", {vec<I>({1})}, attributes({{"to", I{-1}}})); }), "op.attribute");
  EXPECT_EQ(reason_of([] { run("Cast", {vec<I>({1})}, attributes({{"to", I{200}}})); }), "op.type");
}

TEST(CastLike, TakesTheOthersType) {
  const Tensor result = run("CastLike", {vec<float>({1.5f, -2.5f}), Tensor::allocate(ElementType::kInt32, {0})});
  EXPECT_THAT(elements<std::int32_t>(result), ElementsAre(1, -2));
  EXPECT_EQ(reason_of([] { run("CastLike", {vec<float>({1})}); }), "op.input");
}

TEST(Cast, IsTheSameOnAnyNumberOfThreads) {
  Tensor data = Tensor::allocate(ElementType::kFloat32, {100003});
  float index = -5000;
  for (float& value : data.values<float>()) value = index += 0.7f;
  const auto to = attributes({{"to", static_cast<I>(ElementType::kInt16)}});
  EXPECT_EQ(elements<std::int16_t>(run("Cast", {data}, to, 1)), elements<std::int16_t>(run("Cast", {data}, to, 4)));
}

TEST(BitCast, KeepsBits) {
  const auto cast = [](const Tensor& x, ElementType to) {
    return run("BitCast", {x}, attributes({{"to", static_cast<std::int64_t>(to)}}));
  };
  const Tensor x = Tensor::of<float>({1, 2}, {1, -0.0f});
  const Tensor bits = cast(x, ElementType::kUint32);
  EXPECT_THAT(elements<std::uint32_t>(bits), ::testing::ElementsAre(0x3f800000u, 0x80000000u));
  EXPECT_EQ(bits.shape(), x.shape());
  EXPECT_EQ(bits.raw_data(), x.raw_data());
  EXPECT_THAT(elements<std::uint8_t>(cast(vec<std::int8_t>({-1}), ElementType::kUint8)), ::testing::ElementsAre(255));
  EXPECT_THAT(elements<bool>(cast(vec<std::uint8_t>({0, 1, 2}), ElementType::kBool)),
              ::testing::ElementsAre(false, true, true));
  EXPECT_EQ(cast(Tensor::allocate(ElementType::kInt4, {2}), ElementType::kUint4).type_string(), "uint4[2]");
  EXPECT_EQ(reason_of([&] { cast(x, ElementType::kInt64); }), "op.type");
  EXPECT_EQ(reason_of([&] { cast(Tensor::allocate(ElementType::kInt4, {2}), ElementType::kInt8); }), "op.type");
  EXPECT_EQ(reason_of([&] { cast(Tensor::scalar(std::string("x")), ElementType::kInt64); }), "op.type");
  EXPECT_EQ(reason_of([&] { cast(x, ElementType::kString); }), "op.attribute");
  EXPECT_EQ(reason_of([&] { cast(x, static_cast<ElementType>(99)); }), "op.attribute");
}

}  // namespace
}  // namespace lanner::kernels::testing
