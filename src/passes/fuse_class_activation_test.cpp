#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

// Two classes of five rows of logits, after a column for the background.
struct Pattern : Builder {
  ValueId boxes = input("boxes", "float32[5,4]");
  ValueId logits = input("logits", "float32[1,5,3]");
  ValueId scores;

  explicit Pattern(std::string_view activation, tensor::Attributes settings = {})
      : scores(node(activation, {logits}, std::move(settings), "float32[1,5,3]")) {}

  void suppress(ValueId filter_threshold, ValueId score_threshold, I row_stride = 3) {
    add_outputs(
        make_node("ClassNonMaxSuppression",
                  {boxes, scores, filter_threshold, constant(ints({3})), constant(floats({0.5f})), score_threshold},
                  attributes({{"offsets", std::vector<I>{1, 2}}, {"row_stride", row_stride}}), "lanner"),
        "NonMaxSuppression", 4);
  }
  void best(ValueId filter_threshold, I row_count = 5, I row_axis = 1) {
    add_outputs(make_node("ClassTopK", {scores, filter_threshold, constant(ints({3}))},
                          attributes({{"offsets", std::vector<I>{1, 2}},
                                      {"row_stride", I{3}},
                                      {"row_count", row_count},
                                      {"row_axis", row_axis}}),
                          "lanner"),
                "TopK", 3);
  }
  void add_outputs(Node made, const char* op, int count) {
    made.stands_for = {op, op};
    for (const ValueId value : add(std::move(made), count)) output(value);
  }
  Inputs inputs() const { return {numbers({5, 4}), numbers({1, 5, 3}, 3)}; }
};

TEST(FuseClassActivation, ScoresInsideSuppression) {
  for (const char* activation : {"Sigmoid", "Softmax"}) {
    for (const bool filters : {true, false}) {
      Pattern p(activation);
      const ValueId threshold = p.constant(floats({0.3f}));
      p.suppress(filters ? threshold : kNoValue, filters ? kNoValue : threshold);
      expect_rewrites(p.graph, kFuseClassActivation, "ClassNonMaxSuppression", p.inputs());
      const Node& node = find_node(p.graph, "ClassNonMaxSuppression");
      EXPECT_EQ(node.stands_for, (std::vector<std::string>{activation, "NonMaxSuppression", "NonMaxSuppression"}));
      EXPECT_EQ(node.attributes.get_ints("offsets"), (std::vector<I>{1, 2}));
    }
  }
}

TEST(FuseClassActivation, ScoresInsideTopK) {
  for (const char* activation : {"Sigmoid", "Softmax"}) {
    for (const I row_count : {5, -1}) {
      Pattern p(activation);
      p.best(p.constant(floats({0.3f})), row_count);
      expect_rewrites(p.graph, kFuseClassActivation, "ClassTopK", p.inputs());
      EXPECT_EQ(find_node(p.graph, "ClassTopK").attributes.get_string("activation", ""), activation);
    }
  }
}

TEST(FuseClassActivation, DeclinesWithoutAThreshold) {
  Pattern p("Sigmoid");
  p.suppress(kNoValue, kNoValue);
  expect_declines(p.graph, kFuseClassActivation, "without a threshold");
  Pattern q("Softmax");
  q.best(kNoValue);
  expect_declines(q.graph, kFuseClassActivation, "without a threshold");
}

TEST(FuseClassActivation, DeclinesScoresThatOthersRead) {
  for (const bool is_output : {true, false}) {
    Pattern p("Sigmoid");
    p.suppress(p.constant(floats({0.3f})), kNoValue);
    p.output(is_output ? p.scores : p.node("Neg", {p.scores}));
    expect_declines(p.graph, kFuseClassActivation, is_output ? "graph output" : "another user");
  }
}

TEST(FuseClassActivation, DeclinesOtherScores) {
  Pattern p("HardSigmoid");
  p.suppress(p.constant(floats({0.3f})), kNoValue);
  expect_declines(p.graph, kFuseClassActivation);
}

TEST(FuseClassActivation, DeclinesASoftmaxOverRows) {
  Pattern p("Softmax", attributes({{"axis", I{1}}}));
  p.suppress(p.constant(floats({0.3f})), kNoValue);
  expect_declines(p.graph, kFuseClassActivation, "last axis");
}

// Rows that are other rows than those of the Softmax.
TEST(FuseClassActivation, DeclinesClassesThatAreNotItsColumns) {
  Pattern p("Softmax");
  p.suppress(p.constant(floats({0.3f})), kNoValue, 1);
  expect_declines(p.graph, kFuseClassActivation, "columns");
  for (const auto& [row_count, row_axis] : {std::pair<I, I>{4, 1}, {-1, 0}}) {
    Pattern q("Softmax");
    q.best(q.constant(floats({0.3f})), row_count, row_axis);
    expect_declines(q.graph, kFuseClassActivation, "columns");
  }
}

}  // namespace
}  // namespace lanner::passes::testing
