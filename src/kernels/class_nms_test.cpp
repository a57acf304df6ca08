#include <algorithm>
#include <cmath>
#include <optional>

#include "kernels/head_testing.h"
#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using ::testing::ElementsAre;
using I = std::int64_t;
using Ints = std::vector<I>;

struct Problem {
  Tensor boxes;
  Tensor scores;
  Ints offsets;
  I row_stride = 1;
  bool centered = false;
  std::optional<float> filter;
  Tensor limit = Tensor::scalar<I>(100);
  std::optional<float> iou;
  std::optional<float> score;
  std::string activation;
};

// The four outputs as bits, so that NaN equals itself and the zeros differ.
struct Result {
  Ints rows;
  Ints siblings;
  std::vector<std::uint32_t> scores;
  std::vector<std::uint32_t> boxes;
  bool operator==(const Result&) const = default;
};

std::vector<std::uint32_t> bits(const Tensor& tensor) {
  std::vector<std::uint32_t> result;
  for (const float value : tensor.values<float>()) result.push_back(std::bit_cast<std::uint32_t>(value));
  return result;
}

Tensor optional_scalar(std::optional<float> value) {
  return value ? Tensor::scalar(*value) : Tensor();
}

Result fused(const Problem& p, int threads = 1) {
  const std::vector<Tensor> inputs = {
      p.boxes, p.scores, optional_scalar(p.filter), p.limit, optional_scalar(p.iou), optional_scalar(p.score)};
  auto settings =
      attributes({{"offsets", p.offsets}, {"row_stride", p.row_stride}, {"center_point_box", I{p.centered}}});
  if (!p.activation.empty()) settings.set("activation", p.activation);
  const auto out = run_operator("ClassNonMaxSuppression", settings, inputs, 4, threads);
  return {elements<I>(out[0].tensor()), elements<I>(out[1].tensor()), bits(out[2].tensor()), bits(out[3].tensor())};
}

Tensor slice_column(const Problem& p, I sibling, I count) {
  Tensor column = Tensor::allocate(ElementType::kFloat32, {count});
  for (I row = 0; row < count; ++row) {
    column.data<float>()[row] =
        p.scores.data<float>()[p.offsets[static_cast<std::size_t>(sibling)] + row * p.row_stride];
  }
  return column;
}

// The definition: the operators that the fused one stands for, one after another.
Result composed(const Problem& p) {
  Result result;
  const I count = p.boxes.element_count() / 4;
  const Tensor boxes = p.boxes.reshaped({count, 4});
  const Tensor axis = Tensor::of<I>({1}, {0});
  for (I sibling = 0; sibling < static_cast<I>(p.offsets.size()); ++sibling) {
    Tensor column = slice_column(p, sibling, count);
    Tensor kept_boxes = boxes;
    Tensor places;
    if (p.filter) {
      places = run("NonZero", {run("Greater", {column, Tensor::scalar(*p.filter)})});
      places = places.reshaped({places.element_count()});
      column = run("Gather", {column, places});
      kept_boxes = run("Gather", {boxes, places});
    }
    const I left = column.element_count();
    const Tensor selected = run(
        "NonMaxSuppression",
        {kept_boxes.reshaped({1, left, 4}), column.reshaped({1, 1, left}),
         p.limit.element_type() == ElementType::kInt32 ? run("Cast", {p.limit}, attributes({{"to", I{7}}})) : p.limit,
         optional_scalar(p.iou), optional_scalar(p.score)},
        attributes({{"center_point_box", I{p.centered}}}));
    for (I i = 0; i < selected.shape()[0]; ++i) {
      const I local = selected.data<I>()[3 * i + 2];
      const I row = places.defined() ? places.data<I>()[local] : local;
      result.rows.push_back(row);
      result.siblings.push_back(sibling);
      result.scores.push_back(std::bit_cast<std::uint32_t>(column.data<float>()[local]));
      for (int k = 0; k < 4; ++k) {
        result.boxes.push_back(std::bit_cast<std::uint32_t>(boxes.data<float>()[4 * row + k]));
      }
    }
  }
  return result;
}

// `columns` siblings of [rows,columns] scores, some left out and some twice, or the same transposed.
void lay_out(Random& random, Problem& p, I rows, I columns) {
  const bool transposed = random.one_in(3);
  p.scores = Tensor::allocate(ElementType::kFloat32, transposed ? Shape{columns, rows} : Shape{rows, columns});
  p.row_stride = transposed ? 1 : columns;
  const I background = random.below(2);
  for (I k = std::min(background, columns - 1); k < columns; ++k) {
    if (random.one_in(40)) continue;
    p.offsets.push_back(transposed ? k * rows : k);
  }
  if (random.one_in(10)) std::reverse(p.offsets.begin(), p.offsets.end());
}

Problem random_problem(Random& random) {
  Problem p;
  const I rows = random.one_in(20) ? 0 : random.one_in(4) ? 1 + random.below(400) : 1 + random.below(60);
  const I columns = random.one_in(3) ? 1 + random.below(100) : 1 + random.below(12);
  p.boxes = random_boxes(random, rows, 1, random.one_in(2) ? 5 : 0);
  if (random.one_in(2)) p.boxes = p.boxes.reshaped({1, rows, 4});
  lay_out(random, p, rows, columns);
  fill_scores(random, p.scores, random.one_in(2), random.one_in(2));
  constexpr float kThresholds[] = {0.5f, 0, 0.95f, -1, 2, 1e-8f, NAN, 0.25f};
  if (random.one_in(2)) p.filter = kThresholds[random.below(8)];
  if (random.one_in(2)) p.score = kThresholds[random.below(8)];
  constexpr float kIou[] = {0.5f, 0.6f, 0, 1, 0.3f, 1.0f / 3};
  if (!random.one_in(8)) p.iou = kIou[random.below(6)];
  constexpr I kLimits[] = {100, 1, 3, 0, -1, 17, INT64_MAX, 30};
  p.limit = Tensor::scalar<I>(kLimits[random.below(8)]);
  if (random.one_in(4)) p.limit = Tensor::scalar(static_cast<std::int32_t>(random.below(20)));
  p.centered = random.one_in(5);
  return p;
}

TEST(ClassNonMaxSuppression, IsTheOperatorsItStandsFor) {
  Random random(1);
  std::size_t kept = 0;
  for (int round = 0; round < 3000; ++round) {
    const Problem p = random_problem(random);
    const Result expected = composed(p);
    for_each_instruction_set([&] { ASSERT_EQ(fused(p), expected) << "round " << round; });
    ASSERT_EQ(fused(p, 1 + round % 8), expected) << "round " << round;
    kept += expected.rows.size();
  }
  EXPECT_GT(kept, 100000u);
}

// Sizes at which blocks, lazily sorted buckets and shared overlap tables come into play.
TEST(ClassNonMaxSuppression, IsTheOperatorsItStandsForOnLargeHeads) {
  Random random(2);
  for (int round = 0; round < 24; ++round) {
    Problem p;
    const I rows = 500 + random.below(2500);
    p.boxes = random_boxes(random, rows, 1, round % 2 == 0 ? 9 : 0);
    lay_out(random, p, rows, 20 + random.below(20));
    fill_scores(random, p.scores, round % 4 == 1, round % 3 == 0);
    if (round % 3 != 2) p.filter = round % 2 == 0 ? 1e-8f : 0.9f;
    p.iou = round % 4 == 0 ? 0.95f : 0.6f;
    p.limit = Tensor::scalar<I>(round % 5 == 0 ? 5000 : 100);
    const Result expected = composed(p);
    for_each_instruction_set([&] { ASSERT_EQ(fused(p), expected) << "round " << round; });
    ASSERT_EQ(fused(p, 4), expected) << "round " << round;
  }
}

// Every other problem has a background in its first column that is more likely than most classes.
TEST(ClassNonMaxSuppression, ScoresOfLogits) {
  Random random(3);
  std::size_t kept = 0;
  for (int round = 0; round < 4000; ++round) {
    Problem p = random_problem(random);
    p.activation = round % 2 == 0 || p.row_stride == 1 ? "Sigmoid" : "Softmax";
    fill_logits(random, p.scores, round % 3 == 0);
    if (round % 4 < 2) raise_column(p.scores, 0, 8);
    Problem scored = p;
    scored.activation.clear();
    scored.scores = run(p.activation, {p.scores});
    if (const auto threshold = threshold_near(random, scored.scores)) p.filter = scored.filter = threshold;
    const Result expected = composed(scored);
    for_each_instruction_set([&] { ASSERT_EQ(fused(p), expected) << "round " << round; });
    ASSERT_EQ(fused(p, 1 + round % 4), expected) << "round " << round;
    kept += expected.rows.size();
  }
  EXPECT_GT(kept, 80000u);
}

TEST(ClassNonMaxSuppression, LeavesOutSiblingsWithoutCandidates) {
  Problem p;
  p.boxes = Tensor::of<float>({1, 2, 4}, {0, 0, 1, 1, 5, 5, 6, 6});
  p.scores = Tensor::of<float>({2, 3}, {.9f, .1f, .2f, .8f, .1f, .7f});
  p.offsets = {0, 1, 2};
  p.row_stride = 3;
  p.filter = .5f;
  const Result result = fused(p);
  EXPECT_THAT(result.rows, ElementsAre(0, 1, 1));
  EXPECT_THAT(result.siblings, ElementsAre(0, 0, 2));
  p.offsets = {};
  EXPECT_TRUE(fused(p).rows.empty());
}

TEST(ClassNonMaxSuppression, RefusesWhatDoesNotFit) {
  Problem good;
  good.boxes = Tensor::of<float>({2, 4}, {0, 0, 1, 1, 5, 5, 6, 6});
  good.scores = Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  good.offsets = {0, 2};
  good.row_stride = 3;
  EXPECT_EQ(fused(good).rows.size(), 4u);
  const auto reason = [&](auto change) {
    Problem p = good;
    change(p);
    return reason_of([&] { fused(p); });
  };
  EXPECT_EQ(reason([](Problem& p) { p.offsets = {3}; }), "op.shape");
  EXPECT_EQ(reason([](Problem& p) { p.offsets = {INT64_MAX}; }), "op.shape");
  EXPECT_EQ(reason([](Problem& p) { p.row_stride = INT64_MAX; }), "op.shape");
  EXPECT_EQ(reason([](Problem& p) { p.offsets = {-1}; }), "op.attribute");
  EXPECT_EQ(reason([](Problem& p) { p.row_stride = -3; }), "op.attribute");
  EXPECT_EQ(reason([](Problem& p) { p.boxes = p.boxes.reshaped({4, 2}); }), "op.shape");
  EXPECT_EQ(reason([](Problem& p) { p.boxes = p.boxes.reshaped({2, 1, 4}); }), "op.shape");
  EXPECT_EQ(reason([](Problem& p) { p.boxes = Tensor::of<double>({1, 4}, {0, 0, 1, 1}); }), "op.type");
  EXPECT_EQ(reason([](Problem& p) { p.scores = Tensor::of<I>({1}, {0}); }), "op.type");
  EXPECT_EQ(reason([](Problem& p) { p.iou = 1.5f; }), "op.value");
  EXPECT_EQ(reason([](Problem& p) { p.iou = NAN; }), "op.value");
  EXPECT_EQ(reason([](Problem& p) { p.limit = Tensor::of<I>({2}, {1, 2}); }), "op.input");
  EXPECT_EQ(reason([](Problem& p) { p.activation = "Tanh"; }), "op.attribute");
  good.activation = "Softmax";
  EXPECT_EQ(fused(good).rows.size(), 4u);
  EXPECT_EQ(reason([](Problem& p) { p.row_stride = 2; }), "op.shape");
  EXPECT_EQ(reason([](Problem& p) { p.scores = p.scores.reshaped({1, 6}); }), "op.shape");
  EXPECT_EQ(reason([](Problem& p) { p.scores = Tensor::of<float>({3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9}); }), "op.shape");
}

}  // namespace
}  // namespace lanner::kernels::testing
