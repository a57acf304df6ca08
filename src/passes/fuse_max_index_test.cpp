#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

struct Pattern : Builder {
  ValueId x = input("x", "float32[2,7,33]");
  ValueId scores = node("Sigmoid", {x}, {}, "float32[2,7,33]");

  ValueId maximum(I axis, I keep_dims) {
    return node("ReduceMax", {scores, constant(ints({axis}))}, attributes({{"keepdims", keep_dims}}),
                keep_dims != 0 ? "float32[2,1,33]" : "float32[2,33]");
  }
  ValueId place(I axis, I keep_dims, I last = 0) {
    return node("ArgMax", {scores}, attributes({{"axis", axis}, {"keepdims", keep_dims}, {"select_last_index", last}}),
                keep_dims != 0 ? "int64[2,1,33]" : "int64[2,33]");
  }
  Inputs inputs() const { return {numbers({2, 7, 33})}; }
};

TEST(FuseMaxIndex, BothOfScores) {
  for (const I keep_dims : {0, 1}) {
    Pattern p;
    p.output(p.maximum(-2, keep_dims));
    p.output(p.place(1, keep_dims));
    expect_rewrites(p.graph, kFuseMaxIndex, "MaxWithIndex", p.inputs());
    const Node& node = find_node(p.graph, "MaxWithIndex");
    EXPECT_EQ(node.stands_for, (std::vector<std::string>{"Sigmoid", "ReduceMax", "ArgMax"}));
    EXPECT_EQ(node.attributes.get_string("activation", ""), "Sigmoid");
  }
}

TEST(FuseMaxIndex, OneKeepsTheDimension) {
  Pattern p;
  p.output(p.maximum(1, 1));
  p.output(p.place(1, 0));
  expect_rewrites(p.graph, kFuseMaxIndex, "MaxWithIndex Unsqueeze", p.inputs());
  Pattern q;
  q.output(q.maximum(1, 0));
  q.output(q.place(1, 1));
  expect_rewrites(q.graph, kFuseMaxIndex, "MaxWithIndex Squeeze", q.inputs());
}

TEST(FuseMaxIndex, ScoresThatOthersReadStay) {
  Pattern kept;
  kept.output(kept.maximum(1, 1));
  kept.output(kept.place(1, 1));
  kept.output(kept.scores);
  expect_rewrites(kept.graph, kFuseMaxIndex, "Sigmoid MaxWithIndex", kept.inputs());
  Pattern user;
  user.output(user.maximum(1, 1));
  user.output(user.place(1, 1));
  user.output(user.node("Exp", {user.scores}));
  expect_rewrites(user.graph, kFuseMaxIndex, "Sigmoid Exp MaxWithIndex", user.inputs());
  EXPECT_FALSE(find_node(user.graph, "MaxWithIndex").attributes.has("activation"));
}

TEST(FuseMaxIndex, TopKOfOne) {
  Builder b;
  const ValueId x = b.input("x", "float32[2,7,33]");
  for (const ValueId value : b.nodes("TopK", {x, b.constant(ints({1}))}, 2, attributes({{"axis", I{1}}})))
    b.output(value);
  expect_rewrites(b.graph, kFuseMaxIndex, "MaxWithIndex", {numbers({2, 7, 33})});
}

TEST(FuseMaxIndex, DeclinesOtherTopK) {
  Builder b;
  const ValueId x = b.input("x", "float32[2,7,33]");
  b.output(b.nodes("TopK", {x, b.constant(ints({2}))}, 2)[0]);
  b.output(b.nodes("TopK", {x, b.constant(ints({1}))}, 2, attributes({{"largest", I{0}}}))[0]);
  b.output(b.nodes("TopK", {x, b.input("k", "int64[1]")}, 2)[0]);
  expect_declines(b.graph, kFuseMaxIndex);
}

TEST(FuseMaxIndex, DeclinesAnotherAxisAnotherValueAndTheLastPlace) {
  Pattern axis;
  axis.output(axis.maximum(2, 1));
  axis.output(axis.place(1, 1));
  expect_declines(axis.graph, kFuseMaxIndex);
  Pattern value;
  value.output(value.maximum(1, 1));
  value.output(value.node("ArgMax", {value.x}, attributes({{"axis", I{1}}})));
  expect_declines(value.graph, kFuseMaxIndex);
  Pattern last;
  last.output(last.maximum(1, 1));
  last.output(last.place(1, 1, 1));
  expect_declines(last.graph, kFuseMaxIndex, "last of equals");
  Pattern alone;
  alone.output(alone.place(1, 1));
  expect_declines(alone.graph, kFuseMaxIndex);
}

TEST(FuseMaxIndex, DeclinesAnotherType) {
  Builder b;
  const ValueId x = b.input("x", "float64[2,7]");
  b.output(b.node("ReduceMax", {x, b.constant(ints({1}))}));
  b.output(b.node("ArgMax", {x}, attributes({{"axis", I{1}}})));
  expect_declines(b.graph, kFuseMaxIndex);
}

}  // namespace
}  // namespace lanner::passes::testing
