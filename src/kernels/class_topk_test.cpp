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
  Tensor scores;
  Ints offsets;
  I row_stride = 1;
  I row_count = 0;
  std::optional<float> filter;
  Tensor k = Tensor::of<I>({1}, {10});
  std::string activation;
};

struct Result {
  Ints rows;
  Ints siblings;
  std::vector<std::uint32_t> scores;  // as bits
  bool operator==(const Result&) const = default;
};

Tensor optional_scalar(std::optional<float> value) {
  return value ? Tensor::scalar(*value) : Tensor();
}

Result fused(const Problem& p, int threads = 1) {
  const std::vector<Tensor> inputs = {p.scores, optional_scalar(p.filter), p.k};
  auto settings = attributes(
      {{"offsets", p.offsets}, {"row_stride", p.row_stride}, {"row_count", p.row_count}, {"row_axis", I{0}}});
  if (!p.activation.empty()) settings.set("activation", p.activation);
  const auto out = run_operator("ClassTopK", settings, inputs, 3, threads);
  Result result{elements<I>(out[0].tensor()), elements<I>(out[1].tensor()), {}};
  for (const float score : out[2].tensor().values<float>())
    result.scores.push_back(std::bit_cast<std::uint32_t>(score));
  return result;
}

// The definition: the operators that the fused one stands for, one after another.
Result composed(const Problem& p) {
  Result result;
  for (std::size_t sibling = 0; sibling < p.offsets.size(); ++sibling) {
    const I count = p.row_count >= 0 ? p.row_count : p.scores.shape()[0];
    Tensor column = Tensor::allocate(ElementType::kFloat32, {count});
    for (I row = 0; row < count; ++row) {
      column.data<float>()[row] = p.scores.data<float>()[p.offsets[sibling] + row * p.row_stride];
    }
    Tensor places;
    if (p.filter) {
      places = run("NonZero", {run("Greater", {column, Tensor::scalar(*p.filter)})});
      places = places.reshaped({places.element_count()});
      column = run("Gather", {column, places});
    }
    const Tensor k = Tensor::of<I>({1}, {std::min(p.k.data<I>()[0], column.element_count())});
    const auto best = run_operator("TopK", {}, std::vector<Tensor>{column, k}, 2);
    for (I i = 0; i < k.data<I>()[0]; ++i) {
      const I local = best[1].tensor().data<I>()[i];
      result.rows.push_back(places.defined() ? places.data<I>()[local] : local);
      result.siblings.push_back(static_cast<I>(sibling));
      result.scores.push_back(std::bit_cast<std::uint32_t>(best[0].tensor().data<float>()[i]));
    }
  }
  return result;
}

Problem random_problem(Random& random, I rows, I columns) {
  Problem p;
  const bool transposed = random.one_in(3);
  p.scores = Tensor::allocate(ElementType::kFloat32, transposed ? Shape{columns, rows} : Shape{rows, columns});
  p.row_stride = transposed ? 1 : columns;
  p.row_count = transposed || random.one_in(2) ? rows : -1;
  for (I k = columns > 1 ? random.below(2) : 0; k < columns; ++k) {
    if (!random.one_in(40)) p.offsets.push_back(transposed ? k * rows : k);
  }
  if (random.one_in(10)) std::reverse(p.offsets.begin(), p.offsets.end());
  fill_scores(random, p.scores, random.one_in(2), random.one_in(2));
  constexpr float kThresholds[] = {0.5f, 0, 0.95f, -1, 2, 0.01f, NAN, 0.25f};
  if (!random.one_in(3)) p.filter = kThresholds[random.below(8)];
  constexpr I kLimits[] = {400, 1, 3, 0, 17, INT64_MAX, 30, 100};
  p.k.data<I>()[0] = kLimits[random.below(8)];
  return p;
}

TEST(ClassTopK, IsTheOperatorsItStandsFor) {
  Random random(3);
  std::size_t kept = 0;
  for (int round = 0; round < 3000; ++round) {
    const I rows = random.one_in(20) ? 0 : 1 + random.below(random.one_in(4) ? 700 : 60);
    const I columns = 1 + random.below(random.one_in(3) ? 100 : 12);
    const Problem p = random_problem(random, rows, columns);
    const Result expected = composed(p);
    for_each_instruction_set([&] { ASSERT_EQ(fused(p), expected) << "round " << round; });
    ASSERT_EQ(fused(p, 1 + round % 8), expected) << "round " << round;
    kept += expected.rows.size();
  }
  EXPECT_GT(kept, 100000u);
}

TEST(ClassTopK, IsTheOperatorsItStandsForOnLargeHeads) {
  Random random(4);
  for (int round = 0; round < 16; ++round) {
    const Problem p = random_problem(random, 1000 + random.below(8000), 20 + random.below(40));
    const Result expected = composed(p);
    for_each_instruction_set([&] { ASSERT_EQ(fused(p), expected) << "round " << round; });
    ASSERT_EQ(fused(p, 4), expected) << "round " << round;
  }
}

// Every other problem has a background in its first column that is more likely than most classes.
TEST(ClassTopK, ScoresOfLogits) {
  Random random(5);
  std::size_t kept = 0;
  for (int round = 0; round < 3000; ++round) {
    Problem p = random_problem(random, random.below(random.one_in(4) ? 1500 : 60), 1 + random.below(40));
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

TEST(ClassTopK, LeavesOutSiblingsWithoutCandidates) {
  Problem p;
  p.scores = Tensor::of<float>({2, 3}, {.6f, .1f, .2f, .8f, .1f, .7f});
  p.offsets = {0, 1, 2};
  p.row_stride = 3;
  p.row_count = -1;
  p.filter = .5f;
  const Result result = fused(p);
  EXPECT_THAT(result.rows, ElementsAre(1, 0, 1));
  EXPECT_THAT(result.siblings, ElementsAre(0, 0, 2));
}

TEST(ClassTopK, RefusesWhatDoesNotFit) {
  Problem good;
  good.scores = Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  good.offsets = {0, 2};
  good.row_stride = 3;
  good.row_count = 2;
  EXPECT_EQ(fused(good).rows.size(), 4u);
  const auto reason = [&](auto change) {
    Problem p = good;
    change(p);
    return reason_of([&] { fused(p); });
  };
  EXPECT_EQ(reason([](Problem& p) { p.offsets = {3}; }), "op.shape");
  EXPECT_EQ(reason([](Problem& p) { p.row_count = 3; }), "op.shape");
  EXPECT_EQ(reason([](Problem& p) { p.row_count = INT64_MAX; }), "op.size");
  EXPECT_EQ(reason([](Problem& p) { p.row_count = -2; }), "op.attribute");
  EXPECT_EQ(reason([](Problem& p) { p.k = Tensor::of<I>({1}, {-1}); }), "op.value");
  EXPECT_EQ(reason([](Problem& p) { p.k = Tensor(); }), "op.input");
}

}  // namespace
}  // namespace lanner::kernels::testing
