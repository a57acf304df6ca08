#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

TEST(FoldEmpty, WhateverMadeIt) {
  Builder b;
  const ValueId x = b.input("x", "float32[2,3]");
  b.output(
      b.node("Slice", {x, b.constant(ints({3})), b.constant(ints({9})), b.constant(ints({1}))}, {}, "float32[2,0]"));
  b.output(b.node("Exp", {x}, {}, "float32[2,3]"));
  expect_rewrites(b.graph, kFoldEmpty, "Exp", {numbers({2, 3})});
}

TEST(FoldEmpty, AllOutputsOfANode) {
  Builder b;
  const ValueId x = b.input("x", "int64[0,4]");
  for (const ValueId part :
       b.nodes("Split", {x}, 2, attributes({{"axis", I{1}}, {"num_outputs", I{2}}}), "int64[0,2]")) {
    b.output(part);
  }
  expect_rewrites(b.graph, kFoldEmpty, "", {Tensor::allocate(ElementType::kInt64, {0, 4})});
}

TEST(FoldEmpty, DeclinesWhatMayHaveElements) {
  Builder b;
  const ValueId x = b.input("x", "float32[2,4]");
  b.output(b.node("Exp", {x}, {}, "float32[?,0]"));
  b.output(b.node("Exp", {x}, {}, "float32[2,?]"));
  b.output(b.node("Exp", {x}, {}, "float32"));
  b.output(b.node("Exp", {x}));
  expect_declines(b.graph, kFoldEmpty);
  Builder some;
  const std::vector<ValueId> parts = some.add(
      make_node("Split", {some.input("x", "float32[2,4]"), some.constant(ints({0, 4}))}, attributes({{"axis", I{1}}})),
      2, "float32[2,0]");
  some.graph.set_type(parts[1], type("float32[2,4]"));
  for (const ValueId part : parts) some.output(part);
  expect_declines(some.graph, kFoldEmpty);
}

}  // namespace
}  // namespace lanner::passes::testing
