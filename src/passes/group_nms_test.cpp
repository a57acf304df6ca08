#include <random>

#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

constexpr I kCount = 40;

struct Options {
  bool cast = true;   // groups are int64
  bool swap = false;  // the operands of Add and Mul
  std::string_view group_type = "int64[n]";
  I shift_axis = 1;  // where the shifts get their second axis
  I centered = 0;
};

// Torchvision's batched_nms, with inputs boxes, scores and groups.
Graph pattern(const Options& options = {}) {
  Builder b;
  const ValueId boxes = b.input("boxes", "float32[n,4]");
  const ValueId scores = b.input("scores", "float32[n]");
  ValueId groups = b.input("groups", options.cast ? options.group_type : "float32[n]");
  const ValueId largest = b.node("ReduceMax", {boxes}, attributes({{"keepdims", I{0}}}), "float32[]");
  const ValueId step = b.node("Add", {largest, b.constant(Tensor::scalar<float>(1))}, {}, "float32[]");
  if (options.cast) {
    groups = b.node("Cast", {groups}, attributes({{"to", static_cast<I>(ElementType::kFloat32)}}), "float32[n]");
  }
  const auto pair = [&](ValueId x, ValueId y) { return options.swap ? std::vector{y, x} : std::vector{x, y}; };
  const ValueId shifts = b.node("Mul", pair(groups, step), {}, "float32[n]");
  const ValueId column = b.node("Unsqueeze", {shifts, b.constant(ints({options.shift_axis}))}, {},
                                options.shift_axis == 1 ? "float32[n,1]" : "float32[1,n]");
  const ValueId shifted = b.node("Add", pair(boxes, column), {}, "float32[n,4]");
  b.output(b.node("NonMaxSuppression",
                  {b.node("Unsqueeze", {shifted, b.constant(ints({0}))}, {}, "float32[1,n,4]"),
                   b.node("Unsqueeze", {scores, b.constant(ints({0, 1}))}, {}, "float32[1,1,n]"),
                   b.constant(ints({30})), b.constant(floats({0.3f})), b.constant(floats({0.1f}))},
                  attributes({{"center_point_box", options.centered}}), "int64[k,3]"));
  return std::move(b.graph);
}

// Of a kind: plain, negative boxes, infinite and NaN ones, huge ones, negative groups, equal scores.
Inputs inputs(int kind, unsigned seed, bool cast = true) {
  std::mt19937 engine(seed);
  const auto unit = [&] { return static_cast<float>(engine() >> 8) / static_cast<float>(1 << 24); };
  Tensor boxes = Tensor::allocate(ElementType::kFloat32, {kCount, 4});
  Tensor scores = Tensor::allocate(ElementType::kFloat32, {kCount});
  Tensor ids = Tensor::allocate(ElementType::kInt64, {kCount});
  Tensor numbers = Tensor::allocate(ElementType::kFloat32, {kCount});
  const float scale = kind == 3 ? 1e9f : 1.0f;
  float* box = boxes.data<float>();
  for (I i = 0; i < kCount; ++i, box += 4) {
    const float x = unit() - (kind == 1 ? 0.6f : 0.0f);
    const float y = unit();
    const float corners[] = {x, y, x + 0.5f * unit(), y + 0.5f * unit()};
    for (int c = 0; c < 4; ++c) box[c] = scale * corners[c];
    if (kind == 2 && engine() % 8 == 0) box[engine() % 4] = std::numeric_limits<float>::infinity();
    if (kind == 2 && engine() % 8 == 0) box[engine() % 4] = std::numeric_limits<float>::quiet_NaN();
    scores.data<float>()[i] = kind == 5 ? 0.5f : unit();
    ids.data<I>()[i] = static_cast<I>(engine() % 5) - (kind == 4 ? 2 : 0);
    numbers.data<float>()[i] = static_cast<float>(ids.data<I>()[i]) + (kind == 4 ? 0.5f : 0.0f);
  }
  return {boxes, scores, cast ? ids : numbers};
}

TEST(GroupNms, GroupsWhatWasShiftedApart) {
  for (const bool cast : {true, false}) {
    for (const bool swap : {true, false}) {
      Graph graph = pattern({.cast = cast, .swap = swap});
      const Graph before = graph;
      expect_rewrites(graph, kGroupNms,
                      cast ? "ReduceMax Add Cast Mul Unsqueeze Add Unsqueeze Unsqueeze GroupNonMaxSuppression"
                           : "ReduceMax Add Mul Unsqueeze Add Unsqueeze Unsqueeze GroupNonMaxSuppression",
                      inputs(0, 1, cast));
      EXPECT_EQ(graph.value(find_node(graph, "GroupNonMaxSuppression").inputs[2]).name, "groups");
      for (unsigned seed = 0; seed < 300; ++seed) {
        SCOPED_TRACE(seed);
        const Inputs given = inputs(static_cast<int>(seed % 6), seed, cast);
        expect_same(run_graph(before, given)[0], run_graph(graph, given)[0]);
        ASSERT_FALSE(HasFailure());
      }
    }
  }
}

TEST(GroupNms, OneGroupForAllIsNone) {
  Graph graph = pattern();
  const Graph before = graph;
  apply(graph, kGroupNms);
  Inputs given = inputs(0, 1);
  given[2] = ints({3});
  expect_same(run_graph(before, given)[0], run_graph(graph, given)[0]);
}

TEST(GroupNms, InsideANestedGraph) {
  Builder b;
  const ValueId condition = b.input("condition", "bool[]");
  std::vector<ValueId> all{condition, b.input("boxes", "float32[n,4]"), b.input("scores", "float32[n]"),
                           b.input("groups", "int64[n]")};
  Node branch = make_node("If", all);
  branch.capture_count = 3;
  branch.graphs.emplace_back("then_branch", std::make_unique<Graph>(pattern()));
  branch.graphs.emplace_back("else_branch", std::make_unique<Graph>(pattern()));
  b.output(b.add(std::move(branch), 1)[0]);
  EXPECT_EQ(apply(b.graph, kGroupNms).firings.size(), 2u);
}

TEST(GroupNms, DeclinesOtherShifts) {
  Graph centered = pattern({.centered = 1});
  expect_declines(centered, kGroupNms, "centres");
  Graph row = pattern({.shift_axis = 0});
  expect_declines(row, kGroupNms, "one number each");
}

TEST(GroupNms, DeclinesBoxesThatWereNotShifted) {
  Builder b;
  const ValueId boxes = b.input("boxes", "float32[1,n,4]");
  b.output(b.node("NonMaxSuppression", {boxes, b.input("scores", "float32[1,1,n]")}));
  expect_declines(b.graph, kGroupNms);
}

}  // namespace
}  // namespace lanner::passes::testing
