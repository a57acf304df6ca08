#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

constexpr I kHeads = 2, kSize = 3, kQueries = 5, kPoints = 2, kWidth = kHeads * kSize, kRows = 4 * 6 + 2 * 3;

// Deformable attention over maps of 4 x 6 and 2 x 3 pixels, the rows of a matrix, in PyTorch's words.
struct Pattern : Builder {
  ValueId rows = input("rows", "float32[1,30,6]");
  ValueId points = input("points", "float32[2,5,2,2,2]");  // heads, queries, maps, points, coordinates
  ValueId weights = input("weights", "float32[2,1,5,4]");
  std::vector<ValueId> sampled;

  Inputs inputs() const {
    Tensor at = numbers({kHeads, kQueries, 2, kPoints, 2}, 5);
    for (float& value : at.values<float>()) value *= 0.3f;
    return {numbers({1, kRows, kWidth}), at, numbers({kHeads, 1, kQueries, 2 * kPoints}, 9)};
  }
  ValueId reshape(ValueId value, std::initializer_list<I> shape) {
    return node("Reshape", {value, constant(ints(shape))});
  }
  ValueId slice(ValueId value, I start, I end, I axis) {
    return node("Slice", {value, constant(ints({start})), constant(ints({end})), constant(ints({axis}))});
  }
  ValueId sample(ValueId matrix, I level, tensor::Attributes attributes = {}) {
    const I first = level == 0 ? 0 : 24;
    const I height = level == 0 ? 4 : 2;
    const I width = level == 0 ? 6 : 3;
    const ValueId part = slice(reshape(matrix, {1, kRows, kHeads, kSize}), first, first + height * width, 1);
    const ValueId turned = node("Transpose", {reshape(part, {1, height * width, kWidth})},
                                testing::attributes({{"perm", std::vector<I>{0, 2, 1}}}));
    const ValueId image = reshape(turned, {kHeads, kSize, height, width});
    const ValueId at = node("Gather", {points, constant(Tensor::scalar(level))}, testing::attributes({{"axis", I{2}}}));
    sampled.push_back(node("GridSample", {image, at}, std::move(attributes)));
    return sampled.back();
  }
  ValueId stacked(std::vector<ValueId> samples) {
    for (ValueId& value : samples) value = node("Unsqueeze", {value, constant(ints({-2}))});
    return reshape(node("Concat", samples, attributes({{"axis", I{-2}}})), {kHeads, kSize, kQueries, -1});
  }
  ValueId sum(ValueId samples) {
    const ValueId product = node("Mul", {samples, weights});
    return node("ReduceSum", {product, constant(ints({-1}))}, attributes({{"keepdims", I{0}}}));
  }
  // As the model goes on.
  void finish(ValueId sums) {
    output(node("Transpose", {reshape(sums, {1, kWidth, kQueries})}, attributes({{"perm", std::vector<I>{0, 2, 1}}})));
    infer_by_running(graph, inputs());
  }
};

void expect_fused(Pattern& p) {
  const std::vector<Value> expected = run_graph(p.graph, p.inputs());
  ASSERT_FALSE(apply(p.graph, kFuseDeformableAttention).firings.empty()) << p.graph.to_text();
  const Rule* const rules[] = {&kCombineTransposes, &kCombineReshapes, &kEliminateDeadCode};
  const Pass pass{"test", rules};
  Engine engine(p.graph, {&pass, 1}, {});
  engine.run(pass);
  EXPECT_EQ(ops(p.graph), "Gather Gather Reshape DeformableAttention") << p.graph.to_text();
  expect_same(expected[0], run_graph(p.graph, p.inputs())[0], 1e-5);
}

TEST(FuseDeformableAttention, MapsBesideEachOther) {
  Pattern stacked;
  stacked.finish(stacked.sum(stacked.stacked({stacked.sample(stacked.rows, 0), stacked.sample(stacked.rows, 1)})));
  expect_fused(stacked);
  EXPECT_EQ(find_node(stacked.graph, "DeformableAttention").attributes.get_ints("first_rows"), (std::vector<I>{0, 24}));

  Pattern joined;
  const std::vector<ValueId> samples{joined.sample(joined.rows, 0), joined.sample(joined.rows, 1)};
  joined.finish(joined.sum(joined.node("Concat", samples, attributes({{"axis", I{3}}}))));
  expect_fused(joined);
}

TEST(FuseDeformableAttention, DeclinesWhatItDoesNotCompute) {
  const auto declines = [](std::string_view reason, tensor::Attributes attributes) {
    Pattern p;
    p.finish(p.sum(p.stacked({p.sample(p.rows, 0), p.sample(p.rows, 1, std::move(attributes))})));
    expect_declines(p.graph, kFuseDeformableAttention, reason);
  };
  declines("does not interpolate linearly", attributes({{"mode", std::string("nearest")}}));
  declines("does not interpolate linearly", attributes({{"padding_mode", std::string("border")}}));
  declines("does not interpolate linearly", attributes({{"align_corners", I{1}}}));

  Pattern matrices;
  const ValueId other = matrices.node("Abs", {matrices.rows});
  matrices.finish(matrices.sum(matrices.stacked({matrices.sample(matrices.rows, 0), matrices.sample(other, 1)})));
  expect_declines(matrices.graph, kFuseDeformableAttention, "several matrices");

  Pattern kept;
  const ValueId samples = kept.stacked({kept.sample(kept.rows, 0), kept.sample(kept.rows, 1)});
  kept.output(kept.sampled[0]);
  kept.finish(kept.sum(samples));
  expect_declines(kept.graph, kFuseDeformableAttention, "is a graph output");

  Pattern batch;
  batch.finish(batch.sum(batch.stacked({batch.sample(batch.rows, 0), batch.sample(batch.rows, 1)})));
  batch.graph.set_type(batch.sampled[0], {});
  expect_declines(batch.graph, kFuseDeformableAttention);
}

}  // namespace
}  // namespace lanner::passes::testing
