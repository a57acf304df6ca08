#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

struct Case : Builder {
  ValueId x = input("x", "float32[1,3,5,5]");
  ValueId residual = input("residual", "float32[1,3,5,5]");
  ValueId conv(ValueId of, unsigned seed = 7) {
    return node("Conv", {of, constant(numbers({3, 3, 3, 3}, seed))}, attributes({{"pads", std::vector<I>{1, 1, 1, 1}}}),
                "float32[1,3,5,5]");
  }
  Inputs inputs{numbers({1, 3, 5, 5}), numbers({1, 3, 5, 5}, 9)};
};

TEST(FuseConvResidual, ToTheBit) {
  Case test;
  test.output(test.node("Add", {test.residual, test.conv(test.x)}, {}, "float32[1,3,5,5]"));
  expect_rewrites(test.graph, kFuseConvResidual, "FusedConv", test.inputs);
  const Node& fused = find_node(test.graph, "FusedConv");
  EXPECT_EQ(fused.domain, "lanner");
  EXPECT_EQ(fused.inputs[2], kNoValue);
  EXPECT_THAT(fused.stands_for, ::testing::ElementsAre("Conv", "Add"));
}

TEST(FuseConvResidual, OfTwoConvsTheFirst) {
  Case test;
  test.output(test.node("Add", {test.conv(test.x), test.conv(test.residual, 8)}, {}, "float32[1,3,5,5]"));
  expect_rewrites(test.graph, kFuseConvResidual, "Conv FusedConv", test.inputs);
  EXPECT_EQ(find_node(test.graph, "FusedConv").inputs[0], test.x);
}

TEST(FuseConvResidual, Declines) {
  Case broadcasts;
  broadcasts.output(broadcasts.node("Add", {broadcasts.conv(broadcasts.x), broadcasts.input("r", "float32[1,3,1,1]")}));
  expect_declines(broadcasts.graph, kFuseConvResidual, "not known to be the same");
  Case unknown;
  unknown.output(unknown.node("Add", {unknown.conv(unknown.x), unknown.input("r", "float32[1,3,?,5]")}));
  expect_declines(unknown.graph, kFuseConvResidual, "not known to be the same");
  Case twice;
  const ValueId y = twice.conv(twice.x);
  twice.output(twice.node("Add", {y, y}));
  expect_declines(twice.graph, kFuseConvResidual);
  Case output;
  const ValueId z = output.conv(output.x);
  output.output(output.node("Add", {z, output.residual}));
  output.output(z);
  expect_declines(output.graph, kFuseConvResidual, "is a graph output");
}

TEST(FuseConvResidual, AnActivationComesAfterTheSum) {
  Case test;
  const ValueId relu = test.node("Relu", {test.conv(test.x)}, {}, "float32[1,3,5,5]");
  test.output(test.node("Add", {relu, test.residual}, {}, "float32[1,3,5,5]"));
  apply(test.graph, kFuseConvActivation);
  expect_declines(test.graph, kFuseConvResidual, "has an activation");
}

}  // namespace
}  // namespace lanner::passes::testing
