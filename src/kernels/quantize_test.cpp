#include <cmath>
#include <limits>

#include "kernels/kernel_testing.h"
#include "kernels/loops_testing.h"
#include "kernels/quantization_loops.h"
#include "tensor/elements.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::ElementsAre;
using ::testing::IsNan;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> floats(const Tensor& tensor) {
  return elements<float>(run("Cast", {tensor}, attributes({{"to", static_cast<I>(ElementType::kFloat32)}})));
}

Tensor as(ElementType type, const Tensor& tensor) {
  return run("Cast", {tensor}, attributes({{"to", static_cast<I>(type)}}));
}

tensor::Attributes to(ElementType type) {
  return attributes({{"output_dtype", static_cast<I>(type)}});
}

tensor::Attributes blocks(I axis, I size) {
  return attributes({{"axis", axis}, {"block_size", size}});
}

TEST(QuantizeLinear, RoundsToEvenBeforeTheZeroPointAndSaturates) {
  const Tensor x = vec<float>({0, 2, 3, 1000, -254, -1000, 5, 7});
  const Tensor scale = Tensor::scalar(2.0f);
  EXPECT_THAT(elements<std::uint8_t>(run("QuantizeLinear", {x, scale, Tensor::scalar(std::uint8_t{128})})),
              ElementsAre(128, 129, 130, 255, 1, 0, 130, 132));
  // Halves are rounded to even first: 2.5 and 3.5 become 2 and 4, whatever the zero point is.
  EXPECT_THAT(elements<std::int8_t>(run("QuantizeLinear", {x, scale, vec<std::int8_t>({1})})),
              ElementsAre(1, 2, 3, 127, -126, -128, 3, 5));
  EXPECT_THAT(elements<std::uint8_t>(run("QuantizeLinear", {x, scale})), ElementsAre(0, 1, 2, 255, 0, 0, 2, 4));
}

TEST(QuantizeLinear, BoundsEveryIntegerType) {
  const Tensor x = vec<float>({-1e9f, -1, 0, 1, 1e9f, kInfinity, -kInfinity, NAN});
  const auto quantized = [&](ElementType type) {
    return floats(run("QuantizeLinear", {x, Tensor::scalar(1.0f)}, to(type)));
  };
  EXPECT_THAT(quantized(ElementType::kInt16), ElementsAre(-32768, -1, 0, 1, 32767, 32767, -32768, -32768));
  EXPECT_THAT(quantized(ElementType::kUint16), ElementsAre(0, 0, 0, 1, 65535, 65535, 0, 0));
  EXPECT_THAT(quantized(ElementType::kInt4), ElementsAre(-8, -1, 0, 1, 7, 7, -8, -8));
  EXPECT_THAT(quantized(ElementType::kUint4), ElementsAre(0, 0, 0, 1, 15, 15, 0, 0));
  EXPECT_THAT(quantized(ElementType::kInt2), ElementsAre(-2, -1, 0, 1, 1, 1, -2, -2));
  EXPECT_THAT(quantized(ElementType::kUint2), ElementsAre(0, 0, 0, 1, 3, 3, 0, 0));
  // A division by a scale of 0.
  EXPECT_THAT(elements<std::uint8_t>(run("QuantizeLinear", {x, Tensor::scalar(0.0f)})),
              ElementsAre(0, 0, 0, 255, 255, 255, 0, 0));
}

TEST(QuantizeLinear, RoundsToSmallFloats) {
  const Tensor x = vec<float>({0, 1, 2, 100000, 200, kInfinity});
  const Tensor scale = Tensor::scalar(2.0f);
  EXPECT_THAT(floats(run("QuantizeLinear", {x, scale}, to(ElementType::kFloat8E4M3FN))),
              ElementsAre(0, 0.5f, 1, 448, 96, 448));
  EXPECT_THAT(floats(run("QuantizeLinear", {x, scale}, to(ElementType::kFloat8E5M2))),
              ElementsAre(0, 0.5f, 1, 49152, 96, 57344));
  const auto loose = attributes({{"output_dtype", static_cast<I>(ElementType::kFloat8E4M3FN)}, {"saturate", I{0}}});
  EXPECT_THAT(floats(run("QuantizeLinear", {x, scale}, loose)), ElementsAre(0, 0.5f, 1, IsNan(), 96, IsNan()));
  EXPECT_THAT(floats(run("QuantizeLinear", {x, scale}, to(ElementType::kFloat4E2M1))),
              ElementsAre(0, 0.5f, 1, 6, 6, 6));
}

TEST(QuantizeLinear, TakesTheScaleOfItsAxisOrBlock) {
  const Tensor x = Tensor::of<float>({2, 2, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  const auto quantized = [&](const Tensor& scale, const tensor::Attributes& attributes) {
    return floats(run("QuantizeLinear", {x, scale}, attributes));
  };
  EXPECT_THAT(quantized(vec<float>({1, 0.5f}), {}), ElementsAre(1, 2, 3, 8, 10, 12, 7, 8, 9, 20, 22, 24));
  EXPECT_THAT(quantized(vec<float>({1, 0.5f, 0.25f}), attributes({{"axis", I{-1}}})),
              ElementsAre(1, 4, 12, 4, 10, 24, 7, 16, 36, 10, 22, 48));
  EXPECT_THAT(quantized(vec<float>({1, 0.5f}), attributes({{"axis", I{0}}})),
              ElementsAre(1, 2, 3, 4, 5, 6, 14, 16, 18, 20, 22, 24));
  EXPECT_THAT(quantized(Tensor::of<float>({2, 1, 3}, {1, 0.5f, 0.25f, 0.5f, 1, 1}), blocks(1, 2)),
              ElementsAre(1, 4, 12, 4, 10, 24, 14, 8, 9, 20, 11, 12));
  // The second block of the last axis has one element.
  EXPECT_THAT(quantized(Tensor::of<float>({2, 2, 2}, {1, 0.5f, 0.5f, 1, 1, 1, 0.5f, 0.25f}), blocks(2, 2)),
              ElementsAre(1, 2, 6, 8, 10, 6, 7, 8, 9, 20, 22, 48));
  EXPECT_THAT(quantized(Tensor::of<float>({2, 2, 1}, {1, 0.5f, 0.25f, 1}), blocks(-1, INT64_MAX)),
              ElementsAre(1, 2, 3, 8, 10, 12, 28, 32, 36, 10, 11, 12));
}

TEST(QuantizeLinear, DividesInTheWantedPrecision) {
  const Tensor x = vec<float>({1000.4f});
  // In float16 the number is 1000.
  const Tensor half = as(ElementType::kFloat16, vec<float>({0.25f}));
  EXPECT_THAT(floats(run("QuantizeLinear", {vec<float>({1000.2f}), half}, to(ElementType::kInt16))), ElementsAre(4000));
  EXPECT_THAT(floats(run("QuantizeLinear", {vec<float>({1000.2f}), vec<float>({0.25f})}, to(ElementType::kInt16))),
              ElementsAre(4001));
  EXPECT_THAT(floats(run("QuantizeLinear", {vec<float>({1000.4f}), vec<float>({0.3f})}, to(ElementType::kInt16))),
              ElementsAre(3335));
  auto coarse = attributes(
      {{"output_dtype", static_cast<I>(ElementType::kInt16)}, {"precision", static_cast<I>(ElementType::kBfloat16)}});
  // In bfloat16 it is 1000 / 0.30078125 = 3328 (steps of 16).
  EXPECT_THAT(floats(run("QuantizeLinear", {x, vec<float>({0.3f})}, coarse)), ElementsAre(3328));
  // Large int32 numbers divided by one are not rounded to float32 in between.
  EXPECT_THAT(
      elements<std::int16_t>(run("QuantizeLinear", {vec<std::int32_t>({1 << 25 | 1}), vec<std::int32_t>({1024})},
                                 to(ElementType::kInt16))),
      ElementsAre(32767));
  const Tensor power = as(ElementType::kFloat8E8M0, vec<float>({4}));
  EXPECT_THAT(floats(run("QuantizeLinear", {x, power}, to(ElementType::kInt16))), ElementsAre(250));
}

TEST(DequantizeLinear, IsTheInverse) {
  const Tensor scale = Tensor::scalar(2.0f);
  EXPECT_THAT(elements<float>(run("DequantizeLinear",
                                  {vec<std::uint8_t>({0, 3, 128, 255}), scale, Tensor::scalar(std::uint8_t{128})})),
              ElementsAre(-256, -250, 0, 254));
  EXPECT_THAT(elements<float>(run("DequantizeLinear", {vec<std::int32_t>({-5, INT32_MAX}), scale})),
              ElementsAre(-10, 4294967296.0f));
  const Tensor small = as(ElementType::kInt4, vec<float>({0, 1, 7, -4, -8}));
  EXPECT_THAT(elements<float>(run("DequantizeLinear", {small, scale, as(ElementType::kInt4, vec<float>({1}))})),
              ElementsAre(-2, 0, 12, -10, -18));
  const Tensor tiny = as(ElementType::kFloat8E5M2, vec<float>({0.5f, -49152, NAN}));
  EXPECT_THAT(elements<float>(run("DequantizeLinear", {tiny, scale})), ElementsAre(1, -98304, IsNan()));
}

TEST(DequantizeLinear, GivesTheWantedType) {
  const Tensor x = vec<std::int8_t>({-3, 5});
  const Tensor half = as(ElementType::kFloat16, vec<float>({0.1f}));
  const Tensor y = run("DequantizeLinear", {x, half});
  EXPECT_EQ(y.element_type(), ElementType::kFloat16);
  EXPECT_THAT(floats(y), ElementsAre(-0.29980469f, 0.5f));
  EXPECT_EQ(run("DequantizeLinear", {x, half}, to(ElementType::kFloat32)).element_type(), ElementType::kFloat32);
  const Tensor power = as(ElementType::kFloat8E8M0, vec<float>({4}));
  EXPECT_THAT(floats(run("DequantizeLinear", {x, power}, to(ElementType::kBfloat16))), ElementsAre(-12, 20));
  EXPECT_EQ(reason_of([&] { run("DequantizeLinear", {x, power}); }), "op.type");
}

TEST(DequantizeLinear, TakesTheScaleOfItsAxisOrBlock) {
  const Tensor x = Tensor::of<std::uint8_t>({2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_THAT(elements<float>(run("DequantizeLinear", {x, vec<float>({1, 2, 3}), vec<std::uint8_t>({0, 1, 2})})),
              ElementsAre(1, 2, 3, 4, 8, 12));
  EXPECT_THAT(
      elements<float>(run("DequantizeLinear",
                          {x, Tensor::of<float>({2, 2}, {1, 2, 3, 4}), Tensor::of<std::uint8_t>({2, 2}, {1, 0, 0, 1})},
                          blocks(1, 2))),
      ElementsAre(0, 1, 6, 12, 15, 20));
}

TEST(QuantizeLinear, TakesEmptyTensorsAndManyThreads) {
  EXPECT_EQ(run("QuantizeLinear", {Tensor::allocate(ElementType::kFloat32, {0, 4}), Tensor::scalar(1.0f)}).shape(),
            Shape({0, 4}));
  EXPECT_EQ(run("DequantizeLinear",
                {Tensor::allocate(ElementType::kInt8, {3, 0}), Tensor::allocate(ElementType::kFloat32, {0})})
                .shape(),
            Shape({3, 0}));
  const Tensor x = noise({7, 90, 101});
  Tensor scales = noise({90});
  for (float& scale : scales.values<float>()) scale = std::fabs(scale) / 10 + 0.1f;
  const Tensor one = run("QuantizeLinear", {x, scales}, to(ElementType::kInt8));
  EXPECT_EQ(elements<std::int8_t>(one),
            elements<std::int8_t>(run("QuantizeLinear", {x, scales}, to(ElementType::kInt8), 4)));
  for (I i = 0; i < x.element_count(); ++i) {
    const float expected = std::nearbyint(x.data<float>()[i] / scales.data<float>()[i / 101 % 90]);
    ASSERT_EQ(one.data<std::int8_t>()[i], std::min(std::max(expected, -128.0f), 127.0f)) << i;
  }
}

TEST(QuantizeLinear, GivesTheSameOnEachInstructionSet) {
  Tensor x = noise({3, 5, 67});
  x.data<float>()[7] = NAN;
  x.data<float>()[8] = kInfinity;
  x.data<float>()[70] = -kInfinity;
  Tensor scales = noise({5});
  for (float& scale : scales.values<float>()) scale = std::fabs(scale) / 20 + 0.01f;
  for (const ElementType type : {ElementType::kInt8, ElementType::kUint8, ElementType::kInt16, ElementType::kUint16,
                                 ElementType::kInt4, ElementType::kUint4, ElementType::kInt2, ElementType::kUint2}) {
    const Tensor zeros = as(type, vec<float>({0, 1, 1, 0, 1}));
    std::vector<float> quantized;
    std::vector<float> numbers;
    for_each_instruction_set(quantization_loops_of_cpu(), [&] {
      const Tensor y = run("QuantizeLinear", {x, scales, zeros});
      const Tensor back = run("DequantizeLinear", {y, scales, zeros});
      if (quantized.empty()) {
        quantized = floats(y);
        numbers = elements<float>(back);
        for (std::size_t i = 0; i < numbers.size(); ++i) {
          const std::size_t channel = i / 67 % 5;
          ASSERT_EQ(numbers[i], (quantized[i] - floats(zeros)[channel]) * scales.data<float>()[channel]);
        }
      }
      ASSERT_EQ(floats(y), quantized);
      ASSERT_EQ(elements<float>(back), numbers);
    });
  }
}

TEST(DynamicQuantizeLinear, FollowsTheDocumentsExamples) {
  const auto quantized = [](const Tensor& x) { return run_operator("DynamicQuantizeLinear", {}, {{x}}, 3); };
  const auto first = quantized(vec<float>({0, 2, -3, -2.5f, 1.34f, 0.5f}));
  EXPECT_THAT(elements<std::uint8_t>(first[0].tensor()), ElementsAre(153, 255, 0, 26, 221, 179));
  EXPECT_FLOAT_EQ(*first[1].tensor().data<float>(), 0.0196078438f);
  EXPECT_EQ(*first[2].tensor().data<std::uint8_t>(), 153);
  const auto second = quantized(vec<float>({-1, -2.1f, -1.3f, -2.5f, -3.34f, -4}));
  EXPECT_THAT(elements<std::uint8_t>(second[0].tensor()), ElementsAre(191, 121, 172, 96, 42, 0));
  EXPECT_FLOAT_EQ(*second[1].tensor().data<float>(), 0.0156862754f);
  EXPECT_EQ(*second[2].tensor().data<std::uint8_t>(), 255);
}

TEST(DynamicQuantizeLinear, TakesZerosNothingAndManyThreads) {
  const auto zeros = run_operator("DynamicQuantizeLinear", {}, {{vec<float>({0, 0})}}, 3);
  EXPECT_THAT(elements<std::uint8_t>(zeros[0].tensor()), ElementsAre(0, 0));
  EXPECT_EQ(*zeros[1].tensor().data<float>(), 0);
  const auto none = run_operator("DynamicQuantizeLinear", {}, {{Tensor::allocate(ElementType::kFloat32, {0, 3})}}, 3);
  EXPECT_EQ(none[0].tensor().shape(), Shape({0, 3}));
  const Tensor x = noise({70, 1001});
  const auto one = run_operator("DynamicQuantizeLinear", {}, {{x}}, 3, 1);
  const auto many = run_operator("DynamicQuantizeLinear", {}, {{x}}, 3, 4);
  EXPECT_EQ(elements<std::uint8_t>(one[0].tensor()), elements<std::uint8_t>(many[0].tensor()));
  EXPECT_EQ(*one[1].tensor().data<float>(), *many[1].tensor().data<float>());
  for_each_instruction_set(quantization_loops_of_cpu(), [&] {
    EXPECT_EQ(elements<std::uint8_t>(run("DynamicQuantizeLinear", {x})), elements<std::uint8_t>(one[0].tensor()));
    EXPECT_EQ(elements<std::uint8_t>(run("DynamicQuantizeLinear", {vec<float>({1, NAN, 2})})),
              (std::vector<std::uint8_t>{0, 0, 0}));
  });
  EXPECT_EQ(reason_of([] { run("DynamicQuantizeLinear", {vec<double>({1})}); }), "op.type");
}

TEST(QuantizeLinear, RefusesNonsense) {
  const Tensor x = Tensor::of<float>({2, 2}, {1, 2, 3, 4});
  const Tensor one = Tensor::scalar(1.0f);
  const auto reason = [](std::vector<Tensor> inputs, const tensor::Attributes& attributes = {}) {
    return reason_of([&] { run("QuantizeLinear", inputs, attributes); });
  };
  EXPECT_EQ(reason({x, vec<float>({1, 2, 3})}), "op.shape");
  EXPECT_EQ(reason({x, vec<float>({1, 2}), vec<std::uint8_t>({1})}), "op.shape");
  EXPECT_EQ(reason({x, vec<float>({1, 2})}, attributes({{"axis", I{2}}})), "op.axis");
  EXPECT_EQ(reason({x, vec<float>({1, 2})}, blocks(1, 2)), "op.shape");
  EXPECT_EQ(reason({x, Tensor::of<float>({2, 2}, {1, 1, 1, 1})}, blocks(1, 2)), "op.shape");
  EXPECT_EQ(reason({x, one}, blocks(1, -1)), "op.attribute");
  EXPECT_EQ(reason({x, one}, to(ElementType::kFloat32)), "op.type");
  EXPECT_EQ(reason({x, one}, attributes({{"output_dtype", I{1000}}})), "op.attribute");
  EXPECT_EQ(reason({x, one}, attributes({{"precision", static_cast<I>(ElementType::kInt8)}})), "op.attribute");
  EXPECT_EQ(reason({x, one, Tensor::scalar(std::int8_t{0})}, to(ElementType::kUint8)), "op.type");
  EXPECT_EQ(reason({x, Tensor::scalar(std::string("1"))}), "op.type");
  EXPECT_EQ(reason_of([&] {
              run("DequantizeLinear", {vec<std::int8_t>({1}), one, Tensor::scalar(std::uint8_t{1})});
            }),
            "op.type");
}

}  // namespace
}  // namespace lanner::kernels::testing
