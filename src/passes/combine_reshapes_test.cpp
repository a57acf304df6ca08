#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

TEST(CombineReshapes, DropsWhatKeepsTheShape) {
  Builder fixed;
  const ValueId x = fixed.input("x", "float32[2,3]");
  fixed.output(fixed.node("Reshape", {x, fixed.constant(ints({2, -1}))}, {}, "float32[2,3]"));
  expect_rewrites(fixed.graph, kCombineReshapes, "", {numbers({2, 3})});

  Builder own;
  const ValueId y = own.input("y", "float32[?,?]");
  own.output(own.node("Reshape", {y, own.node("Shape", {y}, {}, "int64[2]")}));
  expect_rewrites(own.graph, kCombineReshapes, "", {numbers({2, 3})});

  Builder copies;
  const ValueId z = copies.input("z", "float32[?,3]");
  copies.output(copies.node("Reshape", {z, copies.constant(ints({0, 3}))}));
  expect_rewrites(copies.graph, kCombineReshapes, "", {numbers({2, 3})});
}

TEST(CombineReshapes, TheLastOfARowIsEnough) {
  Builder builder;
  const ValueId x = builder.input("x", "float32[2,3,4]");
  const ValueId flat = builder.node("Flatten", {x}, attributes({{"axis", I{2}}}), "float32[6,4]");
  const ValueId wide = builder.node("Unsqueeze", {flat, builder.constant(ints({0}))}, {}, "float32[1,6,4]");
  builder.output(builder.node("Reshape", {wide, builder.constant(ints({-1, 2}))}, {}, "float32[12,2]"));
  expect_rewrites(builder.graph, kCombineReshapes, "Reshape", {numbers({2, 3, 4})});
}

TEST(CombineReshapes, WithUnknownDimensions) {
  Builder builder;
  const ValueId x = builder.input("x", "float32[?,3,4]");
  const ValueId y = builder.node("Reshape", {x, builder.constant(ints({0, 12}))}, {}, "float32[?,12]");
  builder.output(builder.node("Reshape", {y, builder.constant(ints({-1, 0, 1}))}, {}, "float32[?,12,1]"));
  expect_rewrites(builder.graph, kCombineReshapes, "Reshape", {numbers({2, 3, 4})});

  Builder copy;
  const ValueId z = copy.input("z", "float32[?,3,4]");
  const ValueId merged = copy.node("Reshape", {z, copy.constant(ints({-1, 4}))}, {}, "float32[?,4]");
  copy.output(copy.node("Reshape", {merged, copy.constant(ints({0, 2, 2}))}, {}, "float32[?,2,2]"));
  expect_declines(copy.graph, kCombineReshapes, "copies a dimension");
}

TEST(CombineReshapes, ACopiedDimensionOfACopyIsThatOfTheFirst) {
  Builder builder;
  const ValueId x = builder.input("x", "float32[n,m,12]");
  const ValueId cut = builder.node("Reshape", {x, builder.constant(ints({0, 0, 3, 4}))}, {}, "float32[n,m,3,4]");
  builder.output(builder.node("Reshape", {cut, builder.constant(ints({0, 0, 6, 2}))}, {}, "float32[n,m,6,2]"));
  builder.output(builder.node("Reshape", {cut, builder.constant(ints({0, 0, 12}))}, {}, "float32[n,m,12]"));
  Graph& graph = builder.graph;
  expect_rewrites(graph, kCombineReshapes, "Reshape", {numbers({2, 5, 12})});

  Builder other;
  const ValueId y = other.input("y", "float32[n,m,12]");
  const ValueId merged = other.node("Reshape", {y, other.constant(ints({-1, 0, 3, 4}))}, {}, "float32[?,m,3,4]");
  other.output(other.node("Reshape", {merged, other.constant(ints({0, -1, 12}))}, {}, "float32[?,m,12]"));
  expect_declines(other.graph, kCombineReshapes, "copies a dimension");
}

TEST(CombineReshapes, SqueezeUndoesUnsqueezeOfAnyShape) {
  Builder builder;
  const ValueId x = builder.input("x", "float32[?,?]");
  const ValueId y = builder.node("Unsqueeze", {x, builder.constant(ints({-1}))}, {}, "float32[?,?,1]");
  builder.output(builder.node("Exp", {builder.node("Squeeze", {y, builder.constant(ints({2}))}, {}, "float32[?,?]")}));
  expect_rewrites(builder.graph, kCombineReshapes, "Exp", {numbers({2, 3})});

  Builder other;
  const ValueId z = other.input("z", "float32[?,1]");
  const ValueId wide = other.node("Unsqueeze", {z, other.constant(ints({0}))}, {}, "float32[1,?,1]");
  other.output(other.node("Squeeze", {wide, other.constant(ints({2}))}, {}, "float32[1,?]"));
  expect_declines(other.graph, kCombineReshapes);
}

TEST(CombineReshapes, EmptyTensorsNeedTheirZeroSaid) {
  Builder builder;
  const ValueId x = builder.input("x", "float32[0,3]");
  const ValueId y = builder.node("Reshape", {x, builder.constant(ints({0, 1, 3}))}, {}, "float32[0,1,3]");
  builder.output(
      builder.node("Reshape", {y, builder.constant(ints({3, 0}))}, attributes({{"allowzero", I{1}}}), "float32[3,0]"));
  expect_rewrites(builder.graph, kCombineReshapes, "Reshape", {Tensor::allocate(ElementType::kFloat32, {0, 3})});
}

TEST(CombineReshapes, DeclinesAloneOne) {
  Builder builder;
  builder.output(builder.node("Reshape", {builder.input("x", "float32[2,3]"), builder.constant(ints({3, 2}))}, {},
                              "float32[3,2]"));
  expect_declines(builder.graph, kCombineReshapes);
}

}  // namespace
}  // namespace lanner::passes::testing
