#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

tensor::Attributes perm(std::vector<I> axes) {
  return attributes({{"perm", std::move(axes)}});
}

TEST(CombineTransposes, MergesTwo) {
  Builder builder;
  const ValueId x = builder.input("x", "float32[2,3,4]");
  const ValueId y = builder.node("Transpose", {x}, perm({2, 0, 1}));
  builder.output(builder.node("Transpose", {y}, perm({0, 2, 1})));
  expect_rewrites(builder.graph, kCombineTransposes, "Transpose", {numbers({2, 3, 4})});
}

TEST(CombineTransposes, DropsInversesAndIdentities) {
  Builder builder;
  const ValueId x = builder.input("x", "float32[2,3,4]");
  const ValueId y = builder.node("Transpose", {x}, perm({2, 0, 1}));
  builder.output(builder.node("Exp", {builder.node("Transpose", {y}, perm({1, 2, 0}))}));
  expect_rewrites(builder.graph, kCombineTransposes, "Exp", {numbers({2, 3, 4})});

  Builder identity;
  identity.output(identity.node("Transpose", {identity.input("x", "float32")}, perm({0, 1, 2})));
  expect_rewrites(identity.graph, kCombineTransposes, "", {numbers({2, 3, 4})});
}

TEST(CombineTransposes, ReversesByDefault) {
  Builder builder;
  const ValueId x = builder.input("x", "float32[2,3,4]");
  const ValueId y = builder.node("Transpose", {x}, {}, "float32[4,3,2]");
  builder.output(builder.node("Transpose", {y}));
  expect_rewrites(builder.graph, kCombineTransposes, "", {numbers({2, 3, 4})});
}

TEST(CombineTransposes, KeepsTheFirstForItsOtherUsers) {
  Builder builder;
  const ValueId y = builder.node("Transpose", {builder.input("x", "float32[2,3,4]")}, perm({2, 0, 1}));
  builder.output(y);
  builder.output(builder.node("Transpose", {y}, perm({2, 1, 0})));
  expect_rewrites(builder.graph, kCombineTransposes, "Transpose Transpose", {numbers({2, 3, 4})});
}

TEST(CombineTransposes, DeclinesOneThatMovesSomething) {
  Builder builder;
  builder.output(builder.node("Transpose", {builder.input("x", "float32[2,3]")}, perm({1, 0})));
  expect_declines(builder.graph, kCombineTransposes);
  Builder unranked;
  unranked.output(unranked.node("Transpose", {unranked.input("x", "float32")}));
  expect_declines(unranked.graph, kCombineTransposes);
}

}  // namespace
}  // namespace lanner::passes::testing
