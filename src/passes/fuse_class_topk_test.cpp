#include "passes/head_testing.h"

namespace lanner::passes::testing {
namespace {

// Classes that are no siblings, because each has a threshold of its own.
HeadOptions options_of(int classes) {
  HeadOptions options;
  options.classes = classes;
  options.suppresses = false;
  for (int k = 0; k < classes; ++k) options.thresholds.push_back(0.5f - 0.25f * static_cast<float>(k));
  return options;
}

TEST(FuseClassTopK, MakesAFilterAndATopKOneOperator) {
  Head head(options_of(1), 0);
  head.meet();
  head.infer();
  expect_batches(head, kFuseClassTopK);
  EXPECT_EQ(count_ops(head.graph, "ClassTopK"), 1);
  EXPECT_EQ(count_ops(head.graph, "NonZero"), 0);
  EXPECT_EQ(find_node(head.graph, "ClassTopK").stands_for, std::vector<std::string>{"TopK"});
}

TEST(FuseClassTopK, IsExactHoweverTheHeadIsSpelled) {
  for (unsigned seed = 1; seed <= 400; ++seed) {
    SCOPED_TRACE(seed);
    Draw draw(seed * 977);
    HeadOptions options = options_of(1 + draw.of(3));
    options.anchors = 2 + draw.of(20);
    options.background = draw.of(3);
    options.limit = draw.of(8);
    Head head(options, seed);
    head.meet();
    head.infer();
    expect_batches(head, kFuseClassTopK, static_cast<std::size_t>(options.classes));
    EXPECT_EQ(count_ops(head.graph, "TopK") + count_ops(head.graph, "NonZero"), 0);
    ASSERT_FALSE(HasFailure());
  }
}

// The scores of all anchors and classes in a row; each list of boxes is decoded from what belongs to the anchor.
struct Level : Builder {
  static constexpr I kAnchors = 7;
  static constexpr I kClasses = 3;

  explicit Level(I limit, std::string_view anchors = "7") {
    const ValueId scores = input("scores", fmt::format("float32[1,{},3]", anchors));
    const ValueId boxes = input("boxes", fmt::format("float32[{},4]", anchors));
    const ValueId flat =
        node("Reshape", {scores, constant(ints({-1}))}, {}, anchors == "7" ? "float32[21]" : "float32[?]");
    mask = node("Greater", {flat, constant(Tensor::scalar(0.5f))}, {}, "bool[?]");
    const ValueId places = node("Transpose", {node("NonZero", {mask}, {}, "int64[1,?]")}, {}, "int64[?,1]");
    const ValueId some = node("GatherND", {flat, places}, {}, "float32[?]");
    const ValueId list = node("Squeeze", {places, constant(ints({1}))}, {}, "int64[?]");
    const ValueId count = node("Shape", {list}, {}, "int64[1]");
    const ValueId both = node("Concat", {constant(ints({limit})), count}, attributes({{"axis", I{0}}}), "int64[2]");
    const ValueId k = node("ReduceMin", {both}, attributes({{"keepdims", I{1}}}), "int64[1]");
    best = nodes("TopK", {some, k}, 2);
    graph.set_type(best[0], type("float32[?]"));
    graph.set_type(best[1], type("int64[?]"));
    const ValueId rows = node("Gather", {list, best[1]}, {}, "int64[?]");
    const ValueId classes = constant(Tensor::scalar<I>(kClasses));
    output(best[0]);
    output(node("Mod", {rows, classes}, {}, "int64[?]"));
    output(node("Gather", {boxes, node("Div", {rows, classes}, {}, "int64[?]")}, {}, "float32[?,4]"));
  }

  std::vector<Value> inputs(int kind) const {
    Draw draw(static_cast<unsigned>(kind) + 1);
    Tensor scores = Tensor::allocate(ElementType::kFloat32, {1, kAnchors, kClasses});
    for (float& score : scores.values<float>()) {
      score = kind == 0 ? 0 : kind == 1 ? 1 : draw.unit();
      if (kind == 2) score = static_cast<float>(draw.of(4)) / 4;
      if (kind == 3 && draw.coin()) score = std::numeric_limits<float>::quiet_NaN();
    }
    return {scores, numbers({kAnchors, 4})};
  }

  ValueId mask;
  std::vector<ValueId> best;
};

TEST(FuseClassTopK, ALevelOfAPyramid) {
  for (const std::string_view anchors : {"7", "?"}) {
    for (const I limit : {0, 4, 100}) {
      Level level(limit, anchors);
      const Graph before = level.graph;
      EXPECT_EQ(apply(level.graph, kFuseClassTopK).firings.size(), 1u);
      EXPECT_EQ(count_ops(level.graph, "ClassTopK"), 1);
      EXPECT_EQ(count_ops(level.graph, "TopK") + count_ops(level.graph, "NonZero"), 0);
      for (int kind = 0; kind < 40; ++kind) {
        const auto expected = run_graph(before, level.inputs(kind));
        const auto actual = run_graph(level.graph, level.inputs(kind));
        for (std::size_t i = 0; i < actual.size(); ++i) expect_same(expected[i], actual[i]);
        ASSERT_FALSE(HasFailure()) << "inputs of kind " << kind;
      }
    }
  }
}

TEST(FuseClassTopK, OthersMayReadTheFilter) {
  Level level(4);
  level.output(level.mask);
  EXPECT_EQ(apply(level.graph, kFuseClassTopK).firings.size(), 1u);
  EXPECT_EQ(count_ops(level.graph, "Greater"), 1);
}

TEST(FuseClassTopK, DeclinesWhenPlacesAmongTheFilteredAreReadElsewhere) {
  for (const bool is_output : {true, false}) {
    Level level(4);
    level.output(is_output ? level.best[1] : level.node("Neg", {level.best[1]}, {}, "int64[?]"));
    expect_declines(level.graph, kFuseClassTopK, "no part of a value");
  }
}

TEST(FuseClassTopK, DeclinesWithoutAFilter) {
  HeadOptions options = options_of(2);
  options.filter = false;
  Head head(options, 0);
  head.meet();
  head.infer();
  expect_declines(head.graph, kFuseClassTopK);
}

TEST(FuseClassTopK, DeclinesOtherOrders) {
  for (const char* attribute : {"largest", "sorted"}) {
    HeadOptions options = options_of(1);
    options.top_attributes = attributes({{attribute, I{0}}});
    Head head(options, 0);
    head.meet();
    head.infer();
    expect_declines(head.graph, kFuseClassTopK);
  }
}

TEST(FuseClassTopK, DeclinesAnUncappedNumber) {
  HeadOptions options = options_of(1);
  options.capped = false;
  options.limit = 0;
  Head head(options, 0);
  head.meet();
  head.infer();
  expect_declines(head.graph, kFuseClassTopK);
}

}  // namespace
}  // namespace lanner::passes::testing
