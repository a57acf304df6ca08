#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

template <typename T>
Tensor bytes(const Shape& shape, unsigned seed = 1) {
  Tensor tensor = Tensor::allocate(element_type_of<T>(), shape);
  for (T& element : tensor.values<T>()) {
    seed = seed * 1664525u + 1013904223u;
    element = static_cast<T>(seed >> 24);
  }
  return tensor;
}

// Scales are powers of two, with which float32 is exact, too.
struct Case : Builder {
  ValueId x = input("x", "uint8[2,4,5,6]");
  Inputs inputs{bytes<std::uint8_t>({2, 4, 5, 6})};

  ValueId scalar(float value) { return constant(Tensor::scalar(value)); }
  ValueId byte(int value) { return constant(Tensor::scalar(static_cast<std::uint8_t>(value))); }
  ValueId dequantized(std::vector<ValueId> operands, tensor::Attributes attributes = {}) {
    return node("DequantizeLinear", std::move(operands), std::move(attributes), "float32[?,?,?,?]");
  }
  ValueId data() { return dequantized({x, scalar(0.5f), byte(100)}); }
  ValueId weights(const tensor::Attributes& attributes) {
    return dequantized({constant(bytes<std::int8_t>({3, 4, 2, 2})), constant(floats({0.25f, 0.5f, 1}))}, attributes);
  }
  ValueId weights() { return weights(attributes({{"axis", I{0}}})); }
  ValueId bias(std::vector<float> scales) {
    return dequantized(
        {constant(Tensor::of<std::int32_t>({3}, {5, -7, 900})), constant(Tensor::of<float>({3}, scales))},
        attributes({{"axis", I{0}}}));
  }
  ValueId conv(std::vector<ValueId> operands) { return node("Conv", std::move(operands), {}, "float32[2,3,4,5]"); }
  ValueId quantized(ValueId value, int zero_point = 0) {
    return node("QuantizeLinear", {value, scalar(64), byte(zero_point)}, {}, "uint8[2,?,?,?]");
  }
};

TEST(FuseQuantized, MakesAConvOneOnElements) {
  Case test;
  test.output(test.quantized(test.conv({test.data(), test.weights(), test.bias({0.125f, 0.25f, 0.5f})}), 120));
  expect_rewrites(test.graph, kFuseQuantized, "QLinearConv", test.inputs);
}

TEST(FuseQuantized, TakesOneScaleNoZeroPointsAndARelu) {
  Case test;
  const ValueId weights = test.dequantized({test.constant(bytes<std::int8_t>({3, 4, 2, 2})), test.scalar(0.25f)});
  const ValueId sums = test.conv({test.dequantized({test.x, test.scalar(0.5f)}), weights});
  test.output(test.node("QuantizeLinear", {test.node("Relu", {sums}, {}, "float32[2,3,4,5]"), test.scalar(64)}, {},
                        "uint8[2,3,4,5]"));
  expect_rewrites(test.graph, kFuseQuantized, "QLinearConv", test.inputs);
}

TEST(FuseQuantized, MakesAMatMulOneOnElements) {
  Case test;
  const ValueId matrix = test.dequantized(
      {test.constant(bytes<std::int8_t>({6, 2})), test.constant(floats({0.25f, 0.5f}))}, attributes({{"axis", I{1}}}));
  test.output(test.quantized(test.node("MatMul", {test.data(), matrix}, {}, "float32[2,4,5,2]"), 90));
  expect_rewrites(test.graph, kFuseQuantized, "QLinearMatMul", test.inputs);
}

TEST(FuseQuantized, MakesAnAddOneOnElements) {
  for (const bool repeats : {false, true}) {
    Case test;
    const ValueId other = test.dequantized(
        {test.constant(bytes<std::int8_t>(repeats ? Shape{4, 1, 1} : Shape{2, 4, 5, 6}, 9)), test.scalar(0.3f)});
    const ValueId sum =
        test.node("Add", {test.dequantized({test.x, test.scalar(0.7f), test.byte(3)}), other}, {}, "float32[2,4,5,6]");
    test.output(test.node("QuantizeLinear", {sum, test.scalar(0.9f), test.byte(17)}, {}, "uint8[2,4,5,6]"));
    expect_rewrites(test.graph, kFuseQuantized, "QuantizedAdd", test.inputs);
  }
}

TEST(FuseQuantized, Declines) {
  const auto declines = [](std::string_view reason, auto make) {
    Case test;
    make(test);
    expect_declines(test.graph, kFuseQuantized, reason);
  };
  const std::vector<float> scales{0.125f, 0.25f, 0.5f};
  declines("int32 of the products' scale", [&](Case& c) {
    c.output(c.quantized(c.conv({c.data(), c.weights(), c.bias({0.125f, 0.25f, 0.4f})})));
  });
  declines("int32 of the products' scale", [&](Case& c) {
    c.output(c.quantized(c.conv({c.data(), c.weights(), c.constant(floats({1, 2, 3}))})));
  });
  declines("those of output channels", [&](Case& c) {
    const ValueId scales_of_inputs = c.constant(floats({1, 2, 3, 4}));
    const ValueId weights = c.dequantized({c.constant(bytes<std::int8_t>({3, 4, 2, 2})), scales_of_inputs});
    c.output(c.quantized(c.conv({c.data(), weights})));
  });
  declines("has another user", [&](Case& c) {
    const ValueId sums = c.conv({c.data(), c.weights(), c.bias(scales)});
    c.output(c.quantized(sums));
    c.output(c.node("Neg", {sums}));
  });
  declines("the Relu bounds", [&](Case& c) {
    c.output(c.quantized(c.node("Relu", {c.conv({c.data(), c.weights()})}, {}, "float32[2,3,4,5]"), 7));
  });
  declines("several scales", [&](Case& c) {
    const ValueId data = c.dequantized({c.x, c.constant(floats({1, 2, 3, 4}))});
    c.output(c.quantized(c.conv({data, c.weights()})));
  });
  declines("", [&](Case& c) { c.output(c.quantized(c.conv({c.data(), c.constant(numbers({3, 4, 2, 2}))}))); });
}

}  // namespace
}  // namespace lanner::passes::testing
