#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

TEST(FoldConstants, RunsWhatReadsOnlyConstants) {
  Builder builder;
  const ValueId sum = builder.node("Add", {builder.constant(floats({1, 2})), builder.constant(floats({3}))});
  builder.output(builder.node("Mul", {builder.input("x", "float32[2]"), sum}));
  expect_rewrites(builder.graph, kFoldConstants, "Mul", {numbers({2})});
}

TEST(FoldConstants, LeavesTheSharedConstantAlone) {
  Builder builder;
  const ValueId shared = builder.constant(floats({1, 2}));
  builder.output(builder.node("Neg", {shared}));
  builder.output(builder.node("Mul", {builder.input("x", "float32[2]"), shared}));
  expect_rewrites(builder.graph, kFoldConstants, "Mul", {numbers({2})});
}

TEST(FoldConstants, FoldsAGraphOutput) {
  Builder builder;
  builder.input("x", "float32[2]");
  builder.output(builder.node("Neg", {builder.constant(floats({1, 2}))}));
  expect_rewrites(builder.graph, kFoldConstants, "", {numbers({2})});
}

TEST(FoldConstants, LeavesWhatFailsToRunTime) {
  Builder builder;
  builder.output(builder.node("Reshape", {builder.constant(floats({1, 2})), builder.constant(ints({3}))}));
  expect_declines(builder.graph, kFoldConstants, "left for run time");
}

TEST(FoldConstants, LeavesWhatIsRandomUnknownOrLarge) {
  Builder random;
  random.output(random.node("RandomNormal", {}, attributes({{"shape", std::vector<I>{2}}})));
  expect_declines(random.graph, kFoldConstants, "is random");

  Builder unknown;
  Node foreign = make_node("Add", {unknown.constant(floats({1})), unknown.constant(floats({1}))}, {}, "example.com");
  unknown.output(unknown.add(std::move(foreign), 1)[0]);
  expect_declines(unknown.graph, kFoldConstants, "has no kernel");

  Builder large;
  large.output(large.node("Expand", {large.constant(floats({1})), large.constant(ints({1 << 20, 1 << 20}))}));
  expect_declines(large.graph, kFoldConstants, "over the limit");
}

TEST(FoldConstants, LeavesWhatReadsAnInput) {
  Builder builder;
  builder.output(builder.node("Add", {builder.input("x", "float32[2]"), builder.constant(floats({1, 2}))}));
  expect_declines(builder.graph, kFoldConstants);
}

}  // namespace
}  // namespace lanner::passes::testing
