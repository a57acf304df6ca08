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
  Tensor boxes;    // [M,4]
  Tensor shifted;  // [1,M,4]
  Tensor scores;   // [1,1,M]
  Tensor groups;   // [M]
  I limit = 100;
  float iou = 0.5f;
  std::optional<float> score;

  Tensor score_tensor() const { return score ? Tensor::scalar(*score) : Tensor(); }
};

Ints fused(const Problem& p, int threads = 1) {
  return elements<I>(run(
      "GroupNonMaxSuppression",
      {p.shifted, p.scores, p.groups, Tensor::scalar(p.limit), Tensor::scalar(p.iou), p.score_tensor()}, {}, threads));
}

Ints plain(const Problem& p) {
  Ints selected;
  for (const I row :
       suppress_by_definition(p.shifted.data<float>(), p.scores.values<float>(), p.limit, p.iou, p.score, false)) {
    selected.insert(selected.end(), {0, 0, row});
  }
  return selected;
}

// Shifts as torchvision does: group times (largest coordinate plus one), all in float32.
void shift(Problem& p, const Ints& groups) {
  const auto boxes = p.boxes.values<float>();
  float largest = -INFINITY;
  for (const float value : boxes) largest = std::max(largest, value);
  const float step = largest + 1;
  const I count = static_cast<I>(groups.size());
  p.shifted = Tensor::allocate(ElementType::kFloat32, {1, count, 4});
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    p.shifted.data<float>()[i] = boxes[i] + static_cast<float>(groups[i / 4]) * step;
  }
}

Problem random_problem(Random& random) {
  Problem p;
  const I count = random.one_in(20) ? 0 : 1 + random.below(random.one_in(4) ? 800 : 80);
  constexpr float kSizes[] = {1, 300, 1e4f, 1e7f, 1e9f, 3e37f, 1e-3f};
  p.boxes = random_boxes(random, count, kSizes[random.below(7)], random.one_in(2) ? 8 : 0);
  const I group_count = 1 + random.below(random.one_in(3) ? 1203 : 20);
  Ints groups;
  for (I i = 0; i < count; ++i) groups.push_back(random.below(group_count));
  shift(p, groups);
  if (random.one_in(4)) {  // groups that say nothing about the shift
    for (I& group : groups) group = random.below(3) - (random.one_in(4) ? 1 : 0);
  }
  p.groups = Tensor::of<I>({count}, groups);
  constexpr I kTypes[] = {1, 6, 7};  // float32, int32, int64
  p.groups = run("Cast", {p.groups}, attributes({{"to", kTypes[random.below(3)]}}));
  p.scores = Tensor::allocate(ElementType::kFloat32, {1, 1, count});
  fill_scores(random, p.scores, random.one_in(2), random.one_in(3));
  constexpr I kLimits[] = {INT64_MAX, 1, 0, 20, -1, 100};
  p.limit = kLimits[random.below(6)];
  constexpr float kIou[] = {0.5f, 0, 1, 0.3f, 0.7f};
  p.iou = kIou[random.below(5)];
  if (random.one_in(3)) p.score = random.unit();
  return p;
}

TEST(GroupNonMaxSuppression, IsPlainSuppressionOfTheShiftedBoxes) {
  Random random(5);
  std::size_t kept = 0;
  for (int round = 0; round < 4000; ++round) {
    const Problem p = random_problem(random);
    const Ints expected = plain(p);
    for_each_instruction_set([&] { ASSERT_EQ(fused(p), expected) << "round " << round; });
    ASSERT_EQ(fused(p, 1 + round % 8), expected) << "round " << round;
    kept += expected.size();
  }
  EXPECT_GT(kept, 100000u);
}

TEST(GroupNonMaxSuppression, IsPlainSuppressionOnLargeHeads) {
  Random random(6);
  for (int round = 0; round < 6; ++round) {
    Problem p;
    const I count = 3000 + random.below(5000);
    p.boxes = random_boxes(random, count, 300, 0);
    Ints groups;
    for (I i = 0; i < count; ++i) groups.push_back(random.below(round % 2 == 0 ? 90 : 3));
    shift(p, groups);
    p.groups = Tensor::of<I>({count}, groups);
    p.scores = Tensor::allocate(ElementType::kFloat32, {1, 1, count});
    fill_scores(random, p.scores, round % 3 == 1, false);
    p.limit = round % 2 == 0 ? count : 500;
    const Ints expected = plain(p);
    for_each_instruction_set([&] { ASSERT_EQ(fused(p), expected) << "round " << round; });
    ASSERT_EQ(fused(p, 4), expected) << "round " << round;
  }
}

// Where the shifted boxes of two groups are the same ones, or rounding has brought them there, they suppress each
// other, as in the model; where they touch at an edge, they do not.
TEST(GroupNonMaxSuppression, FollowsRoundingThatMakesGroupsMeet) {
  Problem p;
  p.boxes = Tensor::of<float>({2, 4}, {0, 0, 16777216, 16777216, 0, 0, 16777216, 16777216});
  p.shifted = Tensor::of<float>({1, 2, 4}, {1e15f, 1e15f, 2e15f, 2e15f, 1e15f, 1e15f, 2e15f, 2e15f});
  p.scores = Tensor::of<float>({1, 1, 2}, {.9f, .8f});
  p.groups = Tensor::of<I>({2}, {5, 6});
  EXPECT_THAT(fused(p), ElementsAre(0, 0, 0));
  p.shifted = Tensor::of<float>({1, 2, 4}, {0, 0, 16777216, 16777216, 16777216, 16777216, 33554432, 33554432});
  EXPECT_THAT(fused(p), ElementsAre(0, 0, 0, 0, 0, 1));
}

TEST(GroupNonMaxSuppression, RefusesWhatDoesNotFit) {
  Random random(7);
  Problem good;
  good.boxes = random_boxes(random, 3, 1, 0);
  shift(good, {0, 1, 2});
  good.groups = Tensor::of<I>({3}, {0, 1, 2});
  good.scores = Tensor::of<float>({1, 1, 3}, {1, 2, 3});
  EXPECT_THAT(fused(good), ElementsAre(0, 0, 2, 0, 0, 1, 0, 0, 0));
  const auto reason = [&](auto change) {
    Problem p = good;
    change(p);
    return reason_of([&] { fused(p); });
  };
  EXPECT_EQ(reason([](Problem& p) { p.groups = Tensor::of<I>({2}, {0, 1}); }), "op.shape");
  EXPECT_EQ(reason([](Problem& p) { p.groups = Tensor::of<double>({3}, {0, 1, 2}); }), "op.type");
  EXPECT_EQ(reason([](Problem& p) { p.shifted = p.boxes; }), "op.shape");
  EXPECT_EQ(reason([](Problem& p) { p.scores = p.scores.reshaped({3}); }), "op.shape");
  EXPECT_EQ(reason([](Problem& p) { p.iou = -0.5f; }), "op.value");
}

}  // namespace
}  // namespace lanner::kernels::testing
