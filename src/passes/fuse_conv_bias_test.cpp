#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

struct Case : Builder {
  ValueId x = input("x", "float32[1,2,5,5]");
  ValueId w = input("w", "float32[3,2,3,3]");
  ValueId conv = node("Conv", {x, w}, {}, "float32[1,3,3,3]");
  ValueId bias = constant(Tensor::of<float>({3, 1, 1}, {1, 2, 3}));
  Inputs inputs{numbers({1, 2, 5, 5}), numbers({3, 2, 3, 3}, 7)};
};

TEST(FuseConvBias, MakesTheConstantTheBias) {
  Case test;
  test.output(test.node("Add", {test.bias, test.conv}, {}, "float32[1,3,3,3]"));
  expect_rewrites(test.graph, kFuseConvBias, "Conv", test.inputs, 1e-6);
  EXPECT_THAT(find_node(test.graph, "Conv").inputs, ::testing::SizeIs(3));
}

TEST(FuseConvBias, Declines) {
  Case columns;
  columns.output(columns.node("Add", {columns.conv, columns.constant(floats({1, 2, 3}))}, {}, "float32[1,3,3,3]"));
  expect_declines(columns.graph, kFuseConvBias, "no constant per channel");
  Case user;
  user.output(user.node("Add", {user.conv, user.bias}, {}, "float32[1,3,3,3]"));
  user.output(user.node("Relu", {user.conv}));
  expect_declines(user.graph, kFuseConvBias, "has another user");
  Case has_bias;
  const ValueId with = has_bias.node("Conv", {has_bias.x, has_bias.w, has_bias.constant(floats({1, 2, 3}))});
  has_bias.output(has_bias.node("Add", {with, has_bias.bias}));
  expect_declines(has_bias.graph, kFuseConvBias);
}

}  // namespace
}  // namespace lanner::passes::testing
