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

// Three levels, joined.
struct Levels : Builder {
  std::vector<ValueId> levels{input("a", "float32[1,4,2]"), input("b", "float32[1,2,2]"), input("c", "float32[1,1,2]")};
  ValueId all = node("Concat", levels, attributes({{"axis", I{1}}}), "float32[1,7,2]");

  void split(std::initializer_list<I> sizes, I axis) {
    const auto parts =
        nodes("Split", {all, constant(ints(sizes))}, static_cast<int>(sizes.size()), attributes({{"axis", axis}}));
    for (const ValueId part : parts) output(node("Neg", {part}));
  }
  Inputs inputs() const { return {numbers({1, 4, 2}), numbers({1, 2, 2}, 2), numbers({1, 1, 2}, 3)}; }
};

TEST(SkipConcat, SplitsIntoWhatWasJoined) {
  for (const I axis : {1, -2}) {
    Levels p;
    p.split({4, 2, 1}, axis);
    expect_rewrites(p.graph, kSkipConcat, "Neg Neg Neg", p.inputs());
  }
  Builder equal;
  const std::vector<ValueId> parts{equal.input("a", "float32[2]"), equal.input("b", "float32[2]")};
  const ValueId all = equal.node("Concat", parts, attributes({{"axis", I{0}}}), "float32[4]");
  for (const ValueId part : equal.nodes("Split", {all}, 2, attributes({{"num_outputs", I{2}}}))) {
    equal.output(equal.node("Neg", {part}));
  }
  expect_rewrites(equal.graph, kSkipConcat, "Neg Neg", {numbers({2}), numbers({2}, 2)});
}

TEST(SkipConcat, DeclinesOtherSplits) {
  Levels sizes;
  sizes.split({2, 4, 1}, 1);
  expect_declines(sizes.graph, kSkipConcat, "not known to be those");
  Levels fewer;
  fewer.split({4, 3}, 1);
  expect_declines(fewer.graph, kSkipConcat, "not those that were joined");
  Levels across;
  across.split({1, 1}, 2);
  expect_declines(across.graph, kSkipConcat);
  Builder open;
  const std::vector<ValueId> parts{open.input("a", "float32[?]"), open.input("b", "float32[2]")};
  const ValueId all = open.node("Concat", parts, attributes({{"axis", I{0}}}), "float32[?]");
  for (const ValueId part : open.nodes("Split", {all, open.constant(ints({2, 2}))}, 2)) open.output(part);
  expect_declines(open.graph, kSkipConcat, "not known to be those");
}

}  // namespace
}  // namespace lanner::passes::testing
