#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

TEST(EliminateCommonSubexpressions, MergesWholeChains) {
  Builder builder;
  const ValueId x = builder.input("x", "float32[2,3]");
  std::vector<ValueId> ends;
  for (int i = 0; i < 2; ++i) {
    const ValueId y = builder.node("Add", {x, builder.constant(floats({1, 2, 3}))});  // equal constants
    ends.push_back(builder.node("Transpose", {y}, attributes({{"perm", std::vector<I>{1, 0}}})));
  }
  builder.output(builder.node("Mul", {ends[0], ends[1]}));
  expect_rewrites(builder.graph, kEliminateCommonSubexpressions, "Add Transpose Mul", {numbers({2, 3})});
}

TEST(EliminateCommonSubexpressions, BothMayBeOutputs) {
  Builder builder;
  const ValueId x = builder.input("x", "float32[2]");
  builder.output(builder.node("Neg", {x}));
  builder.output(builder.node("Neg", {x}));
  expect_rewrites(builder.graph, kEliminateCommonSubexpressions, "Neg", {numbers({2})});
}

TEST(EliminateCommonSubexpressions, KeepsWhatDiffers) {
  Builder builder;
  const ValueId x = builder.input("x", "float32[2,2]");
  const ValueId y = builder.input("y", "float32[2,2]");
  builder.output(builder.node("Sub", {x, y}));
  builder.output(builder.node("Sub", {y, x}));
  builder.output(builder.node("Add", {x, builder.constant(floats({0, 1}))}));
  builder.output(builder.node("Add", {x, builder.constant(floats({-0.0f, 1}))}));
  builder.output(builder.node("Add", {x, builder.constant(ints({0, 1}))}));
  builder.output(builder.node("Softmax", {x}, attributes({{"axis", I{0}}})));
  builder.output(builder.node("Softmax", {x}, attributes({{"axis", I{1}}})));
  builder.output(builder.add(make_node("Neg", {x}, {}, "example.com"), 1)[0]);
  builder.output(builder.node("Neg", {x}));
  expect_declines(builder.graph, kEliminateCommonSubexpressions);
}

TEST(EliminateCommonSubexpressions, KeepsRandomNodesAndControlFlow) {
  Builder builder;
  const ValueId condition = builder.input("condition", "bool[]");
  for (int i = 0; i < 2; ++i) {
    builder.output(builder.node("RandomNormal", {}, attributes({{"shape", std::vector<I>{2}}})));
    Node node = make_node("If", {condition});
    for (const char* key : {"then_branch", "else_branch"}) {
      Builder branch;
      branch.output(branch.node("RandomNormal", {}, attributes({{"shape", std::vector<I>{2}}})));
      node.graphs.emplace_back(key, std::make_unique<Graph>(std::move(branch.graph)));
    }
    builder.output(builder.add(std::move(node), 1)[0]);
  }
  expect_declines(builder.graph, kEliminateCommonSubexpressions);
}

}  // namespace
}  // namespace lanner::passes::testing
