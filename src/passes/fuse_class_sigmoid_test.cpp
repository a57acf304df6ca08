#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

// Two classes of five rows of logits.
struct Pattern : Builder {
  ValueId boxes = input("boxes", "float32[5,4]");
  ValueId logits = input("logits", "float32[1,5,2]");
  ValueId scores = node("Sigmoid", {logits}, {}, "float32[1,5,2]");

  void suppress(ValueId filter_threshold, ValueId score_threshold) {
    Node node =
        make_node("ClassNonMaxSuppression",
                  {boxes, scores, filter_threshold, constant(ints({3})), constant(floats({0.5f})), score_threshold},
                  attributes({{"offsets", std::vector<I>{0, 1}}, {"row_stride", I{2}}}), "lanner");
    node.stands_for = {"NonMaxSuppression", "NonMaxSuppression"};
    for (const ValueId made : add(std::move(node), 4)) output(made);
  }
  Inputs inputs() const { return {numbers({5, 4}), numbers({1, 5, 2}, 3)}; }
};

TEST(FuseClassSigmoid, ScoresInsideTheOperator) {
  for (const bool filters : {true, false}) {
    Pattern p;
    const ValueId threshold = p.constant(floats({0.3f}));
    p.suppress(filters ? threshold : kNoValue, filters ? kNoValue : threshold);
    expect_rewrites(p.graph, kFuseClassSigmoid, "ClassNonMaxSuppression", p.inputs());
    const Node& node = find_node(p.graph, "ClassNonMaxSuppression");
    EXPECT_EQ(node.stands_for, (std::vector<std::string>{"Sigmoid", "NonMaxSuppression", "NonMaxSuppression"}));
    EXPECT_EQ(node.attributes.get_ints("offsets"), (std::vector<I>{0, 1}));
  }
}

TEST(FuseClassSigmoid, DeclinesWithoutAThreshold) {
  Pattern p;
  p.suppress(kNoValue, kNoValue);
  expect_declines(p.graph, kFuseClassSigmoid, "without a threshold");
}

TEST(FuseClassSigmoid, DeclinesScoresThatOthersRead) {
  for (const bool is_output : {true, false}) {
    Pattern p;
    p.suppress(p.constant(floats({0.3f})), kNoValue);
    p.output(is_output ? p.scores : p.node("Neg", {p.scores}));
    expect_declines(p.graph, kFuseClassSigmoid, is_output ? "graph output" : "another user");
  }
}

TEST(FuseClassSigmoid, DeclinesOtherScores) {
  Pattern p;
  p.scores = p.node("HardSigmoid", {p.logits}, {}, "float32[1,5,2]");
  p.suppress(p.constant(floats({0.3f})), kNoValue);
  apply(p.graph, kEliminateDeadCode);
  expect_declines(p.graph, kFuseClassSigmoid);
}

}  // namespace
}  // namespace lanner::passes::testing
