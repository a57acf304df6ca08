#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

// x[batch,3,h,4] reshaped to the concatenation of some of its dimensions.
struct Reshape : Builder {
  ValueId x = input("x", "float32[batch,3,?,4]");
  ValueId shape = node("Shape", {x}, {}, "int64[4]");
  ValueId dim(I axis) { return node("Gather", {shape, constant(ints({axis}))}, {}, "int64[1]"); }
  ValueId concat(std::vector<ValueId> parts) {
    const std::string text = fmt::format("int64[{}]", parts.size());
    return node("Concat", std::move(parts), attributes({{"axis", I{0}}}), text);
  }
};

std::vector<I> target_of(const Graph& graph, std::string_view op) {
  return constant_ints(graph, find_node(graph, op).inputs[1]).value_or(std::vector<I>{});
}

TEST(FixShapeInputs, CopiesAndInfers) {
  Reshape copies;
  copies.output(copies.node("Reshape", {copies.x, copies.concat({copies.dim(0), copies.constant(ints({12, -1}))})}));
  expect_rewrites(copies.graph, kFixShapeInputs, "Reshape", {numbers({2, 3, 5, 4})});
  EXPECT_THAT(target_of(copies.graph, "Reshape"), ::testing::ElementsAre(0, 12, -1));

  Reshape infers;
  infers.output(infers.node("Reshape", {infers.x, infers.concat({infers.dim(2), infers.constant(ints({6, 4}))})}));
  expect_rewrites(infers.graph, kFixShapeInputs, "Reshape", {numbers({2, 3, 5, 4})});
  EXPECT_THAT(target_of(infers.graph, "Reshape"), ::testing::ElementsAre(-1, 6, 4));
  expect_same(run_graph(infers.graph, Inputs{numbers({2, 3, 0, 4})})[0],
              Tensor::allocate(ElementType::kFloat32, {0, 6, 4}));
}

TEST(FixShapeInputs, TakesWhatTheResultsTypeKnows) {
  Reshape reshape;
  const ValueId odd = reshape.node("Add", {reshape.dim(0), reshape.dim(2)}, {}, "int64[1]");
  reshape.output(reshape.node("Reshape", {reshape.x, reshape.concat({odd, reshape.dim(3)})}, {}, "float32[30,4]"));
  apply(reshape.graph, kFixShapeInputs);
  EXPECT_EQ(ops(reshape.graph), "Reshape");
  EXPECT_THAT(target_of(reshape.graph, "Reshape"), ::testing::ElementsAre(30, 4));
}

TEST(FixShapeInputs, DeclinesWhereAnEmptyTensorWouldBeAmbiguous) {
  // [batch, h*3, 4]: with batch 0, -1 could be anything.
  Reshape reshape;
  const ValueId area = reshape.node("Mul", {reshape.dim(2), reshape.constant(ints({3}))}, {}, "int64[1]");
  reshape.output(
      reshape.node("Reshape", {reshape.x, reshape.concat({reshape.dim(0), area, reshape.constant(ints({4}))})}));
  expect_declines(reshape.graph, kFixShapeInputs, "may be 0");
}

TEST(FixShapeInputs, DeclinesTwoUnknowns) {
  Reshape reshape;
  reshape.output(reshape.node("Reshape", {reshape.x, reshape.concat({reshape.dim(2), reshape.dim(0)})}));
  expect_declines(reshape.graph, kFixShapeInputs, "2 dimensions of the new shape are not known");
}

TEST(FixShapeInputs, ZeroIsNoCopyWithAllowZero) {
  Reshape reshape;
  reshape.output(reshape.node("Reshape", {reshape.x, reshape.concat({reshape.dim(0), reshape.constant(ints({-1}))})},
                              attributes({{"allowzero", I{1}}})));
  expect_declines(reshape.graph, kFixShapeInputs, "not known");
}

TEST(FixShapeInputs, ExpandToAKnownShape) {
  Builder builder;
  const ValueId x = builder.input("x", "float32[1,3]");
  const ValueId y = builder.input("y", "float32[?,?]");
  builder.output(builder.node("Expand", {x, builder.node("Shape", {y}, {}, "int64[2]")}, {}, "float32[2,3]"));
  expect_rewrites(builder.graph, kFixShapeInputs, "Expand", {numbers({1, 3}), numbers({2, 3})});
  Builder unknown;
  const ValueId z = unknown.input("z", "float32[?,?]");
  unknown.output(unknown.node("Expand", {z, unknown.node("Shape", {z}, {}, "int64[2]")}, {}, "float32[?,3]"));
  expect_declines(unknown.graph, kFixShapeInputs, "not known");
}

}  // namespace
}  // namespace lanner::passes::testing
