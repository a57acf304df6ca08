#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

tensor::Attributes perm(std::vector<I> axes) {
  return attributes({{"perm", std::move(axes)}});
}

TEST(AbsorbTransposes, MaximumOfClasses) {
  for (const I axis : {2, -1}) {
    Builder b;
    const ValueId turned = b.node("Transpose", {b.input("x", "float32[1,7,33]")}, perm({0, 2, 1}), "float32[1,33,7]");
    b.output(
        b.node("ReduceMax", {turned, b.constant(ints({axis}))}, attributes({{"keepdims", I{0}}}), "float32[1,33]"));
    b.output(b.node("ArgMax", {turned}, attributes({{"axis", axis}, {"keepdims", I{0}}}), "int64[1,33]"));
    expect_rewrites(b.graph, kAbsorbTransposes, "ReduceMax ArgMax", {numbers({1, 7, 33})});
  }
}

TEST(AbsorbTransposes, KeptDimensionsOfOneAreAReshape) {
  Builder b;
  const ValueId turned = b.node("Transpose", {b.input("x", "float32[1,7,33]")}, perm({0, 2, 1}), "float32[1,33,7]");
  b.output(b.node("ReduceMin", {turned, b.constant(ints({2}))}, {}, "float32[1,33,1]"));
  expect_rewrites(b.graph, kAbsorbTransposes, "ReduceMin Reshape", {numbers({1, 7, 33})});
}

TEST(AbsorbTransposes, WhatIsLeftIsTransposedWhereItsOrderDiffers) {
  for (const I keep_dims : {0, 1}) {
    Builder b;
    const ValueId turned =
        b.node("Transpose", {b.input("x", "float32[3,7,4,5]")}, perm({3, 2, 1, 0}), "float32[5,4,7,3]");
    b.output(b.node("ReduceMax", {turned, b.constant(ints({2}))}, attributes({{"keepdims", keep_dims}}),
                    keep_dims != 0 ? "float32[5,4,1,3]" : "float32[5,4,3]"));
    expect_rewrites(b.graph, kAbsorbTransposes, "ReduceMax Transpose", {numbers({3, 7, 4, 5})});
  }
}

TEST(AbsorbTransposes, SeveralOutputs) {
  Builder b;
  const ValueId turned = b.node("Transpose", {b.input("x", "float32[2,7,33]")}, perm({2, 0, 1}), "float32[33,2,7]");
  for (const ValueId value :
       b.add(make_node("MaxWithIndex", {turned}, attributes({{"axis", I{2}}, {"keepdims", I{0}}}), "lanner"), 2)) {
    b.output(value);
  }
  expect_rewrites(b.graph, kAbsorbTransposes, "MaxWithIndex Transpose Transpose", {numbers({2, 7, 33})});
}

TEST(AbsorbTransposes, Expectation) {
  Builder b;
  const ValueId turned =
      b.node("Transpose", {b.input("x", "float32[1,4,3,20]")}, perm({0, 2, 1, 3}), "float32[1,3,4,20]");
  b.output(
      b.add(make_node("Expectation", {turned, b.constant(floats({1, 2, 3}))}, attributes({{"axis", I{1}}}), "lanner"),
            1, "float32[1,1,4,20]")[0]);
  expect_rewrites(b.graph, kAbsorbTransposes, "Expectation Reshape", {numbers({1, 4, 3, 20})});
}

TEST(AbsorbTransposes, TheTransposeMayHaveOtherUsers) {
  Builder b;
  const ValueId turned = b.node("Transpose", {b.input("x", "float32[1,7,33]")}, perm({0, 2, 1}), "float32[1,33,7]");
  b.output(turned);
  b.output(b.node("ArgMax", {turned}, attributes({{"axis", I{2}}, {"keepdims", I{0}}}), "int64[1,33]"));
  expect_rewrites(b.graph, kAbsorbTransposes, "Transpose ArgMax", {numbers({1, 7, 33})});
}

TEST(AbsorbTransposes, DeclinesWithoutNeighbours) {
  Builder few;
  const ValueId turned = few.node("Transpose", {few.input("x", "float32[33,7,4]")}, perm({0, 2, 1}), "float32[33,4,7]");
  few.output(few.node("ArgMax", {turned}, attributes({{"axis", I{2}}})));
  expect_declines(few.graph, kAbsorbTransposes, "neighbours");
  Builder unknown;
  const ValueId other = unknown.node("Transpose", {unknown.input("x", "float32[1,7,?]")}, perm({0, 2, 1}));
  unknown.output(unknown.node("ArgMax", {other}, attributes({{"axis", I{2}}})));
  expect_declines(unknown.graph, kAbsorbTransposes, "neighbours");
}

TEST(AbsorbTransposes, DeclinesSumsAndUnknownAxes) {
  Builder sum;
  const ValueId turned = sum.node("Transpose", {sum.input("x", "float32[7,33]")}, {}, "float32[33,7]");
  sum.output(sum.node("ReduceSum", {turned, sum.constant(ints({1}))}));
  expect_declines(sum.graph, kAbsorbTransposes);
  Builder variable;
  const ValueId other = variable.node("Transpose", {variable.input("x", "float32[7,33]")}, {}, "float32[33,7]");
  variable.output(variable.node("ReduceMax", {other, variable.input("axes", "int64[1]")}));
  expect_declines(variable.graph, kAbsorbTransposes);
  Builder all;
  const ValueId third = all.node("Transpose", {all.input("x", "float32[7,33]")}, {}, "float32[33,7]");
  all.output(all.node("ReduceMax", {third}));
  expect_declines(all.graph, kAbsorbTransposes);
}

}  // namespace
}  // namespace lanner::passes::testing
