#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

// If(condition) then { Neg(x) + 1, x } else { x * 2, constant }, twice nested names on purpose.
ValueId add_if(Builder& builder, ValueId condition, ValueId x, std::vector<ValueId>& outputs) {
  Builder then_branch;
  const ValueId a = then_branch.input("x", "float32[2]");
  then_branch.output(then_branch.node("Add", {then_branch.node("Neg", {a}), then_branch.constant(floats({1, 1}))}));
  then_branch.output(a);
  Builder else_branch;
  const ValueId b = else_branch.input("x", "float32[2]");
  else_branch.output(else_branch.node("Mul", {b, else_branch.constant(floats({2, 2}))}));
  else_branch.output(else_branch.constant(floats({5, 6})));
  Node node = make_node("If", {condition, x});
  node.capture_count = 1;
  node.graphs.emplace_back("then_branch", std::make_unique<Graph>(std::move(then_branch.graph)));
  node.graphs.emplace_back("else_branch", std::make_unique<Graph>(std::move(else_branch.graph)));
  outputs = builder.add(std::move(node), 2);
  return outputs[0];
}

TEST(InlineIf, TakesTheBranchOfAConstantCondition) {
  for (const bool condition : {true, false}) {
    Builder builder;
    std::vector<ValueId> made;
    add_if(builder, builder.constant(Tensor::scalar<bool>(condition)), builder.input("x", "float32[2]"), made);
    builder.output(made[0]);
    builder.output(made[1]);
    expect_rewrites(builder.graph, kInlineIf, condition ? "Neg Add" : "Mul", {numbers({2})});
    const Node& inlined = find_node(builder.graph, condition ? "Add" : "Mul");
    EXPECT_THAT(inlined.stands_for, ::testing::ElementsAre(inlined.op));
    EXPECT_EQ(inlined.made_by, "inline-if");
  }
}

TEST(InlineIf, OfAnIfInABranch) {
  Builder branch;
  std::vector<ValueId> made;
  add_if(branch, branch.constant(Tensor::scalar<bool>(true)), branch.input("x", "float32[2]"), made);
  branch.output(made[0]);
  Builder other;
  other.output(other.input("x", "float32[2]"));
  Builder builder;
  Node node = make_node("If", {builder.input("condition", "bool[]"), builder.input("x", "float32[2]")});
  node.capture_count = 1;
  node.graphs.emplace_back("then_branch", std::make_unique<Graph>(std::move(branch.graph)));
  node.graphs.emplace_back("else_branch", std::make_unique<Graph>(std::move(other.graph)));
  builder.output(builder.add(std::move(node), 1)[0]);
  expect_rewrites(builder.graph, kInlineIf, "If", {Tensor::scalar<bool>(true), numbers({2})});
  EXPECT_EQ(ops(*find_node(builder.graph, "If").graphs[0].second), "Neg Add");
}

TEST(InlineIf, DeclinesAConditionOfRunTime) {
  Builder builder;
  std::vector<ValueId> made;
  builder.output(add_if(builder, builder.input("condition", "bool[]"), builder.input("x", "float32[2]"), made));
  expect_declines(builder.graph, kInlineIf);
}

}  // namespace
}  // namespace lanner::passes::testing
