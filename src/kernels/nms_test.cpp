#include <algorithm>
#include <cmath>

#include "kernels/head_testing.h"
#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using ::testing::ElementsAre;
using I = std::int64_t;
using Ints = std::vector<I>;

struct Inputs {
  Tensor boxes = Tensor::of<float>(
      {1, 6, 4}, {0, 0, 1, 1, 0, .1f, 1, 1.1f, 0, -.1f, 1, .9f, 0, 10, 1, 11, 0, 10.1f, 1, 11.1f, 0, 100, 1, 101});
  Tensor scores = Tensor::of<float>({1, 1, 6}, {.9f, .75f, .6f, .95f, .5f, .3f});
  Tensor limit = Tensor::scalar<I>(3);
  Tensor iou = Tensor::scalar(.5f);
  Tensor score = Tensor::scalar(0.f);
};

Ints select(const Inputs& in, const tensor::Attributes& options = {}, int threads = 1) {
  return elements<I>(run("NonMaxSuppression", {in.boxes, in.scores, in.limit, in.iou, in.score}, options, threads));
}

TEST(NonMaxSuppression, KeepsTheBestOfEachCluster) {
  EXPECT_THAT(select({}), ElementsAre(0, 0, 3, 0, 0, 0, 0, 0, 5));
  Inputs in;
  in.score = Tensor::scalar(.3f);  // strictly greater
  EXPECT_THAT(select(in), ElementsAre(0, 0, 3, 0, 0, 0));
  in.limit = Tensor::scalar<I>(1);
  EXPECT_THAT(select(in), ElementsAre(0, 0, 3));
}

TEST(NonMaxSuppression, ReturnsNothingWithoutALimit) {
  Inputs in;
  for (const Tensor& limit : {Tensor(), Tensor::scalar<I>(0), Tensor::scalar<I>(-1)}) {
    in.limit = limit;
    EXPECT_THAT(select(in), ElementsAre());
  }
  EXPECT_EQ(run("NonMaxSuppression", {in.boxes, in.scores}).shape(), Shape({0, 3}));
}

TEST(NonMaxSuppression, TakesCornersInAnyOrderAndCenters) {
  Inputs in;
  in.boxes = Tensor::of<float>(
      {1, 6, 4}, {1, 1, 0, 0, 0, .1f, 1, 1.1f, 0, .9f, 1, -.1f, 0, 10, 1, 11, 1, 10.1f, 0, 11.1f, 1, 101, 0, 100});
  EXPECT_THAT(select(in), ElementsAre(0, 0, 3, 0, 0, 0, 0, 0, 5));
  in.boxes = Tensor::of<float>({1, 6, 4}, {.5f, .5f,   1, 1, .5f, .6f,   1, 1, .5f, .4f,    1, 1,
                                           .5f, 10.5f, 1, 1, .5f, 10.6f, 1, 1, .5f, 100.5f, 1, 1});
  EXPECT_THAT(select(in, attributes({{"center_point_box", I{1}}})), ElementsAre(0, 0, 3, 0, 0, 0, 0, 0, 5));
}

TEST(NonMaxSuppression, OrdersTiesByIndexAndNanLast) {
  Inputs in;
  in.scores = Tensor::of<float>({1, 1, 6}, {NAN, .1f, .1f, .5f, .5f, .5f});
  in.limit = Tensor::scalar<I>(6);
  in.iou = Tensor::scalar(1.f);
  EXPECT_THAT(select(in), ElementsAre(0, 0, 3, 0, 0, 4, 0, 0, 5, 0, 0, 1, 0, 0, 2));
  in.score = Tensor();
  EXPECT_THAT(select(in), ElementsAre(0, 0, 3, 0, 0, 4, 0, 0, 5, 0, 0, 1, 0, 0, 2, 0, 0, 0));
}

TEST(NonMaxSuppression, KeepsAnOverlapOfExactlyTheThresholdAndBoxesWithoutArea) {
  Inputs in;
  in.boxes = Tensor::of<float>({1, 4, 4}, {0, 0, 2, 1, 0, 0, 1, 1, 3, 3, 3, 4, 3, 3, 3, 4});  // IoU 0.5; area 0
  in.scores = Tensor::of<float>({1, 1, 4}, {4, 3, 2, 1});
  in.limit = Tensor::scalar<I>(4);
  EXPECT_EQ(select(in).size(), 12u);
  in.iou = Tensor::scalar(.49f);
  EXPECT_THAT(select(in), ElementsAre(0, 0, 0, 0, 0, 2, 0, 0, 3));
}

struct Problem {
  Inputs in;
  float iou_threshold = 0;
  std::optional<float> score_threshold;
  bool centered = false;
};

Problem random_problem(Random& random, I batch, I classes, I count, bool odd) {
  constexpr float kIou[] = {0.5f, 0.6f, 0, 1, 0.3f, 1.0f / 3};
  constexpr float kThresholds[] = {0.5f, 0, 0.95f, -1, 2, 1e-8f, NAN, 0.25f};
  constexpr I kLimits[] = {100, 1, 3, 0, -1, 17, INT64_MAX, 30};
  Problem p;
  p.in.boxes = random_boxes(random, batch * count, 1, odd ? 5 : 0).reshaped({batch, count, 4});
  p.in.scores = Tensor::allocate(ElementType::kFloat32, {batch, classes, count});
  fill_scores(random, p.in.scores, random.one_in(2), odd && random.one_in(2));
  p.iou_threshold = kIou[random.below(6)];
  if (!random.one_in(3)) p.score_threshold = kThresholds[random.below(8)];
  p.in.limit = Tensor::scalar(kLimits[random.below(8)]);
  p.in.iou = Tensor::scalar(p.iou_threshold);
  p.in.score = p.score_threshold ? Tensor::scalar(*p.score_threshold) : Tensor();
  p.centered = odd && random.one_in(4);
  return p;
}

Ints select(const Problem& p, int threads = 1) {
  return select(p.in, attributes({{"center_point_box", I{p.centered}}}), threads);
}

Ints select_by_definition(const Problem& p) {
  const I classes = p.in.scores.shape()[1];
  const I count = p.in.scores.shape()[2];
  Ints expected;
  for (I head = 0; head < p.in.scores.shape()[0] * classes; ++head) {
    const std::span scores(p.in.scores.data<float>() + head * count, static_cast<std::size_t>(count));
    for (const I row :
         suppress_by_definition(p.in.boxes.data<float>() + head / classes * count * 4, scores, p.in.limit.data<I>()[0],
                                p.iou_threshold, p.score_threshold, p.centered)) {
      expected.insert(expected.end(), {head / classes, head % classes, row});
    }
  }
  return expected;
}

TEST(NonMaxSuppression, FollowsItsDefinition) {
  Random random(21);
  std::size_t kept = 0;
  for (int round = 0; round < 4000; ++round) {
    const I count = random.one_in(20) ? 0 : 1 + random.below(random.one_in(4) ? 300 : 50);
    const Problem p = random_problem(random, 1 + random.below(3), 1 + random.below(6), count, !random.one_in(3));
    const Ints expected = select_by_definition(p);
    for_each_instruction_set([&] { ASSERT_EQ(select(p), expected) << "round " << round; });
    ASSERT_EQ(select(p, 1 + round % 8), expected) << "round " << round;
    kept += expected.size();
  }
  EXPECT_GT(kept, 100000u);
}

TEST(NonMaxSuppression, FollowsItsDefinitionOverManyCandidates) {
  Random random(22);
  for (int round = 0; round < 12; ++round) {
    Problem p = random_problem(random, 1 + random.below(2), 1 + random.below(8), 1000 + random.below(3000), round < 4);
    if (round % 2 == 0) p.in.limit = Tensor::scalar<I>(2000);
    const Ints expected = select_by_definition(p);
    for_each_instruction_set([&] { ASSERT_EQ(select(p), expected) << "round " << round; });
    for (const int threads : {2, 4, 8}) ASSERT_EQ(select(p, threads), expected) << "round " << round;
  }
}

TEST(NonMaxSuppression, RefusesWhatDoesNotFit) {
  Inputs in;
  in.iou = Tensor::scalar(1.5f);
  EXPECT_EQ(reason_of([&] { select(in); }), "op.value");
  in.iou = Tensor::scalar(NAN);
  EXPECT_EQ(reason_of([&] { select(in); }), "op.value");
  in = {};
  in.scores = Tensor::of<float>({1, 1, 2}, {1, 2});
  EXPECT_EQ(reason_of([&] { select(in); }), "op.shape");
  in.scores = Tensor::of<float>({2}, {1, 2});
  EXPECT_EQ(reason_of([&] { select(in); }), "op.rank");
  EXPECT_EQ(reason_of([&] { select({}, attributes({{"center_point_box", I{2}}})); }), "op.attribute");
}

}  // namespace
}  // namespace lanner::kernels::testing
