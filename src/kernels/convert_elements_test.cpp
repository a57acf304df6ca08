#include <cmath>
#include <limits>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::ElementsAre;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

Tensor cast(const Tensor& input, ElementType to, std::vector<std::pair<std::string, tensor::Attribute>> more = {}) {
  more.emplace_back("to", static_cast<I>(to));
  return run("Cast", {input}, attributes(std::move(more)));
}

// As float32, through Cast.
std::vector<float> floats(const Tensor& tensor) {
  return elements<float>(cast(tensor, ElementType::kFloat32));
}

TEST(CastElements, RoundsToSixteenBits) {
  const Tensor x = vec<float>({1.0f / 3, 65520, -1e-8f, 1e38f});
  EXPECT_THAT(floats(cast(x, ElementType::kFloat16)), ElementsAre(0.33325195f, kInfinity, 0, kInfinity));
  EXPECT_THAT(
      floats(cast(x, ElementType::kBfloat16)),
      ElementsAre(0.33398438f, 65536, ::testing::FloatNear(-1e-8f, 4e-11f), ::testing::FloatNear(1e38f, 4e35f)));
  // From float64 once, not by way of float32.
  EXPECT_THAT(floats(cast(vec<double>({1 + 0x1p-11 + 0x1p-40}), ElementType::kFloat16)), ElementsAre(1 + 0x1p-10f));
  EXPECT_THAT(floats(cast(cast(x, ElementType::kFloat16), ElementType::kBfloat16)),
              ElementsAre(0.33398438f, kInfinity, 0, kInfinity));
}

TEST(CastElements, SaturatesEightBitsUnlessToldNotTo) {
  const Tensor x = vec<float>({1.0f / 3, 1e6f, -kInfinity});
  EXPECT_THAT(floats(cast(x, ElementType::kFloat8E4M3FN)), ElementsAre(0.34375f, 448, -448));
  EXPECT_THAT(floats(cast(x, ElementType::kFloat8E4M3FN, {{"saturate", I{0}}})),
              ElementsAre(0.34375f, ::testing::IsNan(), ::testing::IsNan()));
  EXPECT_THAT(floats(cast(x, ElementType::kFloat8E5M2, {{"saturate", I{0}}})),
              ElementsAre(0.3125f, kInfinity, -kInfinity));
  EXPECT_THAT(floats(cast(vec<I>({1000, -3}), ElementType::kFloat8E4M3FN)), ElementsAre(448, -3));
}

TEST(CastElements, RoundsPowersOfTwoAsTold) {
  const auto powers = [](const char* mode) {
    return floats(cast(vec<float>({1.25f, 3.5f}), ElementType::kFloat8E8M0, {{"round_mode", std::string(mode)}}));
  };
  EXPECT_THAT(powers("up"), ElementsAre(2, 4));
  EXPECT_THAT(powers("down"), ElementsAre(1, 2));
  EXPECT_THAT(powers("nearest"), ElementsAre(1, 4));
  EXPECT_EQ(reason_of([&] { powers("sideways"); }), "op.attribute");
}

TEST(CastElements, KeepsTheLowBitsOfSmallIntegers) {
  const Tensor x = vec<float>({-9, -1.5f, 7.9f, 8});
  EXPECT_THAT(floats(cast(x, ElementType::kInt4)), ElementsAre(7, -1, 7, -8));
  EXPECT_THAT(floats(cast(x, ElementType::kUint2)), ElementsAre(3, 3, 3, 0));
  EXPECT_THAT(elements<std::uint8_t>(cast(cast(vec<I>({-1, 5}), ElementType::kInt4), ElementType::kUint8)),
              ElementsAre(255, 5));
  EXPECT_THAT(elements<bool>(cast(cast(vec<I>({16, 5}), ElementType::kInt4), ElementType::kBool)),
              ElementsAre(false, true));
}

TEST(CastElements, ReadsAndWritesStrings) {
  const Tensor texts = vec<std::string>({"3.14", "1e-5", "+INF", "-inf", "nan", "100"});
  EXPECT_THAT(elements<float>(cast(texts, ElementType::kFloat32)),
              ElementsAre(3.14f, 1e-5f, kInfinity, -kInfinity, ::testing::IsNan(), 100));
  EXPECT_THAT(elements<I>(cast(vec<std::string>({"9007199254740993", "100.5", "-7"}), ElementType::kInt64)),
              ElementsAre(9007199254740993, 100, -7));
  EXPECT_THAT(elements<std::uint64_t>(cast(vec<std::string>({"18446744073709551615"}), ElementType::kUint64)),
              ElementsAre(UINT64_MAX));
  for (const char* text : {"", "Hello World!", "1 2", "0x"}) {
    EXPECT_EQ(reason_of([&] { cast(vec<std::string>({text}), ElementType::kFloat32); }), "op.value") << text;
  }
  EXPECT_THAT(elements<std::string>(cast(vec<float>({0.1f, -kInfinity, std::nanf(""), 3}), ElementType::kString)),
              ElementsAre("0.1", "-INF", "NaN", "3"));
  EXPECT_THAT(elements<std::string>(cast(vec<I>({-5}), ElementType::kString)), ElementsAre("-5"));
  EXPECT_THAT(elements<std::string>(cast(cast(vec<float>({0.1f}), ElementType::kFloat16), ElementType::kString)),
              ElementsAre("0.1"));
}

// All pairs of types: small whole numbers survive any way through three of them.
TEST(CastElements, TakesEveryPairOfTypes) {
  const Tensor ones = vec<float>({1, 1, 1});
  for (int from = 1; element_bits(static_cast<ElementType>(from)) != 0; ++from) {
    for (int to = 1; element_bits(static_cast<ElementType>(to)) != 0; ++to) {
      const auto a = static_cast<ElementType>(from);
      const auto b = static_cast<ElementType>(to);
      const auto is_complex = [](ElementType type) {
        return type == ElementType::kComplex64 || type == ElementType::kComplex128;
      };
      if (is_complex(a) || is_complex(b)) {
        const bool refused = is_complex(a) || reason_of([&] { cast(ones, b); }) == "op.type";
        EXPECT_TRUE(refused);
        continue;
      }
      const Tensor result = cast(cast(ones, a), b);
      EXPECT_EQ(result.element_type(), b);
      EXPECT_THAT(floats(result), ElementsAre(1, 1, 1)) << element_type_name(a) << " " << element_type_name(b);
    }
  }
}

TEST(CastElements, IsTheSameOnAnyNumberOfThreads) {
  const Tensor data = noise({100003});
  for (const ElementType type : {ElementType::kFloat16, ElementType::kFloat8E5M2, ElementType::kInt4}) {
    const auto how = attributes({{"to", static_cast<I>(type)}});
    EXPECT_TRUE(tensor::same_attribute(run("Cast", {data}, how, 1), run("Cast", {data}, how, 4)));
  }
}

TEST(HalfPrecision, ComputesInFloat32AndRoundsOnce) {
  const Tensor x = noise({1000});
  const Tensor y = noise({1000, 1});
  for (const ElementType type : {ElementType::kFloat16, ElementType::kBfloat16}) {
    const Tensor a = cast(x, type);
    const Tensor b = cast(y, type);
    for (const char* op : {"Add", "Mul", "Max", "Greater"}) {
      const Tensor wide = run(op, {cast(a, ElementType::kFloat32), cast(b, ElementType::kFloat32)});
      const Tensor wanted = wide.element_type() == ElementType::kBool ? wide : cast(wide, type);
      EXPECT_TRUE(tensor::same_attribute(run(op, {a, b}), wanted)) << op;
    }
  }
  EXPECT_EQ(reason_of([&] { run("Add", {cast(x, ElementType::kFloat16), vec<I>({1})}); }), "op.type");
}

TEST(HalfPrecision, KeepsStatisticsInFloat32) {
  const Tensor x = cast(noise({4, 8}), ElementType::kFloat16);
  const Tensor scale = cast(noise({8}), ElementType::kFloat16);
  const std::vector<Tensor> inputs{x, scale};
  const std::vector<Value> outputs = run_operator("LayerNormalization", {}, inputs, 3);
  EXPECT_EQ(outputs[0].tensor().element_type(), ElementType::kFloat16);
  EXPECT_EQ(outputs[1].tensor().element_type(), ElementType::kFloat32);
  EXPECT_EQ(outputs[2].tensor().element_type(), ElementType::kFloat32);
}

TEST(HalfPrecision, LeavesIndicesAlone) {
  const Tensor x = cast(vec<float>({1, 3, 2}), ElementType::kBfloat16);
  const std::vector<Tensor> inputs{x, vec<I>({2})};
  const std::vector<Value> outputs = run_operator("TopK", {}, inputs, 2);
  EXPECT_THAT(floats(outputs[0].tensor()), ElementsAre(3, 2));
  EXPECT_THAT(elements<I>(outputs[1].tensor()), ElementsAre(1, 2));
}

}  // namespace
}  // namespace lanner::kernels::testing
