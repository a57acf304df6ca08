#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

struct Pattern : Builder {
  ValueId turned = node("Transpose", {input("x", "float32[2,7,5]")}, attributes({{"perm", std::vector<I>{0, 2, 1}}}),
                        "float32[2,5,7]");

  void slice(I start, I end, std::string_view text, I axis = 2) {
    output(node("Slice", {turned, constant(ints({start})), constant(ints({end})), constant(ints({axis}))}, {}, text));
  }
  Inputs inputs() const { return {numbers({2, 7, 5})}; }
};

TEST(SliceTranspose, SlicesFirst) {
  Pattern p;
  p.slice(0, 4, "float32[2,5,4]");
  p.slice(4, 7, "float32[2,5,3]", -1);
  expect_rewrites(p.graph, kSliceTranspose, "Slice Transpose Slice Transpose", p.inputs());
}

TEST(SliceTranspose, AxesByDefaultAndSteps) {
  Builder b;
  const ValueId turned = b.node("Transpose", {b.input("x", "float32[6,7,5]")}, {}, "float32[5,7,6]");
  b.output(b.node("Slice", {turned, b.constant(ints({1, 2})), b.constant(ints({4, 6}))}, {}, "float32[3,4,6]"));
  expect_rewrites(b.graph, kSliceTranspose, "Slice Transpose", {numbers({6, 7, 5})});
  Builder steps;
  const ValueId other = steps.node("Transpose", {steps.input("x", "float32[6,7]")}, {}, "float32[7,6]");
  steps.output(steps.node("Slice",
                          {other, steps.constant(ints({-1})), steps.constant(ints({-100})), steps.constant(ints({0})),
                           steps.constant(ints({-2}))},
                          {}, "float32[4,6]"));
  expect_rewrites(steps.graph, kSliceTranspose, "Slice Transpose", {numbers({6, 7})});
}

TEST(SliceTranspose, DeclinesWhatWouldMoveMore) {
  Pattern overlapping;
  overlapping.slice(0, 6, "float32[2,5,6]");
  overlapping.slice(1, 7, "float32[2,5,6]");
  expect_declines(overlapping.graph, kSliceTranspose, "all of the transposed");
  Pattern kept;
  kept.slice(0, 4, "float32[2,5,4]");
  kept.output(kept.turned);
  expect_declines(kept.graph, kSliceTranspose, "all of the transposed");
  Pattern user;
  user.slice(0, 4, "float32[2,5,4]");
  user.output(user.node("Exp", {user.turned}));
  expect_declines(user.graph, kSliceTranspose, "no Slice");
}

TEST(SliceTranspose, DeclinesAxesThatAreNotConstant) {
  Pattern p;
  p.output(p.node("Slice", {p.turned, p.constant(ints({0})), p.constant(ints({4})), p.input("axes", "int64[1]")}, {},
                  "float32[2,5,4]"));
  expect_declines(p.graph, kSliceTranspose);
}

}  // namespace
}  // namespace lanner::passes::testing
