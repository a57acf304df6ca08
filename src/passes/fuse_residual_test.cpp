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

TEST(FuseResidual, ToTheBit) {
  Case test;
  test.output(test.node("Add", {test.residual, test.conv(test.x)}, {}, "float32[1,3,5,5]"));
  expect_rewrites(test.graph, kFuseResidual, "FusedConv", test.inputs);
  const Node& fused = find_node(test.graph, "FusedConv");
  EXPECT_EQ(fused.domain, "lanner");
  EXPECT_EQ(fused.inputs[2], kNoValue);
  EXPECT_THAT(fused.stands_for, ::testing::ElementsAre("Conv", "Add"));
}

TEST(FuseResidual, OfTwoConvsTheFirst) {
  Case test;
  test.output(test.node("Add", {test.conv(test.x), test.conv(test.residual, 8)}, {}, "float32[1,3,5,5]"));
  expect_rewrites(test.graph, kFuseResidual, "Conv FusedConv", test.inputs);
  EXPECT_EQ(find_node(test.graph, "FusedConv").inputs[0], test.x);
}

// A bottleneck of a model with a free image size: the main path strides in its second convolution, the other in its
// only.
TEST(FuseResidual, ShapesUnknownButTheSame) {
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
  EXPECT_EQ(apply(other.graph, kFuseResidual).firings.size(), 1u);
}

// What a transformer's block ends with, of any batch and length.
TEST(FuseResidual, OfAMatrixProduct) {
  Builder test;
  const ValueId x = test.input("x", "float32[?,?,6]");
  const auto dense = [&](ValueId of, I from, I to) {
    const std::string type = fmt::format("float32[?,?,{}]", to);
    const ValueId y = test.node("MatMul", {of, test.constant(numbers({from, to}, 7))}, {}, type);
    return test.node("Add", {test.constant(numbers({to}, 3)), y}, {}, type);
  };
  const ValueId normal = test.node("LayerNormalization", {x, test.constant(numbers({6}, 2))},
                                   attributes({{"axis", I{-1}}}), "float32[?,?,6]");
  const ValueId wide = test.node("Gelu", {dense(normal, 6, 8)}, {}, "float32[?,?,8]");
  test.output(test.node("Add", {x, dense(wide, 8, 6)}, {}, "float32[?,?,6]"));
  const Inputs inputs{numbers({2, 3, 6})};
  const std::vector<Value> expected = run_graph(test.graph, inputs);
  run_pipeline(test.graph, {});
  EXPECT_EQ(ops(test.graph), "LayerNormalization FusedMatMul FusedMatMul");
  expect_same(expected[0], run_graph(test.graph, inputs)[0]);
}

TEST(FuseResidual, Declines) {
  Case broadcasts;
  broadcasts.output(broadcasts.node("Add", {broadcasts.conv(broadcasts.x), broadcasts.input("r", "float32[1,3,1,1]")}));
  expect_declines(broadcasts.graph, kFuseResidual, "not known to be the same");
  Case unknown;
  unknown.output(unknown.node("Add", {unknown.conv(unknown.x), unknown.input("r", "float32[1,3,?,5]")}));
  expect_declines(unknown.graph, kFuseResidual, "not known to be the same");
  Case twice;
  const ValueId y = twice.conv(twice.x);
  twice.output(twice.node("Add", {y, y}));
  expect_declines(twice.graph, kFuseResidual);
  Case output;
  const ValueId z = output.conv(output.x);
  output.output(output.node("Add", {z, output.residual}));
  output.output(z);
  expect_declines(output.graph, kFuseResidual, "is a graph output");
}

TEST(FuseResidual, AfterAnActivation) {
  Case test;
  const ValueId y = test.conv(test.x);
  const ValueId silu = test.node("Mul", {y, test.node("Sigmoid", {y}, {}, "float32[1,3,5,5]")}, {}, "float32[1,3,5,5]");
  test.output(test.node("Add", {test.residual, silu}, {}, "float32[1,3,5,5]"));
  const std::vector<Value> expected = run_graph(test.graph, test.inputs);
  run_pipeline(test.graph, {});
  EXPECT_EQ(ops(test.graph), "FusedConv");
  const Node& fused = find_node(test.graph, "FusedConv");
  EXPECT_EQ(fused.attributes.get_int("residual_last", 0), 1);
  EXPECT_EQ(fused.attributes.get_string("activation", ""), "Swish");
  EXPECT_THAT(fused.stands_for, ::testing::ElementsAre("Conv", "Sigmoid", "Mul", "Add"));
  expect_same(expected[0], run_graph(test.graph, test.inputs)[0]);
}

// The sum's own activation then goes into the other product.
TEST(FuseResidual, RatherOfAProductWithoutActivation) {
  Case test;
  const ValueId relu = test.node("Relu", {test.conv(test.x)}, {}, "float32[1,3,5,5]");
  const ValueId sum = test.node("Add", {relu, test.conv(test.residual, 8)}, {}, "float32[1,3,5,5]");
  test.output(test.node("Tanh", {sum}, {}, "float32[1,3,5,5]"));
  const std::vector<Value> expected = run_graph(test.graph, test.inputs);
  run_pipeline(test.graph, {});
  EXPECT_EQ(ops(test.graph), "FusedConv FusedConv");
  expect_same(expected[0], run_graph(test.graph, test.inputs)[0]);
}

TEST(FuseResidual, OnlyOne) {
  Case test;
  const ValueId first = test.node("Add", {test.conv(test.x), test.residual}, {}, "float32[1,3,5,5]");
  const ValueId relu = test.node("Relu", {first}, {}, "float32[1,3,5,5]");
  test.output(test.node("Add", {relu, test.x}, {}, "float32[1,3,5,5]"));
  run_pipeline(test.graph, {});
  EXPECT_EQ(ops(test.graph), "FusedConv Add");
  expect_declines(test.graph, kFuseResidual, "has a residual already");
}

}  // namespace
}  // namespace lanner::passes::testing
