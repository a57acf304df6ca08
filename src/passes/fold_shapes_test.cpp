#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

TEST(FoldShapes, ShapeAndSizeOfKnownDimensions) {
  Builder builder;
  const ValueId x = builder.input("x", "float32[2,3,4]");
  builder.output(builder.node("Shape", {x}));
  builder.output(builder.node("Shape", {x}, attributes({{"start", I{-2}}, {"end", I{-1}}})));
  builder.output(builder.node("Size", {x}));
  expect_rewrites(builder.graph, kFoldShapes, "", {numbers({2, 3, 4})});
}

TEST(FoldShapes, KnownDimensionsOfAPartlyKnownShape) {
  Builder builder;
  const ValueId x = builder.input("x", "float32[batch,3,?,4]");
  const ValueId shape = builder.node("Shape", {x}, {}, "int64[4]");
  const ValueId last = builder.node("Gather", {shape, builder.constant(Tensor::scalar<I>(-1))}, {}, "int64[]");
  builder.output(last);
  const ValueId middle =
      builder.node("Slice", {shape, builder.constant(ints({1})), builder.constant(ints({2}))}, {}, "int64[1]");
  const ValueId one = builder.node("Unsqueeze", {last, builder.constant(ints({0}))}, {}, "int64[1]");
  const ValueId both = builder.node("Concat", {middle, one}, attributes({{"axis", I{0}}}), "int64[2]");
  builder.output(builder.node("Mul", {both, builder.constant(ints({5}))}, {}, "int64[2]"));
  builder.output(builder.node("Cast", {both}, attributes({{"to", I{6}}}), "int32[2]"));
  expect_rewrites(builder.graph, kFoldShapes, "", {numbers({2, 3, 5, 4})});
}

TEST(FoldShapes, TheExpandIdiomOfExporters) {
  // Where(Equal(wanted, -1), shape, wanted): no dimension is -1.
  Builder builder;
  const ValueId x = builder.input("x", "float32[?,3]");
  const ValueId shape = builder.node("Shape", {x}, {}, "int64[2]");
  const ValueId minus = builder.constant(ints({-1, -1}));
  const ValueId is_minus = builder.node("Equal", {shape, minus}, {}, "bool[2]");
  const ValueId chosen = builder.node("Where", {is_minus, builder.constant(ints({1, 1})), shape}, {}, "int64[2]");
  builder.output(builder.node("Gather", {chosen, builder.constant(ints({1}))}, {}, "int64[1]"));
  expect_rewrites(builder.graph, kFoldShapes, "", {numbers({2, 3})});
}

TEST(FoldShapes, DeclinesWhatIsNotKnown) {
  Builder builder;
  const ValueId x = builder.input("x", "float32[batch,3]");
  const ValueId shape = builder.node("Shape", {x}, {}, "int64[2]");
  builder.output(builder.node("Gather", {shape, builder.constant(Tensor::scalar<I>(0))}, {}, "int64[]"));
  expect_declines(builder.graph, kFoldShapes, "dimension 0 is not known");

  Builder unranked;
  unranked.output(unranked.node("Shape", {unranked.input("x", "float32")}));
  expect_declines(unranked.graph, kFoldShapes);
}

TEST(FoldShapes, LeavesErrorsAndOverflowsToRunTime) {
  Builder builder;
  const ValueId shape = builder.node("Shape", {builder.input("x", "float32[2,?]")}, {}, "int64[2]");
  const ValueId first = builder.node("Gather", {shape, builder.constant(ints({2}))}, {}, "int64[1]");
  builder.output(first);
  const ValueId known = builder.node("Gather", {shape, builder.constant(ints({0}))}, {}, "int64[1]");
  builder.output(builder.node("Div", {known, builder.constant(ints({0}))}, {}, "int64[1]"));
  builder.output(builder.node("Mul", {known, builder.constant(ints({INT64_MAX}))}, {}, "int64[1]"));
  apply(builder.graph, kFoldShapes);
  EXPECT_EQ(ops(builder.graph), "Shape Gather Div Mul");
}

}  // namespace
}  // namespace lanner::passes::testing
