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

TEST(FuseConvActivation, EveryActivationToTheBit) {
  const auto fuses = [](std::string_view op, tensor::Attributes with = {}) {
    SCOPED_TRACE(op);
    Case test;
    test.output(test.act(op, {test.conv}, std::move(with)));
    expect_rewrites(test.graph, kFuseConvActivation, "FusedConv", test.inputs);
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
  fuses("HardSigmoid", attributes({{"alpha", 0.125f}, {"beta", 0.25f}}));
  fuses("Swish", attributes({{"alpha", 2.0f}}));
}

TEST(FuseConvActivation, ClipWithOneOrBothLimits) {
  Case both;
  both.output(
      both.act("Clip", {both.conv, both.constant(Tensor::scalar<float>(0)), both.constant(Tensor::scalar<float>(6))}));
  expect_rewrites(both.graph, kFuseConvActivation, "FusedConv", both.inputs);
  EXPECT_EQ(find_node(both.graph, "FusedConv").attributes.get_float("max", 0), 6);
  Case one;
  one.output(one.act("Clip", {one.conv, kNoValue, one.constant(Tensor::scalar<float>(1))}));
  expect_rewrites(one.graph, kFuseConvActivation, "FusedConv", one.inputs);
  EXPECT_FALSE(find_node(one.graph, "FusedConv").attributes.has("min"));
}

TEST(FuseConvActivation, GatesCountAsTheirActivation) {
  Case swish;
  swish.output(swish.act("Mul", {swish.act("Sigmoid", {swish.conv}), swish.conv}));
  expect_rewrites(swish.graph, kFuseConvActivation, "FusedConv", swish.inputs);
  Case hard;
  const ValueId gate = hard.act("HardSigmoid", {hard.conv}, attributes({{"alpha", 1.0f / 6}}));
  hard.output(hard.act("Mul", {hard.conv, gate}));
  expect_rewrites(hard.graph, kFuseConvActivation, "FusedConv", hard.inputs);
  EXPECT_EQ(find_node(hard.graph, "FusedConv").attributes.get_string("activation", ""), "HardSwish");
  Case other;
  const ValueId steep = other.act("HardSigmoid", {other.conv}, attributes({{"alpha", 0.5f}}));
  other.output(other.act("Mul", {other.conv, steep}));
  apply(other.graph, kFuseConvActivation);
  EXPECT_EQ(ops(other.graph), "Conv HardSigmoid Mul");
}

TEST(FuseConvActivation, AfterAResidual) {
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

TEST(FuseConvActivation, Declines) {
  Case user;
  user.output(user.act("Relu", {user.conv}));
  user.output(user.act("Exp", {user.conv}));
  expect_declines(user.graph, kFuseConvActivation, "has another user, Exp");
  Case limit;
  limit.output(limit.act("Clip", {limit.conv, limit.input("min", "float32[]")}));
  expect_declines(limit.graph, kFuseConvActivation, "limits are not constant");
  Case gate_read;
  const ValueId gate = gate_read.act("Sigmoid", {gate_read.conv});
  gate_read.output(gate_read.act("Mul", {gate_read.conv, gate}));
  gate_read.output(gate);
  apply(gate_read.graph, kFuseConvActivation);
  EXPECT_EQ(ops(gate_read.graph), "Conv Sigmoid Mul");
  Case second;
  second.output(second.act("Tanh", {second.act("Relu", {second.conv})}));
  apply(second.graph, kFuseConvActivation);
  EXPECT_EQ(ops(second.graph), "FusedConv Tanh");
  expect_declines(second.graph, kFuseConvActivation, "has an activation already");
}

}  // namespace
}  // namespace lanner::passes::testing
