#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

// data[rows] = updates as PyTorch exports it: 5 rows of 3x2, the rows' numbers expanded to the size of the updates.
struct Pattern : Builder {
  ValueId data = input("data", "float32[5,3,2]");
  ValueId rows = input("rows", "int64[n,1,1]");
  ValueId updates = input("updates", "float32[m,3,2]");
  ValueId shape = node("Shape", {updates}, {}, "int64[3]");
  ValueId indices = node("Expand", {rows, shape}, {}, "int64[m,3,2]");
};

Tensor row_numbers(std::vector<I> values) {
  return Tensor::of<I>({static_cast<I>(values.size()), 1, 1}, values);
}

constexpr std::string_view kAfter = "Shape Concat Reshape Expand ScatterND";

TEST(ScatterRows, ScattersRows) {
  for (const auto& rows : {std::vector<I>{4, 0, -2}, {1, 1, 1}, {}}) {
    Pattern pattern;
    pattern.output(pattern.node("ScatterElements", {pattern.data, pattern.indices, pattern.updates}));
    const Tensor updates = numbers({static_cast<I>(rows.size()), 3, 2}, 7);
    expect_rewrites(pattern.graph, kScatterRows, kAfter, {numbers({5, 3, 2}), row_numbers(rows), updates});
  }
}

TEST(ScatterRows, OneIndexForSeveralRows) {
  Pattern pattern;
  pattern.output(pattern.node("ScatterElements", {pattern.data, pattern.indices, pattern.updates},
                              attributes({{"axis", I{-3}}, {"reduction", std::string("add")}})));
  expect_rewrites(pattern.graph, kScatterRows, kAfter, {numbers({5, 3, 2}), row_numbers({3}), numbers({2, 3, 2}, 7)});
}

TEST(ScatterRows, DeclinesPartsOfRows) {
  Builder builder;
  const ValueId data = builder.input("data", "float32[5,3,2]");
  const ValueId updates = builder.input("updates", "float32[m,2,2]");
  const ValueId indices =
      builder.node("Expand", {builder.input("rows", "int64[n,1,1]"), builder.node("Shape", {updates})});
  builder.output(builder.node("ScatterElements", {data, indices, updates}));
  expect_declines(builder.graph, kScatterRows, "whole rows");
}

TEST(ScatterRows, DeclinesOtherAxesAndIndices) {
  Pattern pattern;
  pattern.output(
      pattern.node("ScatterElements", {pattern.data, pattern.indices, pattern.updates}, attributes({{"axis", I{1}}})));
  expect_declines(pattern.graph, kScatterRows);

  Builder builder;
  const ValueId rows = builder.input("rows", "int64[n,3,1]");
  const ValueId updates = builder.input("updates", "float32[m,3,2]");
  const ValueId indices = builder.node("Expand", {rows, builder.node("Shape", {updates})});
  builder.output(builder.node("ScatterElements", {builder.input("data", "float32[5,3,2]"), indices, updates}));
  expect_declines(builder.graph, kScatterRows);
}

}  // namespace
}  // namespace lanner::passes::testing
