#include "passes/known_sign.h"

#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

struct Case : Builder {
  ValueId some = input("some", "int64[4]");
  ValueId data = input("data", "float32[4]");
  ValueId mask = input("mask", "bool[4]");
  // Numbers that are never negative.
  ValueId rows = node("NonZero", {data}, {}, "int64[1,?]");

  ValueId number(I value) { return constant(Tensor::scalar<I>(value)); }
  ValueId ints_of(std::string_view op, std::vector<ValueId> inputs, tensor::Attributes attributes = {}) {
    return node(op, std::move(inputs), std::move(attributes), "int64[?]");
  }
  bool sign(ValueId value) const { return never_negative(graph, value); }
  std::optional<bool> truth(std::string_view op, std::vector<ValueId> inputs) {
    return known_truth(graph, node(op, std::move(inputs), {}, "bool[?]"));
  }
};

TEST(KnownSign, IndicesAndSizes) {
  Case c;
  EXPECT_TRUE(c.sign(c.rows));
  EXPECT_TRUE(c.sign(c.ints_of("Shape", {c.data})));
  EXPECT_TRUE(c.sign(c.ints_of("Size", {c.data})));
  EXPECT_TRUE(c.sign(c.ints_of("NonMaxSuppression", {c.data, c.data})));
  EXPECT_TRUE(c.sign(c.ints_of("ArgMax", {c.some})));
  EXPECT_TRUE(c.sign(c.ints_of("Range", {c.number(0), c.some, c.number(2)})));
  EXPECT_FALSE(c.sign(c.ints_of("Range", {c.number(9), c.some, c.number(-2)})));
  EXPECT_FALSE(c.sign(c.ints_of("Range", {c.some, c.number(9), c.number(1)})));
  const auto best = c.nodes("TopK", {c.some, c.number(1)}, 2, {}, "int64[?]");
  EXPECT_TRUE(c.sign(best[1]));
  EXPECT_FALSE(c.sign(best[0]));
  const auto made = c.add(make_node("ClassTopK", {c.data}, {}, "lanner"), 3, "int64[?]");
  EXPECT_TRUE(c.sign(made[0]));
  EXPECT_TRUE(c.sign(made[1]));
  EXPECT_FALSE(c.sign(c.some));
  EXPECT_FALSE(c.sign(c.data));
  EXPECT_FALSE(c.sign(c.constant(ints({1, -1}))));
  EXPECT_TRUE(c.sign(c.constant(ints({1, 0}))));
}

TEST(KnownSign, WhatIsMadeOfThem) {
  Case c;
  const auto to = [](ElementType type) { return attributes({{"to", static_cast<I>(type)}}); };
  EXPECT_TRUE(c.sign(c.ints_of("Squeeze", {c.rows, c.number(0)})));
  EXPECT_TRUE(c.sign(c.ints_of("Gather", {c.rows, c.some})));
  EXPECT_FALSE(c.sign(c.ints_of("Gather", {c.some, c.rows})));
  EXPECT_TRUE(c.sign(c.ints_of("Cast", {c.rows}, to(ElementType::kInt64))));
  EXPECT_FALSE(c.sign(c.node("Cast", {c.rows}, to(ElementType::kInt32), "int32[?]")));
  EXPECT_FALSE(c.sign(c.node("Cast", {c.data}, to(ElementType::kInt64), "int64[?]")));
  EXPECT_TRUE(c.sign(c.ints_of("Div", {c.rows, c.number(3)})));
  EXPECT_FALSE(c.sign(c.ints_of("Div", {c.rows, c.number(-3)})));
  EXPECT_FALSE(c.sign(c.ints_of("Div", {c.rows, c.some})));
  EXPECT_FALSE(c.sign(c.ints_of("Div", {c.some, c.number(3)})));
  EXPECT_TRUE(c.sign(c.ints_of("Mod", {c.some, c.number(3)})));
  EXPECT_FALSE(c.sign(c.ints_of("Mod", {c.some, c.number(3)}, attributes({{"fmod", I{1}}}))));
  EXPECT_TRUE(c.sign(c.ints_of("Max", {c.some, c.rows})));
  EXPECT_FALSE(c.sign(c.ints_of("Min", {c.some, c.rows})));
  EXPECT_FALSE(c.sign(c.ints_of("Concat", {c.rows, c.some})));
  EXPECT_FALSE(c.sign(c.ints_of("Sub", {c.rows, c.number(1)})));
  // A sum may overflow.
  EXPECT_FALSE(c.sign(c.ints_of("Add", {c.rows, c.number(1)})));
}

TEST(KnownSign, Comparisons) {
  Case c;
  EXPECT_EQ(c.truth("Less", {c.rows, c.number(0)}), false);
  EXPECT_EQ(c.truth("Less", {c.rows, c.number(1)}), std::nullopt);
  EXPECT_EQ(c.truth("Less", {c.number(-1), c.rows}), true);
  EXPECT_EQ(c.truth("Less", {c.number(0), c.rows}), std::nullopt);
  EXPECT_EQ(c.truth("LessOrEqual", {c.number(0), c.rows}), true);
  EXPECT_EQ(c.truth("LessOrEqual", {c.rows, c.number(-1)}), false);
  EXPECT_EQ(c.truth("LessOrEqual", {c.rows, c.number(0)}), std::nullopt);
  EXPECT_EQ(c.truth("Greater", {c.number(0), c.rows}), false);
  EXPECT_EQ(c.truth("Greater", {c.rows, c.number(-5)}), true);
  EXPECT_EQ(c.truth("GreaterOrEqual", {c.rows, c.number(0)}), true);
  EXPECT_EQ(c.truth("Equal", {c.rows, c.number(-1)}), false);
  EXPECT_EQ(c.truth("Equal", {c.rows, c.number(0)}), std::nullopt);
  EXPECT_EQ(c.truth("Less", {c.some, c.number(0)}), std::nullopt);
  EXPECT_EQ(c.truth("Less", {c.constant(ints({1, 5})), c.number(5)}), std::nullopt);
  EXPECT_EQ(c.truth("Less", {c.constant(ints({1, 5})), c.number(6)}), true);
}

TEST(KnownSign, Connectives) {
  Case c;
  const ValueId yes = c.constant(Tensor::scalar(true));
  const ValueId no = c.constant(Tensor::scalar(false));
  EXPECT_EQ(c.truth("Not", {no}), true);
  EXPECT_EQ(c.truth("Not", {c.mask}), std::nullopt);
  EXPECT_EQ(c.truth("And", {c.mask, no}), false);
  EXPECT_EQ(c.truth("And", {yes, c.mask}), std::nullopt);
  EXPECT_EQ(c.truth("And", {yes, yes}), true);
  EXPECT_EQ(c.truth("Or", {yes, c.mask}), true);
  EXPECT_EQ(c.truth("Or", {no, c.mask}), std::nullopt);
  EXPECT_EQ(c.truth("Or", {no, no}), false);
  EXPECT_EQ(c.truth("Xor", {yes, no}), true);
  EXPECT_EQ(c.truth("Xor", {yes, yes}), false);
  EXPECT_EQ(c.truth("Xor", {c.mask, no}), std::nullopt);
  EXPECT_EQ(known_truth(c.graph, c.constant(Tensor::of<bool>({2}, {true, false}))), std::nullopt);
  EXPECT_EQ(known_truth(c.graph, c.constant(Tensor::of<bool>({0}, {}))), std::nullopt);
}

}  // namespace
}  // namespace lanner::passes::testing
