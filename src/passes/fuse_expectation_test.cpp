#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

constexpr double kRounding = 1e-6;

Tensor steps(const Shape& shape) {
  Tensor tensor = Tensor::allocate(ElementType::kFloat32, shape);
  float next = 0;
  for (float& x : tensor.values<float>()) x = next++;
  return tensor;
}

// Softmax along an axis of [1,5,4,6] and a convolution to one channel.
struct ConvPattern : Builder {
  ValueId softmax;
  ValueId conv;

  explicit ConvPattern(const Shape& weights, tensor::Attributes settings = {}, I axis = 1)
      : softmax(node("Softmax", {input("x", "float32[1,5,4,6]")}, attributes({{"axis", axis}}), "float32[1,5,4,6]")),
        conv(node("Conv", {softmax, constant(steps(weights))}, std::move(settings))) {
    output(conv);
  }
  Inputs inputs() const { return {numbers({1, 5, 4, 6})}; }
};

TEST(FuseExpectation, ConvolutionToOneChannel) {
  ConvPattern p({1, 5, 1, 1}, attributes({{"kernel_shape", std::vector<I>{1, 1}}, {"strides", std::vector<I>{1, 1}}}));
  expect_rewrites(p.graph, kFuseExpectation, "Expectation", p.inputs(), kRounding);
  EXPECT_EQ(find_node(p.graph, "Expectation").stands_for, (std::vector<std::string>{"Softmax", "Conv"}));
}

TEST(FuseExpectation, ProductWithAColumn) {
  Builder b;
  const ValueId softmax = b.node("Softmax", {b.input("x", "float32[3,4,5]")}, {}, "float32[3,4,5]");
  b.output(b.node("MatMul", {softmax, b.constant(steps({5, 1}))}));
  expect_rewrites(b.graph, kFuseExpectation, "Expectation", {numbers({3, 4, 5})}, kRounding);
}

TEST(FuseExpectation, DeclinesOtherConvolutions) {
  ConvPattern axis({1, 5, 1, 1}, {}, -1);
  expect_declines(axis.graph, kFuseExpectation, "another axis");
  ConvPattern two({2, 5, 1, 1});
  expect_declines(two.graph, kFuseExpectation);
  ConvPattern window({1, 5, 3, 1});
  expect_declines(window.graph, kFuseExpectation);
  ConvPattern strided({1, 5, 1, 1}, attributes({{"strides", std::vector<I>{2, 1}}}));
  expect_declines(strided.graph, kFuseExpectation);
  ConvPattern padded({1, 5, 1, 1}, attributes({{"pads", std::vector<I>{0, 0, 1, 0}}}));
  expect_declines(padded.graph, kFuseExpectation);
}

TEST(FuseExpectation, DeclinesABiasAndOtherUsers) {
  Builder bias;
  const ValueId softmax =
      bias.node("Softmax", {bias.input("x", "float32[1,5,4,6]")}, attributes({{"axis", I{1}}}), "float32[1,5,4,6]");
  bias.output(bias.node("Conv", {softmax, bias.constant(steps({1, 5, 1, 1})), bias.constant(floats({1}))}));
  expect_declines(bias.graph, kFuseExpectation);
  ConvPattern kept({1, 5, 1, 1});
  kept.output(kept.softmax);
  expect_declines(kept.graph, kFuseExpectation, "output");
}

TEST(FuseExpectation, DeclinesOtherProducts) {
  Builder vector;
  const ValueId softmax = vector.node("Softmax", {vector.input("x", "float32[4,5]")}, {}, "float32[4,5]");
  vector.output(vector.node("MatMul", {softmax, vector.constant(floats({1, 2, 3, 4, 5}))}));
  vector.output(vector.node("MatMul", {softmax, vector.constant(steps({5, 2}))}));
  expect_declines(vector.graph, kFuseExpectation);
  Builder wide;
  const ValueId wide_softmax = wide.node("Softmax", {wide.input("x", "float64[4,5]")}, {}, "float64[4,5]");
  wide.output(wide.node("MatMul", {wide_softmax, wide.constant(Tensor::of<double>({5, 1}, {1, 2, 3, 4, 5}))}));
  expect_declines(wide.graph, kFuseExpectation);
}

}  // namespace
}  // namespace lanner::passes::testing
