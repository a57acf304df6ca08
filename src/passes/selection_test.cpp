#include "passes/selection.h"

#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

using Kind = Meaning::Kind;

// Nine rows of scores of four classes, and boxes.
struct Detections : Builder {
  ValueId scores = input("scores", "float32[9,4]");
  ValueId boxes = input("boxes", "float32[9,4]");
  ValueId threshold = constant(Tensor::scalar<float>(0.5f));

  ValueId column(I k) { return node("Gather", {scores, scalar(k)}, attributes({{"axis", I{1}}})); }
  ValueId scalar(I number) { return constant(Tensor::scalar<I>(number)); }
  ValueId list(std::initializer_list<I> numbers) { return constant(ints(numbers)); }
  ValueId above(ValueId score) {
    const ValueId rows = node("NonZero", {node("Greater", {score, threshold}, {}, "bool[9]")}, {}, "int64[1,n]");
    return node("Squeeze", {rows, list({0})}, {}, "int64[n]");
  }
  ValueId count(ValueId of) { return node("Shape", {of}, {}, "int64[1]"); }
  ValueId keep(ValueId some_boxes, ValueId some_scores, ValueId limit) {
    return node(
        "NonMaxSuppression",
        {node("Unsqueeze", {some_boxes, list({0})}), node("Unsqueeze", {some_scores, list({0, 1})}), limit, threshold},
        {}, "int64[m,3]");
  }
};

TEST(Selections, RowsAboveAThreshold) {
  Detections d;
  const ValueId score = d.column(2);
  const ValueId rows = d.above(score);
  const ValueId picked = d.node("Gather", {d.boxes, rows});
  const Selections read(d.graph);
  const Meaning* meaning = read.of(picked);
  ASSERT_NE(meaning, nullptr);
  EXPECT_EQ(meaning->kind, Kind::kData);
  EXPECT_EQ(meaning->layout.whole, d.boxes);
  EXPECT_EQ(meaning->layout.dims, (std::vector<I>{View::kOpen, 4}));
  ASSERT_NE(meaning->rows, nullptr);
  EXPECT_EQ(meaning->rows->kind, Rows::Kind::kAbove);
  EXPECT_EQ(meaning->rows->scores.base, d.scores);
  EXPECT_EQ(meaning->rows->scores.offset, 2);
  EXPECT_EQ(meaning->rows->scores.strides, (std::vector<I>{4}));
  EXPECT_EQ(meaning->rows->all_count, 9);
  EXPECT_EQ(read.of(rows)->kind, Kind::kIndex);
}

TEST(Selections, RowsOfRows) {
  Detections d;
  const ValueId score = d.column(1);
  const ValueId rows = d.above(score);
  const ValueId some_boxes = d.node("Gather", {d.boxes, rows});
  const ValueId some_scores = d.node("Gather", {score, rows});
  const ValueId limit = d.node("Min", {d.list({7}), d.count(some_scores)}, {}, "int64[1]");
  const ValueId triples = d.keep(some_boxes, some_scores, limit);
  const ValueId kept =
      d.node("Squeeze", {d.node("Slice", {triples, d.list({2}), d.list({3}), d.list({1})}), d.list({1})});
  const ValueId both = d.node("Gather", {rows, kept});
  const ValueId first = d.node("Slice", {both, d.list({0}), d.list({4})});
  const Selections read(d.graph);
  const Meaning* meaning = read.of(both);
  ASSERT_NE(meaning, nullptr);
  EXPECT_EQ(meaning->kind, Kind::kIndex);
  EXPECT_EQ(meaning->among, nullptr);
  EXPECT_EQ(meaning->rows->kind, Rows::Kind::kKept);
  EXPECT_TRUE(meaning->rows->limit.is(7));
  EXPECT_EQ(meaning->rows->boxes.whole, d.boxes);
  EXPECT_TRUE(same_rows(d.graph, meaning->rows->parent, read.of(rows)->rows));
  EXPECT_TRUE(same_rows(d.graph, read.of(kept)->among, read.of(rows)->rows));
  EXPECT_TRUE(read.of(first)->rows->limit.is(4));
}

TEST(Selections, ImageAndClassOfWhatWasKeptAreZero) {
  Detections d;
  const ValueId triples = d.keep(d.boxes, d.column(0), d.list({3}));
  const ValueId image = d.node("Gather", {triples, d.scalar(0)}, attributes({{"axis", I{1}}}));
  const Selections read(d.graph);
  ASSERT_NE(read.of(image), nullptr);
  EXPECT_EQ(read.of(image)->kind, Kind::kFill);
  EXPECT_EQ(*read.of(image)->fill.data<I>(), 0);
}

TEST(Selections, OneNumberForEachRow) {
  Detections d;
  const ValueId shape = d.count(d.above(d.column(0)));
  const ValueId zeros = d.node("ConstantOfShape", {shape}, attributes({{"value", floats({0})}}), "float32[n]");
  const ValueId label = d.node(
      "Mul", {d.node("Add", {zeros, d.constant(Tensor::scalar<float>(3))}, {}, "float32[n]"), d.constant(floats({2}))},
      {}, "float32[n]");
  const ValueId expanded = d.node("Expand", {d.scalar(8), shape}, {}, "int64[n]");
  const Selections read(d.graph);
  ASSERT_NE(read.of(label), nullptr);
  EXPECT_EQ(read.of(label)->kind, Kind::kFill);
  EXPECT_EQ(*read.of(label)->fill.data<float>(), 6);
  EXPECT_EQ(*read.of(expanded)->fill.data<I>(), 8);
}

TEST(Selections, CapsAtALength) {
  Detections d;
  const auto cast = [&](ValueId value, ElementType to, std::string_view type) {
    return d.node("Cast", {value}, attributes({{"to", static_cast<I>(to)}}), type);
  };
  const ValueId length = d.count(d.above(d.column(0)));
  const ValueId rounded = cast(length, ElementType::kFloat32, "float32[1]");
  const ValueId capped = d.node("Min", {d.constant(floats({400})), rounded}, {}, "float32[1]");
  const ValueId whole = cast(capped, ElementType::kInt64, "int64[1]");
  // A length that went through float32 alone may have been rounded, and so may one below a cap beyond 2^24.
  const ValueId back = cast(rounded, ElementType::kInt64, "int64[1]");
  const ValueId large = d.node("Min", {d.constant(floats({3e7f})), rounded}, {}, "float32[1]");
  const ValueId halved = d.node("Min", {d.constant(floats({2.5f})), rounded}, {}, "float32[1]");
  const Selections read(d.graph);
  ASSERT_NE(read.of(whole), nullptr);
  EXPECT_EQ(read.of(whole)->numbers[0].kind, Number::Kind::kCapped);
  EXPECT_EQ(read.of(whole)->numbers[0].constant, 400);
  EXPECT_EQ(read.of(back), nullptr);
  EXPECT_EQ(read.of(large), nullptr);
  EXPECT_EQ(read.of(halved), nullptr);
}

TEST(Selections, CompressIsAFilter) {
  Detections d;
  const ValueId score = d.column(0);
  const ValueId mask = d.node("Greater", {score, d.threshold}, {}, "bool[9]");
  const ValueId picked = d.node("Compress", {d.boxes, mask}, attributes({{"axis", I{0}}}));
  const ValueId rows = d.above(score);
  const Selections read(d.graph);
  ASSERT_NE(read.of(picked), nullptr);
  EXPECT_TRUE(same_rows(d.graph, read.of(picked)->rows, read.of(rows)->rows));
}

TEST(Selections, AsManyRowsAsTheNameSays) {
  for (const auto& [dims, known] :
       {std::pair{"float32[anchors,4]", true}, {"float32[others,4]", false}, {"float32[?,4]", false}}) {
    Detections d;
    d.scores = d.input("open_scores", "float32[anchors,4]");
    const ValueId boxes = d.input("open_boxes", dims);
    const ValueId picked = d.node("Gather", {boxes, d.above(d.column(0))});
    EXPECT_EQ(Selections(d.graph).of(picked) != nullptr, known) << dims;
  }
}

TEST(Selections, NothingIsSaidOfOtherRows) {
  Detections d;
  const ValueId rows = d.above(d.column(0));
  const ValueId others = d.above(d.column(1));
  // Rows that were picked from other rows, or from fewer than there are.
  const ValueId mixed = d.node("Gather", {d.node("Gather", {d.boxes, rows}), others});
  const ValueId shorter = d.node("Gather", {d.input("few", "float32[8,4]"), rows});
  const ValueId at_least = d.node("NonZero", {d.node("GreaterOrEqual", {d.column(0), d.threshold}, {}, "bool[9]")});
  const ValueId both = d.node("And",
                              {d.node("Greater", {d.column(0), d.threshold}, {}, "bool[9]"),
                               d.node("Greater", {d.column(1), d.threshold}, {}, "bool[9]")},
                              {}, "bool[9]");
  const ValueId of_both = d.node("NonZero", {both});
  const ValueId each_its_own = d.node("Greater", {d.column(0), d.column(1)}, {}, "bool[9]");
  const ValueId slack = d.node("Slice", {rows, d.list({1}), d.list({3})});
  const Selections read(d.graph);
  for (const ValueId value : {mixed, shorter, at_least, of_both, each_its_own, slack}) {
    EXPECT_EQ(read.of(value), nullptr) << d.graph.value(value).name;
  }
}

TEST(Selections, ScalarsAreEqualToTheBit) {
  Builder b;
  const ValueId zero = b.constant(Tensor::scalar<float>(0.0f));
  EXPECT_TRUE(same_scalar(b.graph, zero, b.constant(floats({0.0f}))));
  EXPECT_FALSE(same_scalar(b.graph, zero, b.constant(floats({-0.0f}))));
  EXPECT_FALSE(same_scalar(b.graph, zero, b.constant(Tensor::scalar<std::int32_t>(0))));
  EXPECT_FALSE(same_scalar(b.graph, zero, kNoValue));
  EXPECT_TRUE(same_scalar(b.graph, kNoValue, kNoValue));
}

}  // namespace
}  // namespace lanner::passes::testing
