#include <functional>

#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

// Sixty boxes of one class, of which a bound of 50 is kept, as PyTorch's nms is exported: the kept rows, cut.
struct Case : Builder {
  ValueId boxes = input("boxes", "float32[1,60,4]");
  ValueId scores = input("scores", "float32[1,1,60]");
  ValueId kept = nms(scores);

  ValueId nms(ValueId of, I most = 50) {
    return node("NonMaxSuppression", {boxes, of, constant(ints({most})), constant(floats({0.5f}))}, {}, "int64[k,3]");
  }
  ValueId slice(ValueId value, I start, I end, I axis = 0, I step = 1, std::string_view type = "int64[r]") {
    return node("Slice",
                {value, constant(ints({start})), constant(ints({end})), constant(ints({axis})), constant(ints({step}))},
                {}, type);
  }
  ValueId rows(ValueId of) {
    const ValueId column = node("Gather", {of, constant(ints({2}))}, attributes({{"axis", I{1}}}), "int64[k,1]");
    return node("Squeeze", {column, constant(ints({1}))}, {}, "int64[k]");
  }
  I bound() const { return constant_ints(graph, find_node(graph, "NonMaxSuppression").inputs[2])->front(); }
};

Inputs inputs() {
  Tensor boxes = numbers({1, 60, 4});
  for (I i = 0; i < 60; ++i) {
    float* const box = boxes.data<float>() + 4 * i;
    for (int side : {0, 1}) box[2 + side] = box[side] + 2;
  }
  return {boxes, numbers({1, 1, 60}, 9)};
}

TEST(LimitNms, KeepsWhatIsRead) {
  Case test;
  test.output(test.slice(test.rows(test.kept), 0, 7));
  expect_rewrites(test.graph, kLimitNms, "NonMaxSuppression Gather Squeeze Slice", inputs());
  EXPECT_EQ(test.bound(), 7);
}

TEST(LimitNms, TakesTheLargestOfSeveralReaders) {
  Case test;
  test.output(test.slice(test.rows(test.kept), 0, 7));
  const ValueId flat = test.node(
      "Reshape", {test.slice(test.kept, 2, 3, 1, 1, "int64[k,1]"), test.constant(ints({-1}))}, {}, "int64[k]");
  test.output(test.slice(test.node("Cast", {flat}, attributes({{"to", I{6}}}), "int32[k]"), 3, 9, 0, 2, "int32[r]"));
  expect_rewrites(test.graph, kLimitNms, "NonMaxSuppression Gather Squeeze Slice Slice Reshape Cast Slice", inputs());
  EXPECT_EQ(test.bound(), 9);
}

TEST(LimitNms, BoundsGroups) {
  Builder b;
  const ValueId kept =
      b.add(make_node("GroupNonMaxSuppression",
                      {b.input("boxes", "float32[1,60,4]"), b.input("scores", "float32[1,1,60]"),
                       b.input("groups", "int64[60]"), b.constant(ints({50})), b.constant(floats({0.5f}))},
                      {}, "lanner"),
            1, "int64[k,3]")[0];
  b.output(b.node("Slice", {kept, b.constant(ints({0})), b.constant(ints({5})), b.constant(ints({0}))}));
  Inputs given = inputs();
  given.push_back(Tensor::allocate(ElementType::kInt64, {60}));
  for (I i = 0; i < 60; ++i) given[2].data<I>()[i] = i % 4;
  for (I i = 0; i < 240; ++i) given[0].data<float>()[i] += 20.0f * static_cast<float>(i / 4 % 4);
  expect_rewrites(b.graph, kLimitNms, "GroupNonMaxSuppression Slice", given);
  EXPECT_EQ(constant_ints(b.graph, find_node(b.graph, "GroupNonMaxSuppression").inputs[3])->front(), 5);
}

TEST(LimitNms, DeclinesWhereMoreMayBeRead) {
  const std::function<void(Case&)> readers[] = {
      [](Case& c) { c.output(c.kept); },
      [](Case& c) { c.output(c.rows(c.kept)); },
      [](Case& c) { c.output(c.slice(c.rows(c.kept), 0, 50)); },  // as many as are kept
      [](Case& c) { c.output(c.slice(c.rows(c.kept), 0, -1)); },
      [](Case& c) { c.output(c.slice(c.rows(c.kept), -3, 7)); },
      [](Case& c) { c.output(c.slice(c.rows(c.kept), 7, 0, 0, -1)); },
      [](Case& c) { c.output(c.slice(c.kept, 0, 2, 1)); },
      [](Case& c) {
        const ValueId rows = c.rows(c.kept);
        c.output(c.slice(rows, 0, 7));
        c.output(c.node("Shape", {rows}));
      },
      [](Case& c) {  // of no axis at all, which is no valid Slice
        const ValueId none = c.constant(ints({}));
        c.output(c.node("Slice", {c.rows(c.kept), c.constant(ints({0})), c.constant(ints({7})), none, none}));
      },
      // Three numbers of a box in one list.
      [](Case& c) {
        c.output(c.slice(c.node("Reshape", {c.kept, c.constant(ints({-1}))}, {}, "int64[n]"), 0, 7));
      },
      [](Case& c) {
        const ValueId end = c.input("end", "int64[1]");
        c.output(c.node("Slice", {c.rows(c.kept), c.constant(ints({0})), end, c.constant(ints({0}))}));
      },
  };
  for (const auto& reader : readers) {
    Case test;
    reader(test);
    expect_declines(test.graph, kLimitNms);
  }
}

TEST(LimitNms, DeclinesSeveralClasses) {
  Case test;
  const ValueId kept = test.nms(test.input("classes", "float32[1,3,60]"));
  test.output(test.slice(test.rows(kept), 0, 7));
  expect_declines(test.graph, kLimitNms, "one image and one class");
}

}  // namespace
}  // namespace lanner::passes::testing
