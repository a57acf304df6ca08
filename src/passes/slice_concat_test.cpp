#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

// A Concat of [2,3,5] and [2,4,5] along axis 1, and a Slice of it.
struct Pattern : Builder {
  ValueId joined = node("Concat", {input("x", "float32[2,3,5]"), input("y", "float32[2,4,5]")},
                        attributes({{"axis", I{-2}}}), "float32[2,7,5]");

  ValueId slice(I start, I end, I axis = 1, std::string_view text = "float32[2,?,5]") {
    const ValueId made =
        node("Slice", {joined, constant(ints({start})), constant(ints({end})), constant(ints({axis}))}, {}, text);
    output(node("Exp", {made}));
    return made;
  }
  Inputs inputs() const { return {numbers({2, 3, 5}), numbers({2, 4, 5}, 3)}; }
};

TEST(SliceConcat, ReadsAPart) {
  Pattern first;
  first.slice(0, 3);
  expect_rewrites(first.graph, kSliceConcat, "Exp", first.inputs());
  Pattern last;
  last.slice(-4, 100, -2);
  expect_rewrites(last.graph, kSliceConcat, "Exp", last.inputs());
}

TEST(SliceConcat, ReadsElementsOfAPart) {
  Pattern p;
  p.slice(4, 6, 1, "float32[2,2,5]");
  expect_rewrites(p.graph, kSliceConcat, "Slice Exp", p.inputs());
}

TEST(SliceConcat, EachOfSeveral) {
  Pattern p;
  p.slice(0, 3);
  p.slice(3, 7);
  expect_rewrites(p.graph, kSliceConcat, "Exp Exp", p.inputs());
}

TEST(SliceConcat, DeclinesOverASeam) {
  Pattern p;
  p.slice(2, 4);
  expect_declines(p.graph, kSliceConcat, "several parts");
}

TEST(SliceConcat, DeclinesAnotherAxisAStepAndNothing) {
  Pattern axis;
  axis.slice(0, 3, 2);
  expect_declines(axis.graph, kSliceConcat);
  Pattern empty;
  empty.slice(3, 3);
  expect_declines(empty.graph, kSliceConcat);
  Pattern step;
  step.output(step.node("Slice", {step.joined, step.constant(ints({0})), step.constant(ints({3})),
                                  step.constant(ints({1})), step.constant(ints({2}))}));
  expect_declines(step.graph, kSliceConcat);
  Pattern variable;
  variable.output(variable.node("Slice", {variable.joined, variable.input("start", "int64[1]"),
                                          variable.constant(ints({3})), variable.constant(ints({1}))}));
  expect_declines(variable.graph, kSliceConcat);
}

TEST(SliceConcat, DeclinesPartsOfUnknownSize) {
  Builder b;
  const ValueId joined = b.node("Concat", {b.input("x", "float32[2,?,5]"), b.input("y", "float32[2,4,5]")},
                                attributes({{"axis", I{1}}}), "float32[2,?,5]");
  b.output(b.node("Slice", {joined, b.constant(ints({0})), b.constant(ints({3})), b.constant(ints({1}))}));
  expect_declines(b.graph, kSliceConcat, "not known");
}

}  // namespace
}  // namespace lanner::passes::testing
