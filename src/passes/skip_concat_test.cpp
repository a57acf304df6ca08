#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

struct Parts : Builder {
  ValueId scalar = input("scalar", "int64[]");
  ValueId single = input("single", "int64[1]");
  ValueId pair = input("pair", "int64[2]");
  ValueId first = node("Unsqueeze", {scalar, constant(ints({0}))}, {}, "int64[1]");
  ValueId all = node("Concat", {first, single, pair}, attributes({{"axis", I{0}}}), "int64[4]");
  Inputs inputs{Tensor::scalar<I>(7), ints({8}), ints({9, 10})};
  ValueId gather(Tensor index) { return node("Gather", {all, constant(std::move(index))}); }
};

TEST(SkipConcat, GathersFromThePart) {
  Parts vector;
  vector.output(vector.gather(ints({1})));
  vector.output(vector.gather(ints({-4})));
  expect_rewrites(vector.graph, kSkipConcat, "Unsqueeze", vector.inputs);

  Parts scalar;
  scalar.output(scalar.gather(Tensor::scalar<I>(0)));
  expect_rewrites(scalar.graph, kSkipConcat, "", scalar.inputs);

  Parts squeezed;
  squeezed.output(squeezed.gather(Tensor::scalar<I>(-3)));
  expect_rewrites(squeezed.graph, kSkipConcat, "Squeeze", squeezed.inputs);
}

TEST(SkipConcat, SlicesFromThePart) {
  Parts parts;
  parts.output(parts.node("Slice", {parts.all, parts.constant(ints({-3})), parts.constant(ints({2}))}));
  expect_rewrites(parts.graph, kSkipConcat, "", parts.inputs);
}

TEST(SkipConcat, DeclinesPartsOfParts) {
  Parts parts;
  parts.output(parts.gather(ints({2})));
  expect_declines(parts.graph, kSkipConcat, "one of 2");
  Parts several;
  several.output(several.gather(ints({0, 1})));
  expect_declines(several.graph, kSkipConcat);
  Parts outside;
  outside.output(outside.gather(ints({4})));
  expect_declines(outside.graph, kSkipConcat);
}

TEST(SkipConcat, DeclinesPartsOfUnknownLength) {
  Builder builder;
  const ValueId all = builder.node("Concat", {builder.input("a", "int64[?]"), builder.input("b", "int64[1]")},
                                   attributes({{"axis", I{0}}}), "int64[?]");
  builder.output(builder.node("Gather", {all, builder.constant(ints({0}))}));
  expect_declines(builder.graph, kSkipConcat);
}

}  // namespace
}  // namespace lanner::passes::testing
