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

// A bottleneck of a model with a free image size: the main path strides in its second convolution, the other in its
// only.
TEST(FuseConvResidual, ShapesUnknownButTheSame) {
  const auto build = [](Builder& builder, std::vector<I> pads) {
    const ValueId x = builder.input("x", "float32[1,3,h,w]");
    const auto conv = [&](ValueId of, const Shape& weights, tensor::Attributes with) {
      return builder.node("Conv", {of, builder.constant(numbers(weights, 3))}, std::move(with), "float32[1,3,?,?]");
    };
    const auto relu = [&](ValueId of) { return builder.node("Relu", {of}, {}, "float32[1,3,?,?]"); };
    const std::vector<I> two{2, 2};
    ValueId main = relu(conv(x, {3, 3, 1, 1}, {}));
    main = relu(conv(main, {3, 3, 3, 3}, attributes({{"strides", two}, {"pads", std::move(pads)}})));
    main = conv(main, {3, 3, 1, 1}, {});
    const ValueId other = conv(x, {3, 3, 1, 1}, attributes({{"strides", two}}));
    const ValueId block = relu(builder.node("Add", {main, other}, {}, "float32[1,3,?,?]"));
    const ValueId next = conv(block, {3, 3, 3, 3}, attributes({{"pads", std::vector<I>{1, 1, 1, 1}}}));
    builder.output(builder.node("Add", {next, block}, {}, "float32[1,3,?,?]"));
  };
  Builder same;
  build(same, {1, 1, 1, 1});
  const Inputs inputs{numbers({1, 3, 7, 8})};
  const std::vector<Value> expected = run_graph(same.graph, inputs);
  run_pipeline(same.graph, {});
  EXPECT_EQ(ops(same.graph), "Conv FusedConv FusedConv FusedConv FusedConv");
  expect_same(expected[0], run_graph(same.graph, inputs)[0]);

  // One row more of padding, and the shapes agree only for some sizes.
  Builder other;
  build(other, {1, 1, 2, 1});
  EXPECT_EQ(apply(other.graph, kFuseConvResidual).firings.size(), 1u);
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
