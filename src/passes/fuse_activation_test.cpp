#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

struct Case : Builder {
  ValueId x = input("x", "float32[1,3,5,5]");
  ValueId conv =
      node("Conv", {x, constant(numbers({4, 3, 3, 3}, 7)), constant(numbers({4}, 5))}, {}, "float32[1,4,3,3]");
  Inputs inputs{numbers({1, 3, 5, 5})};
  ValueId act(std::string_view op, std::vector<ValueId> operands, tensor::Attributes attributes = {}) {
    return node(op, std::move(operands), std::move(attributes), "float32[1,4,3,3]");
  }
};

TEST(FuseActivation, EveryActivationToTheBit) {
  const auto fuses = [](std::string_view op, tensor::Attributes with = {}) {
    SCOPED_TRACE(op);
    Case test;
    test.output(test.act(op, {test.conv}, std::move(with)));
    expect_rewrites(test.graph, kFuseActivation, "FusedConv", test.inputs);
    const Node& fused = find_node(test.graph, "FusedConv");
    EXPECT_EQ(fused.attributes.get_string("activation", ""), op);
    EXPECT_THAT(fused.stands_for, ::testing::ElementsAre("Conv", op));
  };
  fuses("Relu");
  fuses("Sigmoid");
  fuses("Tanh");
  fuses("HardSwish");
  fuses("LeakyRelu", attributes({{"alpha", 0.25f}}));
  fuses("Elu", attributes({{"alpha", 0.5f}}));
  fuses("Gelu");
  fuses("Gelu", attributes({{"approximate", std::string("tanh")}}));
  fuses("HardSigmoid", attributes({{"alpha", 0.125f}, {"beta", 0.25f}}));
  fuses("Swish", attributes({{"alpha", 2.0f}}));
}

TEST(FuseActivation, ClipWithOneOrBothLimits) {
  Case both;
  both.output(
      both.act("Clip", {both.conv, both.constant(Tensor::scalar<float>(0)), both.constant(Tensor::scalar<float>(6))}));
  expect_rewrites(both.graph, kFuseActivation, "FusedConv", both.inputs);
  EXPECT_EQ(find_node(both.graph, "FusedConv").attributes.get_float("max", 0), 6);
  Case one;
  one.output(one.act("Clip", {one.conv, kNoValue, one.constant(Tensor::scalar<float>(1))}));
  expect_rewrites(one.graph, kFuseActivation, "FusedConv", one.inputs);
  EXPECT_FALSE(find_node(one.graph, "FusedConv").attributes.has("min"));
}

TEST(FuseActivation, GatesCountAsTheirActivation) {
  Case swish;
  swish.output(swish.act("Mul", {swish.act("Sigmoid", {swish.conv}), swish.conv}));
  expect_rewrites(swish.graph, kFuseActivation, "FusedConv", swish.inputs);
  Case hard;
  const ValueId gate = hard.act("HardSigmoid", {hard.conv}, attributes({{"alpha", 1.0f / 6}}));
  hard.output(hard.act("Mul", {hard.conv, gate}));
  expect_rewrites(hard.graph, kFuseActivation, "FusedConv", hard.inputs);
  EXPECT_EQ(find_node(hard.graph, "FusedConv").attributes.get_string("activation", ""), "HardSwish");
  Case other;
  const ValueId steep = other.act("HardSigmoid", {other.conv}, attributes({{"alpha", 0.5f}}));
  other.output(other.act("Mul", {other.conv, steep}));
  apply(other.graph, kFuseActivation);
  EXPECT_EQ(ops(other.graph), "Conv HardSigmoid Mul");
}

TEST(FuseActivation, AfterAResidual) {
  Case test;
  const ValueId residual = test.input("residual", "float32[1,4,3,3]");
  test.inputs.push_back(numbers({1, 4, 3, 3}, 9));
  test.output(test.act("Relu", {test.act("Add", {test.conv, residual})}));
  const std::vector<Value> expected = run_graph(test.graph, test.inputs);
  run_pipeline(test.graph, {});
  EXPECT_EQ(ops(test.graph), "FusedConv");
  EXPECT_THAT(find_node(test.graph, "FusedConv").stands_for, ::testing::ElementsAre("Conv", "Add", "Relu"));
  expect_same(expected[0], run_graph(test.graph, test.inputs)[0]);
}

TEST(FuseActivation, OfAMatrixProduct) {
  const auto fuses = [](std::string_view product, tensor::Attributes product_with, std::string_view op,
                        tensor::Attributes with, bool bias) {
    SCOPED_TRACE(op);
    Builder test;
    const bool turned = product_with.get_int("transB", 0) != 0;
    std::vector<ValueId> inputs{test.input("x", "float32[6,4]"),
                                test.constant(numbers(turned ? Shape{5, 4} : Shape{4, 5}, 7))};
    if (bias) inputs.push_back(test.constant(numbers({5}, 3)));
    const ValueId y = test.node(product, inputs, std::move(product_with), "float32[6,5]");
    test.output(test.node(op, {y}, std::move(with), "float32[6,5]"));
    expect_rewrites(test.graph, kFuseActivation, "FusedMatMul", {numbers({6, 4})});
    EXPECT_THAT(find_node(test.graph, "FusedMatMul").stands_for, ::testing::ElementsAre(product, op));
  };
  const auto turned = attributes({{"transB", I{1}}, {"alpha", 1.0f}, {"beta", 1.0f}, {"transA", I{0}}});
  fuses("MatMul", {}, "Relu", {}, false);
  fuses("Gemm", turned, "Gelu", {}, true);
  fuses("Gemm", turned, "Gelu", attributes({{"approximate", std::string("tanh")}}), true);
  // Their names are Gemm's as well.
  fuses("Gemm", turned, "HardSigmoid", attributes({{"alpha", 0.125f}, {"beta", 0.25f}}), true);
  fuses("Gemm", {}, "LeakyRelu", attributes({{"alpha", 0.25f}}), false);
}

TEST(FuseActivation, MatrixProductsThatItDoesNotTake) {
  const auto declines = [](std::string_view product, tensor::Attributes with, ValueId (*right)(Builder&),
                           std::string_view left = "float32[5,5]", ValueId(*bias)(Builder&) = nullptr) {
    Builder test;
    std::vector<ValueId> inputs{test.input("x", left), right(test)};
    if (bias != nullptr) inputs.push_back(bias(test));
    test.output(test.node("Relu", {test.node(product, inputs, std::move(with), "float32[5,5]")}, {}, "float32[5,5]"));
    expect_declines(test.graph, kFuseActivation);
  };
  const auto constant = [](Builder& test) { return test.constant(numbers({5, 5})); };
  declines("MatMul", {}, [](Builder& test) { return test.input("w", "float32[5,5]"); });
  declines("MatMul", {}, [](Builder& test) { return test.constant(numbers({2, 5, 5})); });
  declines("MatMul", {}, [](Builder& test) { return test.constant(numbers({5})); });
  declines("MatMul", {}, [](Builder& test) { return test.constant(Tensor::allocate(ElementType::kInt64, {5, 5})); });
  declines("MatMul", {}, constant, "float32[5]");
  declines("MatMul", {}, constant, "unknown");
  declines("Gemm", attributes({{"alpha", 2.0f}}), constant);
  declines("Gemm", attributes({{"beta", 2.0f}}), constant);
  declines("Gemm", attributes({{"transA", I{1}}}), constant);
  declines("Gemm", {}, constant, "float32[5,5]", constant);
  declines("Gemm", {}, constant, "float32[5,5]", [](Builder& test) { return test.input("c", "float32[5]"); });
}

// fuse-class-activation may compute few of them.
TEST(FuseActivation, LeavesAHeadItsSigmoid) {
  Case test;
  const ValueId scores = test.act("Sigmoid", {test.conv});
  for (const ValueId made : test.add(make_node("ClassTopK", {scores}, {}, "lanner"), 3)) test.output(made);
  expect_declines(test.graph, kFuseActivation, "a head's scores");
}

TEST(FuseActivation, Declines) {
  Case user;
  user.output(user.act("Relu", {user.conv}));
  user.output(user.act("Exp", {user.conv}));
  expect_declines(user.graph, kFuseActivation, "has another user, Exp");
  Case limit;
  limit.output(limit.act("Clip", {limit.conv, limit.input("min", "float32[]")}));
  expect_declines(limit.graph, kFuseActivation, "limits are not constant");
  Case gate_read;
  const ValueId gate = gate_read.act("Sigmoid", {gate_read.conv});
  gate_read.output(gate_read.act("Mul", {gate_read.conv, gate}));
  gate_read.output(gate);
  apply(gate_read.graph, kFuseActivation);
  EXPECT_EQ(ops(gate_read.graph), "Conv Sigmoid Mul");
  Case second;
  second.output(second.act("Tanh", {second.act("Relu", {second.conv})}));
  apply(second.graph, kFuseActivation);
  EXPECT_EQ(ops(second.graph), "FusedConv Tanh");
  expect_declines(second.graph, kFuseActivation, "has an activation already");
}

}  // namespace
}  // namespace lanner::passes::testing
