#include "passes/head_testing.h"

namespace lanner::passes::testing {
namespace {

constexpr std::string_view kOne = "ClassNonMaxSuppression";

void expect_declines_head(const HeadOptions& options, std::string_view reason) {
  Head head(options, 0);
  head.meet();
  head.infer();
  expect_declines(head.graph, kBatchClassNms, reason);
}

TEST(BatchClassNms, BatchesAPlainHead) {
  Head head({}, 0);
  head.meet();
  head.infer();
  expect_batches(head, kBatchClassNms);
  // All that meets is an output of the one operator.
  EXPECT_EQ(ops(head.graph), kOne);
  const Node& made = find_node(head.graph, kOne);
  EXPECT_EQ(made.stands_for, std::vector<std::string>(3, "NonMaxSuppression"));
  EXPECT_EQ(made.attributes.get_ints("offsets"), (std::vector<I>{0, 1, 2}));
  EXPECT_EQ(made.attributes.require_int("row_stride"), 3);
}

// Thousands of cases: every seed is another spelling, run on eleven kinds of inputs.
TEST(BatchClassNms, IsExactHoweverTheHeadIsSpelled) {
  for (unsigned seed = 1; seed <= 400; ++seed) {
    SCOPED_TRACE(seed);
    Draw draw(seed * 977);
    HeadOptions options;
    options.anchors = 2 + draw.of(20);
    options.classes = 2 + draw.of(6);
    options.background = draw.of(3);
    options.filter = draw.of(4) != 0;
    options.threshold_input = options.filter && draw.of(3) == 0;
    options.limit = draw.of(8);
    options.capped = draw.coin();
    options.iou = static_cast<float>(draw.of(4)) / 4;
    Head head(options, seed);
    head.meet();
    head.infer();
    expect_batches(head, kBatchClassNms);
    EXPECT_EQ(count_ops(head.graph, "NonMaxSuppression"), 0);
    EXPECT_EQ(count_ops(head.graph, "NonZero"), 0);
    ASSERT_FALSE(HasFailure());
  }
}

TEST(BatchClassNms, AnyNumberOfClasses) {
  for (const int classes : {2, 90, 1203}) {
    HeadOptions options;
    options.classes = classes;
    options.background = 1;
    Head head(options, 0);
    head.meet();
    head.infer();
    const Graph before = head.graph;
    EXPECT_EQ(apply(head.graph, kBatchClassNms).firings.size(), 1u);
    EXPECT_EQ(find_node(head.graph, kOne).stands_for.size(), static_cast<std::size_t>(classes));
    const auto expected = run_graph(before, head.inputs(1, 5));
    const auto actual = run_graph(head.graph, head.inputs(1, 5));
    for (std::size_t i = 0; i < actual.size(); ++i) expect_same(expected[i], actual[i]);
  }
}

TEST(BatchClassNms, TheFirstOfWhatWasKept) {
  Head head({.limit = 9}, 0);
  std::vector<ValueId> parts;
  for (const Head::Result& result : head.results) {
    parts.push_back(head.node("Slice", {result.rows, head.constant(ints({0})), head.constant(ints({2}))}));
  }
  head.output(head.node("Concat", parts, attributes({{"axis", I{0}}})));
  head.infer();
  expect_batches(head, kBatchClassNms);
}

TEST(BatchClassNms, AnUnknownNumberOfAnchors) {
  for (const bool filter : {true, false}) {
    Head head({.open = true, .filter = filter}, 0);
    head.meet();
    head.infer();
    expect_batches(head, kBatchClassNms);
    EXPECT_EQ(ops(head.graph), kOne);
  }
}

// As TensorFlow's NonMaxSuppressionV5 is exported.
TEST(BatchClassNms, ResultsPaddedToOneLength) {
  for (unsigned seed = 0; seed <= 100; ++seed) {
    SCOPED_TRACE(seed);
    Draw draw(seed * 331);
    HeadOptions options;
    options.anchors = 4 + draw.of(20);
    options.classes = 2 + draw.of(4);
    options.filter = draw.coin();
    options.limit = draw.of(6);
    options.padded = 2 + options.limit + draw.of(2);
    Head head(options, seed);
    head.meet();
    head.infer();
    apply(head.graph, kEliminateDeadCode);
    EXPECT_GE(apply(head.graph, kFoldPickedShapes).firings.size(), 1u);
    expect_batches(head, kBatchClassNms);
    EXPECT_EQ(count_ops(head.graph, "NonMaxSuppression"), 0);
    ASSERT_FALSE(HasFailure());
  }
}

// Where more may be kept than there is room for, the padding fails; so it must.
TEST(BatchClassNms, DeclinesTooLittleRoom) {
  Head head({.limit = 5, .padded = 4}, 0);
  head.meet();
  EXPECT_TRUE(apply(head.graph, kFoldPickedShapes).firings.empty());
  EXPECT_TRUE(apply(head.graph, kBatchClassNms).firings.empty());
}

TEST(BatchClassNms, OneThatDiffersStays) {
  for (const int odd : {0, 2, 4}) {
    HeadOptions options;
    options.classes = 5;
    options.ious = std::vector<float>(5, 0.5f);
    options.ious[static_cast<std::size_t>(odd)] = 0.25f;
    Head head(options, 0);
    head.meet();
    head.infer();
    expect_batches(head, kBatchClassNms);
    EXPECT_EQ(count_ops(head.graph, "NonMaxSuppression"), 1);
    EXPECT_EQ(count_ops(head.graph, kOne), odd == 2 ? 2 : 1);
  }
}

TEST(BatchClassNms, OneWithAnotherBaseStays) {
  HeadOptions options;
  options.classes = 4;
  options.own_scores = {false, false, false, true};
  Head head(options, 0);
  head.meet();
  head.infer();
  expect_batches(head, kBatchClassNms);
  EXPECT_EQ(count_ops(head.graph, "NonMaxSuppression"), 1);
}

TEST(BatchClassNms, SiblingsThatAreMissingOrForeign) {
  Head head({.classes = 5}, 0);
  head.results.erase(head.results.begin() + 2);
  std::vector<ValueId> parts;
  for (const Head::Result& result : head.results) parts.push_back(result.scores);
  parts.push_back(head.constant(floats({0.5f})));
  head.output(head.node("Concat", parts, attributes({{"axis", I{0}}})));
  head.infer();
  expect_batches(head, kBatchClassNms);
  EXPECT_EQ(find_node(head.graph, kOne).attributes.get_ints("offsets"), (std::vector<I>{0, 1, 3, 4}));
}

TEST(BatchClassNms, OneOfManyIsAlsoReadElsewhere) {
  Head head({.classes = 5}, 0);
  head.meet();
  head.output(head.results[1].scores);
  head.infer();
  expect_batches(head, kBatchClassNms);
  EXPECT_EQ(count_ops(head.graph, "NonMaxSuppression"), 1);
}

TEST(BatchClassNms, DeclinesWhenMostAreReadElsewhere) {
  for (const bool is_output : {true, false}) {
    Head head({}, 0);
    head.meet();
    for (const Head::Result& result : head.results) {
      head.output(is_output ? result.scores : head.node("Neg", {result.scores}));
    }
    head.infer();
    expect_declines(head.graph, kBatchClassNms, "needed elsewhere");
  }
}

TEST(BatchClassNms, DeclinesDifferentSiblings) {
  expect_declines_head({.classes = 2, .thresholds = {0.5f, 0.25f}}, "siblings filter by different scores");
  expect_declines_head({.classes = 2, .ious = {0.5f, 0.25f}}, "different overlap thresholds");
  expect_declines_head({.classes = 2, .limits = {3, 4}}, "different numbers of boxes");
  expect_declines_head({.classes = 2, .own_boxes = {false, true}}, "boxes of their own");
  expect_declines_head({.classes = 2, .own_scores = {false, true}}, "not columns of one value");
}

TEST(BatchClassNms, DeclinesOtherFilters) {
  expect_declines_head({.filter_op = "GreaterOrEqual"}, "not understood");
}

TEST(BatchClassNms, DeclinesASingleOne) {
  Head head({.classes = 1}, 0);
  head.meet();
  head.infer();
  expect_declines(head.graph, kBatchClassNms);
}

// Boxes that the siblings pick from a list per class are no part of a shared value.
TEST(BatchClassNms, DeclinesResultsOfTheirOwn) {
  Head head({}, 0);
  std::vector<ValueId> parts;
  for (const Head::Result& result : head.results) parts.push_back(head.node("Exp", {result.boxes}));
  head.output(head.node("Concat", parts, attributes({{"axis", I{0}}})));
  head.infer();
  expect_declines(head.graph, kBatchClassNms, "does not meet");
}

}  // namespace
}  // namespace lanner::passes::testing
