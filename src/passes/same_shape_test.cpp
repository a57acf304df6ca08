#include "passes/same_shape.h"

#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

struct Case : Builder {
  ValueId data = input("data", "float32[?,4]");
  ValueId other = input("other", "float32[?,4]");
  ValueId list = input("list", "int64[?]");

  ValueId number(I value) { return constant(ints({value})); }
  ValueId open(std::string_view op, std::vector<ValueId> inputs, std::string_view type_text = "float32[?,?]",
               tensor::Attributes attributes = {}) {
    return node(op, std::move(inputs), std::move(attributes), type_text);
  }
  bool same(ValueId a, std::size_t axis_a, ValueId b, std::size_t axis_b) {
    SizeOrigins origins(graph);
    return origins.of(a, axis_a) == origins.of(b, axis_b);
  }
};

TEST(SameShape, ElementwiseOperators) {
  Case c;
  EXPECT_TRUE(same_shape(c.graph, c.data, c.open("Exp", {c.data})));
  EXPECT_TRUE(same_shape(c.graph, c.data, c.open("Mul", {c.data, c.constant(Tensor::scalar(2.f))})));
  EXPECT_TRUE(same_shape(c.graph, c.data, c.open("Add", {c.data, c.constant(floats({1, 2, 3, 4}))})));
  EXPECT_TRUE(same_shape(c.graph, c.data, c.open("Sub", {c.open("Exp", {c.data}), c.data})));
  // One of them may have a single row.
  EXPECT_FALSE(same_shape(c.graph, c.data, c.open("Add", {c.data, c.other})));
  EXPECT_FALSE(same_shape(c.graph, c.data, c.other));
  EXPECT_FALSE(same_shape(c.graph, c.data, c.open("Mul", {c.data, c.constant(Tensor::of<float>({1, 1, 1}, {2}))})));
}

TEST(SameShape, MatrixProducts) {
  Case c;
  const ValueId right = c.constant(Tensor::of<float>({4, 3}, std::vector<float>(12)));
  const ValueId product = c.open("MatMul", {c.data, right}, "float32[?,3]");
  EXPECT_TRUE(same_shape(c.graph, product, c.open("MatMul", {c.open("Gelu", {c.data}), right}, "float32[?,3]")));
  EXPECT_FALSE(same_shape(c.graph, product, c.open("MatMul", {c.other, right}, "float32[?,3]")));
  EXPECT_TRUE(c.same(c.open("MatMul", {c.data, c.other}), 0, c.data, 0));
  EXPECT_TRUE(c.same(c.open("MatMul", {c.data, c.other}), 1, c.other, 1));
  EXPECT_FALSE(c.same(c.open("MatMul", {c.data, c.input("vector", "float32[4]")}, "float32[?]"), 0, c.data, 0));
  // Many matrices: of as many, or one of them may be a single one.
  const ValueId a = c.input("a", "float32[?,?,4]");
  const ValueId b = c.input("b", "float32[?,4,?]");
  const ValueId turned = c.open("Transpose", {a}, "float32[?,4,?]", attributes({{"perm", std::vector<I>{0, 2, 1}}}));
  const ValueId squares = c.open("MatMul", {a, turned}, "float32[?,?,?]");
  EXPECT_TRUE(c.same(squares, 0, a, 0));
  EXPECT_TRUE(c.same(squares, 2, a, 1));
  EXPECT_TRUE(same_shape(c.graph, c.open("MatMul", {squares, a}, "float32[?,?,4]"), a));
  EXPECT_FALSE(c.same(c.open("MatMul", {a, b}, "float32[?,?,?]"), 0, a, 0));
}

TEST(SameShape, MovedAxes) {
  Case c;
  const ValueId turned = c.open("Transpose", {c.data});
  EXPECT_TRUE(c.same(turned, 1, c.data, 0));
  EXPECT_TRUE(c.same(c.open("Transpose", {c.data}, "float32[?,?]", attributes({{"perm", std::vector<I>{1, 0}}})), 1,
                     c.data, 0));
  const ValueId more = c.open("Unsqueeze", {c.data, c.constant(ints({0, 2}))}, "float32[1,?,1,4]");
  EXPECT_TRUE(c.same(more, 1, c.data, 0));
  EXPECT_TRUE(c.same(c.open("Squeeze", {more, c.constant(ints({-2, 0}))}, "float32[?,4]"), 0, c.data, 0));
  EXPECT_TRUE(c.same(c.open("Slice", {c.data, c.number(1), c.number(2), c.number(1)}, "float32[?,1]"), 0, c.data, 0));
  EXPECT_FALSE(c.same(c.open("Slice", {c.data, c.number(1), c.number(2), c.number(0)}, "float32[?,4]"), 0, c.data, 0));
  EXPECT_TRUE(c.same(c.open("Concat", {c.data, c.data}, "float32[?,8]", attributes({{"axis", I{1}}})), 0, c.data, 0));
  EXPECT_FALSE(c.same(c.open("Concat", {c.data, c.data}, "float32[?,4]", attributes({{"axis", I{0}}})), 0, c.data, 0));
  const auto parts =
      c.nodes("Split", {c.data}, 2, attributes({{"axis", I{-1}}, {"num_outputs", I{2}}}), "float32[?,2]");
  EXPECT_TRUE(c.same(parts[0], 0, parts[1], 0));
}

TEST(SameShape, Reshapes) {
  Case c;
  EXPECT_TRUE(c.same(c.open("Reshape", {c.data, c.constant(ints({-1, 2, 2}))}, "float32[?,2,2]"), 0, c.data, 0));
  EXPECT_TRUE(c.same(c.open("Reshape", {c.data, c.constant(ints({0, 2, 2}))}, "float32[?,2,2]"), 0, c.data, 0));
  EXPECT_FALSE(c.same(c.open("Reshape", {c.data, c.constant(ints({-1, 2}))}, "float32[?,2]"), 0, c.data, 0));
  const ValueId shape = c.node("Shape", {c.other}, {}, "int64[2]");
  EXPECT_TRUE(same_shape(c.graph, c.open("Reshape", {c.data, shape}), c.other));
}

TEST(SameShape, Resized) {
  Builder b;
  const ValueId x = b.input("x", "float32[n,8,?,?]");
  const ValueId like = b.input("like", "float32[m,4,?,?]");
  const ValueId resized = b.add(make_node("ResizeLike", {x, like}, {}, "lanner"), 1, "float32[?,8,?,?]")[0];
  SizeOrigins origins(b.graph);
  EXPECT_EQ(origins.of(resized, 0), origins.of(x, 0));
  EXPECT_EQ(origins.of(resized, 2), origins.of(like, 2));
  EXPECT_NE(origins.of(resized, 3), origins.of(x, 3));
}

TEST(SameShape, PickedRows) {
  Case c;
  EXPECT_TRUE(c.same(c.open("Gather", {c.data, c.list}), 0, c.list, 0));
  EXPECT_TRUE(c.same(c.open("Gather", {c.data, c.list}), 0, c.open("Gather", {c.other, c.list}), 0));
  const ValueId column =
      c.open("Gather", {c.data, c.constant(Tensor::scalar<I>(1))}, "float32[?]", attributes({{"axis", I{1}}}));
  EXPECT_TRUE(c.same(column, 0, c.data, 0));
  const auto best = c.nodes("TopK", {c.data, c.list}, 2, attributes({{"axis", I{0}}}), "float32[?,4]");
  EXPECT_TRUE(same_shape(c.graph, best[0], best[1]));
  EXPECT_FALSE(c.same(best[0], 0, c.data, 0));
  const auto made = c.add(make_node("ClassTopK", {c.data}, {}, "lanner"), 3, "int64[?]");
  EXPECT_TRUE(c.same(made[2], 0, made[0], 0));
  EXPECT_FALSE(c.same(made[2], 0, c.list, 0));
}

// What is followed is bounded, in depth and in work.
TEST(SameShape, LongAndBranchingWays) {
  Case c;
  ValueId value = c.data;
  for (int i = 0; i < 60; ++i) value = c.open("Add", {value, value});
  EXPECT_TRUE(same_shape(c.graph, value, c.data));
  for (int i = 0; i < 20000; ++i) value = c.open("Exp", {value});
  EXPECT_FALSE(same_shape(c.graph, value, c.data));
}

}  // namespace
}  // namespace lanner::passes::testing
