#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::ElementsAre;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
const float kNaN = std::nanf("");

TEST(Comparisons, AreFalseForNaN) {
  const Tensor a = vec<float>({1, 2, 3, kNaN});
  const Tensor b = vec<float>({2, 2, 2, kNaN});
  EXPECT_THAT(elements<bool>(run("Greater", {a, b})), ElementsAre(false, false, true, false));
  EXPECT_THAT(elements<bool>(run("GreaterOrEqual", {a, b})), ElementsAre(false, true, true, false));
  EXPECT_THAT(elements<bool>(run("Less", {a, b})), ElementsAre(true, false, false, false));
  EXPECT_THAT(elements<bool>(run("LessOrEqual", {a, b})), ElementsAre(true, true, false, false));
  EXPECT_THAT(elements<bool>(run("Equal", {a, b})), ElementsAre(false, true, false, false));
}

TEST(Comparisons, KnowSignedFromUnsigned) {
  EXPECT_THAT(elements<bool>(run("Less", {vec<std::int8_t>({-1, 1}), vec<std::int8_t>({0})})),
              ElementsAre(true, false));
  EXPECT_THAT(elements<bool>(run("Less", {vec<std::uint8_t>({255, 0}), vec<std::uint8_t>({1})})),
              ElementsAre(false, true));
  EXPECT_THAT(elements<bool>(run("LessOrEqual", {vec<I>({INT64_MIN}), vec<I>({INT64_MAX})})), ElementsAre(true));
}

TEST(Comparisons, Broadcast) {
  const Tensor column = Tensor::of<I>({2, 1}, {1, 2});
  const Tensor less = run("Less", {column, vec<I>({1, 2, 3})});
  EXPECT_EQ(less.shape(), Shape({2, 3}));
  EXPECT_THAT(elements<bool>(less), ElementsAre(false, true, true, false, false, true));
  EXPECT_EQ(run("Equal", {Tensor::allocate(ElementType::kInt64, {0}), vec<I>({1})}).shape(), Shape({0}));
}

TEST(Equal, TakesBooleansAndStrings) {
  EXPECT_THAT(elements<bool>(run("Equal", {vec<bool>({true, false}), vec<bool>({false})})), ElementsAre(false, true));
  EXPECT_THAT(elements<bool>(run("Equal", {vec<std::string>({"car", "cat"}), vec<std::string>({"cat"})})),
              ElementsAre(false, true));
  EXPECT_THAT(elements<bool>(run("Equal", {vec<std::string>({"", "a"}), vec<std::string>({"", "b"})})),
              ElementsAre(true, false));
}

TEST(Comparisons, RefuseOtherTypes) {
  EXPECT_EQ(reason_of([] { run("Less", {vec<bool>({true}), vec<bool>({true})}); }), "op.type");
  EXPECT_EQ(reason_of([] { run("Equal", {vec<float>({1}), vec<I>({1})}); }), "op.type");
  EXPECT_EQ(reason_of([] { run("And", {vec<I>({1}), vec<I>({1})}); }), "op.type");
  EXPECT_EQ(reason_of([] { run("Not", {vec<float>({1})}); }), "op.type");
  EXPECT_EQ(reason_of([] { run("BitwiseAnd", {vec<float>({1}), vec<float>({1})}); }), "op.type");
  EXPECT_EQ(reason_of([] { run("Greater", {vec<float>({1, 2}), vec<float>({1, 2, 3})}); }), "op.shape");
}

TEST(Logic, HasItsTruthTables) {
  const Tensor a = vec<bool>({false, false, true, true});
  const Tensor b = vec<bool>({false, true, false, true});
  EXPECT_THAT(elements<bool>(run("And", {a, b})), ElementsAre(false, false, false, true));
  EXPECT_THAT(elements<bool>(run("Or", {a, b})), ElementsAre(false, true, true, true));
  EXPECT_THAT(elements<bool>(run("Xor", {a, b})), ElementsAre(false, true, true, false));
  EXPECT_THAT(elements<bool>(run("Not", {a})), ElementsAre(true, true, false, false));
}

TEST(Logic, ReadsAnyNonzeroByteAsTrue) {
  Tensor odd = Tensor::allocate(ElementType::kBool, {1});
  std::memset(odd.raw_data(), 2, 1);
  const Tensor yes = vec<bool>({true});
  EXPECT_THAT(elements<bool>(run("And", {odd, yes})), ElementsAre(true));
  EXPECT_THAT(elements<bool>(run("Equal", {odd, yes})), ElementsAre(true));
  EXPECT_THAT(elements<bool>(run("Not", {odd})), ElementsAre(false));
  EXPECT_THAT(elements<I>(run("Where", {odd, vec<I>({1}), vec<I>({0})})), ElementsAre(1));
}

TEST(Where, BroadcastsThreeInputs) {
  const Tensor condition = Tensor::of<bool>({2, 1}, {true, false});
  EXPECT_THAT(elements<float>(run("Where", {condition, vec<float>({1, 2}), Tensor::scalar<float>(kNaN)})),
              ElementsAre(1, 2, ::testing::IsNan(), ::testing::IsNan()));
  EXPECT_THAT(elements<I>(run("Where", {vec<bool>({true, false}), vec<I>({7}), Tensor::of<I>({2, 2}, {1, 2, 3, 4})})),
              ElementsAre(7, 2, 7, 4));
}

TEST(Where, MovesStringsBooleansAndSmallTypes) {
  const Tensor condition = vec<bool>({true, false});
  EXPECT_THAT(elements<std::string>(run("Where", {condition, vec<std::string>({"a"}), vec<std::string>({"b", "c"})})),
              ElementsAre("a", "c"));
  EXPECT_THAT(elements<bool>(run("Where", {condition, vec<bool>({true}), vec<bool>({false})})),
              ElementsAre(true, false));
  const Tensor half = Tensor::allocate(ElementType::kFloat16, {0, 2});
  EXPECT_EQ(run("Where", {condition, half, half}).type_string(), "float16[0,2]");
  const Tensor complex = Tensor::allocate(ElementType::kComplex128, {2});
  EXPECT_EQ(run("Where", {condition, complex, complex}).type_string(), "complex128[2]");
  EXPECT_EQ(reason_of([&] { run("Where", {vec<I>({1}), half, half}); }), "op.type");
  EXPECT_EQ(reason_of([&] { run("Where", {condition, vec<I>({1}), vec<float>({1})}); }), "op.type");
}

TEST(FloatTests, FindNaNAndInfinities) {
  const Tensor x = vec<float>({1, kNaN, kInfinity, -kInfinity});
  EXPECT_THAT(elements<bool>(run("IsNaN", {x})), ElementsAre(false, true, false, false));
  EXPECT_THAT(elements<bool>(run("IsInf", {x})), ElementsAre(false, false, true, true));
  EXPECT_THAT(elements<bool>(run("IsInf", {x}, attributes({{"detect_negative", I{0}}}))),
              ElementsAre(false, false, true, false));
  EXPECT_THAT(elements<bool>(run("IsInf", {x}, attributes({{"detect_positive", I{0}}}))),
              ElementsAre(false, false, false, true));
}

TEST(FloatTests, TakeFloatsOf8Bits) {
  const Tensor wide = vec<float>({1, kNaN, kInfinity, -kInfinity});
  const auto cast = [&](ElementType type) {
    return run("Cast", {wide}, attributes({{"to", static_cast<I>(type)}, {"saturate", I{0}}}));
  };
  const Tensor with_infinities = cast(ElementType::kFloat8E5M2);
  EXPECT_THAT(elements<bool>(run("IsNaN", {with_infinities})), ElementsAre(false, true, false, false));
  EXPECT_THAT(elements<bool>(run("IsInf", {with_infinities})), ElementsAre(false, false, true, true));
  const Tensor without = cast(ElementType::kFloat8E4M3FN);
  EXPECT_THAT(elements<bool>(run("IsNaN", {without})), ElementsAre(false, true, true, true));
  EXPECT_THAT(elements<bool>(run("IsInf", {without})), ElementsAre(false, false, false, false));
}

TEST(Bitwise, WorksOnEveryWidth) {
  const Tensor a = vec<std::int16_t>({0x0ff0, -1});
  const Tensor b = vec<std::int16_t>({0x00ff, 5});
  EXPECT_THAT(elements<std::int16_t>(run("BitwiseAnd", {a, b})), ElementsAre(0x00f0, 5));
  EXPECT_THAT(elements<std::int16_t>(run("BitwiseOr", {a, b})), ElementsAre(0x0fff, -1));
  EXPECT_THAT(elements<std::int16_t>(run("BitwiseXor", {a, b})), ElementsAre(0x0f0f, -6));
  EXPECT_THAT(elements<std::uint8_t>(run("BitwiseNot", {vec<std::uint8_t>({0, 0x0f})})), ElementsAre(255, 0xf0));
  EXPECT_THAT(elements<I>(run("BitwiseNot", {vec<I>({0})})), ElementsAre(-1));
}

TEST(BitShift, IsDefinedForEveryAmount) {
  const auto left = attributes({{"direction", std::string("LEFT")}});
  const auto right = attributes({{"direction", std::string("RIGHT")}});
  EXPECT_THAT(
      elements<std::uint8_t>(run("BitShift", {vec<std::uint8_t>({16, 4, 1}), vec<std::uint8_t>({1, 2, 8})}, right)),
      ElementsAre(8, 1, 0));
  EXPECT_THAT(elements<std::uint8_t>(run("BitShift", {vec<std::uint8_t>({129, 1}), vec<std::uint8_t>({1, 200})}, left)),
              ElementsAre(2, 0));
  EXPECT_THAT(elements<I>(run("BitShift", {vec<I>({-8, -8, -8, 8, 8}), vec<I>({1, 64, -1, -1, 3})}, right)),
              ElementsAre(-4, -1, -1, 0, 1));
  EXPECT_THAT(elements<I>(run("BitShift", {vec<I>({-1, 1, 1, 1}), vec<I>({63, 63, 64, -1})}, left)),
              ElementsAre(INT64_MIN, INT64_MIN, 0, 0));
  EXPECT_EQ(reason_of([] { run("BitShift", {vec<I>({1}), vec<I>({1})}); }), "op.attribute");
}

TEST(Where, IsTheSameOnAnyNumberOfThreads) {
  Tensor condition = Tensor::allocate(ElementType::kBool, {300, 1});
  int index = 0;
  for (bool& value : condition.values<bool>()) value = index++ % 3 == 0;
  Tensor data = Tensor::allocate(ElementType::kFloat32, {300, 301});
  for (float& value : data.values<float>()) value = static_cast<float>(index++);
  const Tensor zero = Tensor::scalar<float>(0);
  const Tensor one = run("Where", {condition, data, zero}, {}, 1);
  const Tensor four = run("Where", {condition, data, zero}, {}, 4);
  EXPECT_EQ(elements<float>(one), elements<float>(four));
  EXPECT_EQ(elements<float>(one)[301], 0);
  EXPECT_EQ(elements<float>(one)[3 * 301], data.data<float>()[3 * 301]);
}

}  // namespace
}  // namespace lanner::kernels::testing
