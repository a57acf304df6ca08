#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

TEST(EliminateDeadCode, RemovesNodesNobodyReads) {
  Builder builder;
  const ValueId x = builder.input("x", "float32[2]");
  builder.output(builder.node("Neg", {x}));
  builder.node("Exp", {builder.node("Abs", {x})});
  expect_rewrites(builder.graph, kEliminateDeadCode, "Neg", {numbers({2})});
}

TEST(EliminateDeadCode, DropsOutputsNobodyReads) {
  Builder builder;
  const ValueId x = builder.input("x", "float32[4]");
  const std::vector<ValueId> halves = builder.nodes("Split", {x}, 2, attributes({{"num_outputs", I{2}}}));
  builder.output(halves[1]);
  const RuleReport report = apply(builder.graph, kEliminateDeadCode);
  ASSERT_EQ(report.firings.size(), 1u);
  EXPECT_THAT(report.firings[0].where, ::testing::HasSubstr("output 'Split_1.0'"));
  EXPECT_EQ(find_node(builder.graph, "Split").outputs[0], kNoValue);
  EXPECT_EQ(find_node(builder.graph, "Split").outputs[1], halves[1]);
}

TEST(EliminateDeadCode, NestedGraphsTakeOnlyWhatTheyNeed) {
  // Of four captures one is used by both branches, one comes twice, one is a constant and one is not read.
  Builder builder;
  const ValueId x = builder.input("x", "float32[2]");
  const ValueId unread = builder.input("unread", "float32[2]");
  const ValueId constant = builder.constant(floats({3, 4}));
  Node node = make_node("If", {builder.input("condition", "bool[]"), x, unread, constant, x});
  node.capture_count = 4;
  for (const char* key : {"then_branch", "else_branch"}) {
    Builder branch;
    const ValueId a = branch.input("a", "float32[2]");
    branch.input("b", "float32[2]");
    const ValueId c = branch.input("c", "float32[2]");
    const ValueId d = branch.input("d", "float32[2]");
    branch.output(branch.node("Add", {branch.node("Mul", {a, c}), d}));
    node.graphs.emplace_back(key, std::make_unique<Graph>(std::move(branch.graph)));
  }
  builder.output(builder.add(std::move(node), 1)[0]);
  expect_rewrites(builder.graph, kEliminateDeadCode, "If", {numbers({2}), numbers({2}), Tensor::scalar<bool>(true)});
  const Node& after = find_node(builder.graph, "If");
  EXPECT_EQ(after.capture_count, 1);
  EXPECT_THAT(after.inputs, ::testing::SizeIs(2));
  EXPECT_THAT(after.graphs[0].second->inputs(), ::testing::SizeIs(1));
}

TEST(EliminateDeadCode, LoopKeepsItsOwnInputs) {
  Builder builder;
  const ValueId x = builder.input("x", "float32[2]");
  Node loop = make_node("Loop", {builder.constant(Tensor::scalar<I>(3)), kNoValue, x, x});
  loop.capture_count = 1;
  Builder body;
  body.input("i", "int64[]");
  const ValueId goes_on = body.input("goes_on", "bool[]");
  const ValueId carried = body.input("carried", "float32[2]");
  const ValueId captured = body.input("captured", "float32[2]");
  body.output(goes_on);
  body.output(body.node("Add", {carried, captured}));
  loop.graphs.emplace_back("body", std::make_unique<Graph>(std::move(body.graph)));
  builder.output(builder.add(std::move(loop), 1)[0]);
  // The capture is the same value as the carried one's start, but not the same thing.
  expect_declines(builder.graph, kEliminateDeadCode);
}

}  // namespace
}  // namespace lanner::passes::testing
