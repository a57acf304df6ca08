#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

// One node of x: float32[2,3] and constants, between two Exp, so that its output is not the graph's.
struct Case : Builder {
  ValueId x = input("x", "float32[2,3]");
  void with(std::string_view op, std::vector<ValueId> inputs, tensor::Attributes attributes = {},
            std::string_view type_text = "float32[2,3]") {
    output(node("Exp", {node(op, std::move(inputs), std::move(attributes), type_text)}));
  }
  void expect_removed() { expect_rewrites(graph, kRemoveNoOps, "Exp", {numbers({2, 3})}); }
  void expect_kept() { expect_declines(graph, kRemoveNoOps); }
};

Tensor scalar(float value) {
  return Tensor::scalar<float>(value);
}

TEST(RemoveNoOps, RemovesWhatNeverChangesAnything) {
  const auto removed = [](std::string_view op, auto make_inputs, tensor::Attributes attributes = {}) {
    SCOPED_TRACE(op);
    Case test;
    test.with(op, make_inputs(test), std::move(attributes));
    test.expect_removed();
  };
  using V = std::vector<ValueId>;
  removed("Identity", [](Case& c) { return V{c.x}; });
  removed(
      "Cast", [](Case& c) { return V{c.x}; }, attributes({{"to", I{1}}}));
  removed("Clip", [](Case& c) { return V{c.x}; });
  removed(
      "Concat", [](Case& c) { return V{c.x}; }, attributes({{"axis", I{1}}}));
  removed("Sum", [](Case& c) { return V{c.x}; });
  removed("Slice", [](Case& c) { return V{c.x, c.constant(ints({0})), c.constant(ints({INT64_MAX}))}; });
  removed("Pad", [](Case& c) { return V{c.x, c.constant(ints({0, 0, 0, 0}))}; });
  removed(
      "Resize",
      [](Case& c) {
        return V{c.x, ir::kNoValue, ir::kNoValue, c.constant(ints({2, 3}))};
      },
      attributes({{"mode", std::string("linear")}}));
  removed("Resize", [](Case& c) { return V{c.x, ir::kNoValue, c.constant(floats({1, 1}))}; });
  removed("Tile", [](Case& c) { return V{c.x, c.constant(ints({1, 1}))}; });
  removed("Expand", [](Case& c) { return V{c.x, c.constant(ints({2, 3}))}; });
  removed("Mul", [](Case& c) { return V{c.x, c.constant(scalar(1))}; });
  removed("Mul", [](Case& c) { return V{c.constant(scalar(1)), c.x}; });
  removed("Div", [](Case& c) { return V{c.x, c.constant(floats({1, 1, 1}))}; });
  removed("Sub", [](Case& c) { return V{c.x, c.constant(scalar(0))}; });
  removed("Add", [](Case& c) { return V{c.x, c.constant(scalar(-0.0f))}; });
  removed("Where", [](Case& c) {
    return V{c.constant(Tensor::of<bool>({3}, {true, true, true})), c.x, c.constant(scalar(4))};
  });
}

TEST(RemoveNoOps, KeepsWhatCanChangeSomething) {
  const auto kept = [](std::string_view op, auto make_inputs, tensor::Attributes attributes = {},
                       std::string_view type_text = "float32[2,3]") {
    SCOPED_TRACE(op);
    Case test;
    test.with(op, make_inputs(test), std::move(attributes), type_text);
    test.expect_kept();
  };
  using V = std::vector<ValueId>;
  kept(
      "Cast", [](Case& c) { return V{c.x}; }, attributes({{"to", I{11}}}), "float64[2,3]");
  kept("Clip", [](Case& c) { return V{c.x, c.constant(scalar(0))}; });
  kept(
      "Concat",
      [](Case& c) {
        return V{c.x, c.x};
      },
      attributes({{"axis", I{0}}}), "float32[4,3]");
  // The same size in reverse.
  kept("Slice", [](Case& c) {
    return V{c.x, c.constant(ints({-1})), c.constant(ints({INT64_MIN})), c.constant(ints({1})), c.constant(ints({-1}))};
  });
  kept("Pad", [](Case& c) { return V{c.x, c.constant(ints({0, 1, 0, -1}))}; });
  kept(
      "Tile",
      [](Case& c) {
        return V{c.x, c.constant(ints({2, 1}))};
      },
      {}, "float32[4,3]");
  kept(
      "Expand",
      [](Case& c) {
        return V{c.x, c.constant(ints({4, 1, 1}))};
      },
      {}, "float32[4,2,3]");
  // As many pixels, but of a part of the image; of another scale, rounded to the same size.
  kept(
      "Resize",
      [](Case& c) {
        return V{c.x, c.constant(floats({0, 0, 0.5f, 1})), c.constant(floats({1, 1}))};
      },
      attributes({{"coordinate_transformation_mode", std::string("tf_crop_and_resize")}}));
  kept("Resize", [](Case& c) { return V{c.x, ir::kNoValue, c.constant(floats({1.2f, 1}))}; });
  // -0 + 0 is 0, and 0 - x is not x.
  kept("Add", [](Case& c) { return V{c.x, c.constant(scalar(0))}; });
  kept("Sub", [](Case& c) { return V{c.x, c.constant(scalar(-0.0f))}; });
  kept("Sub", [](Case& c) { return V{c.constant(scalar(0)), c.x}; });
  kept("Div", [](Case& c) { return V{c.constant(scalar(1)), c.x}; });
  // A 1 that broadcasts the result to another rank.
  kept(
      "Mul",
      [](Case& c) {
        return V{c.x, c.constant(Tensor::of<float>({1, 1, 1}, {1}))};
      },
      {}, "float32[1,2,3]");
  kept(
      "Where",
      [](Case& c) {
        return V{
            c.constant(Tensor::of<bool>({2, 2, 3}, std::initializer_list<bool>{true, true, true, true, true, true, true,
                                                                               true, true, true, true, true})),
            c.x, c.constant(scalar(4))};
      },
      {}, "float32[2,2,3]");
}

TEST(RemoveNoOps, DropoutUnlessItTrainsOrItsMaskIsRead) {
  Case off;
  off.with("Dropout", {off.x, off.constant(scalar(0.5f)), off.constant(Tensor::scalar<bool>(false))});
  EXPECT_EQ(apply(off.graph, kRemoveNoOps).firings.size(), 1u);
  Case on;
  on.with("Dropout", {on.x, on.constant(scalar(0.5f)), on.constant(Tensor::scalar<bool>(true))});
  on.expect_kept();
  Case mask;
  const std::vector<ValueId> both = mask.nodes("Dropout", {mask.x}, 2);
  mask.output(both[0]);
  mask.output(both[1]);
  mask.expect_kept();
}

TEST(RemoveNoOps, IntegersAddZeroExactly) {
  Builder builder;
  const ValueId x = builder.input("x", "int64[2]");
  builder.output(builder.node("Add", {builder.constant(Tensor::scalar<I>(0)), x}, {}, "int64[2]"));
  expect_rewrites(builder.graph, kRemoveNoOps, "", {ints({3, 4})});
}

TEST(RemoveNoOps, ExpandToTheInputsOwnUnknownShape) {
  Builder builder;
  const ValueId x = builder.input("x", "float32[?,3]");
  builder.output(builder.node("Expand", {x, builder.node("Shape", {x}, {}, "int64[2]")}, {}, "float32[?,?]"));
  expect_rewrites(builder.graph, kRemoveNoOps, "", {numbers({2, 3})});
  Builder other;
  const ValueId y = other.input("y", "float32[?,3]");
  const ValueId z = other.input("z", "float32[?,3]");
  other.output(other.node("Expand", {y, other.node("Shape", {z}, {}, "int64[2]")}, {}, "float32[?,?]"));
  expect_declines(other.graph, kRemoveNoOps);
}

// Floor division as torch exports it, of integers of either sign.
ValueId floor_division(Builder& builder, ValueId x, I by) {
  const auto number = [&](I value) { return builder.constant(Tensor::scalar<I>(value)); };
  const ValueId quotient = builder.node("Div", {x, number(by)}, {}, "int64[?]");
  const ValueId signs = builder.node(
      "Xor", {builder.node("Less", {x, number(0)}, {}, "bool[?]"), builder.constant(Tensor::scalar<bool>(by < 0))}, {},
      "bool[?]");
  const ValueId rest = builder.node("Mod", {x, number(by)}, {}, "int64[?]");
  const ValueId whole = builder.node("Equal", {rest, number(0)}, {}, "bool[?]");
  const ValueId lower = builder.node("And", {signs, builder.node("Not", {whole}, {}, "bool[?]")}, {}, "bool[?]");
  const ValueId below = builder.node("Sub", {quotient, number(1)}, {}, "int64[?]");
  return builder.node("Where", {lower, below, quotient}, {}, "int64[?]");
}

TEST(RemoveNoOps, FloorDivisionOfIndicesIsDivision) {
  Builder builder;
  const ValueId rows =
      builder.node("Flatten", {builder.node("NonZero", {builder.input("x", "float32[?]")}, {}, "int64[1,?]")},
                   attributes({{"axis", I{0}}}), "int64[1,?]");
  const ValueId list = builder.node("Squeeze", {rows, builder.constant(ints({0}))}, {}, "int64[?]");
  builder.output(floor_division(builder, list, 3));
  expect_rewrites(builder.graph, kRemoveNoOps, "NonZero Flatten Squeeze Div", {floats({0, 1, 2, 0, 3, 4, 5, 0})});
}

TEST(RemoveNoOps, FloorDivisionOfWhatMayBeNegativeStays) {
  Builder builder;
  builder.output(floor_division(builder, builder.input("x", "int64[?]"), 3));
  expect_declines(builder.graph, kRemoveNoOps);
  Builder divisor;
  const ValueId rows = divisor.node("Shape", {divisor.input("x", "float32[?,?]")}, {}, "int64[2]");
  divisor.output(floor_division(divisor, rows, -3));
  expect_declines(divisor.graph, kRemoveNoOps);
}

// The branch that is taken may be broadcast.
TEST(RemoveNoOps, AWhereThatGivesAnotherShapeStays) {
  Builder builder;
  const ValueId rows = builder.node("Shape", {builder.input("x", "float32[?,?]")}, {}, "int64[2]");
  const ValueId negative = builder.node("Less", {rows, builder.constant(Tensor::scalar<I>(0))}, {}, "bool[2]");
  const ValueId one = builder.input("y", "int64[?]");
  builder.output(builder.node("Where", {negative, one, one}, {}, "int64[?]"));
  expect_declines(builder.graph, kRemoveNoOps);
}

}  // namespace
}  // namespace lanner::passes::testing
