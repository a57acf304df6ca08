#include <algorithm>
#include <cmath>

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

TEST(NonMaxSuppression, IsExactOverManyCandidatesAndThreads) {
  constexpr I kCount = 3000;
  Inputs in;
  in.boxes = Tensor::allocate(ElementType::kFloat32, {2, kCount, 4});
  in.scores = Tensor::allocate(ElementType::kFloat32, {2, 3, kCount});
  std::uint32_t state = 1;
  const auto next = [&] { return static_cast<float>((state = state * 1664525u + 1013904223u) >> 20) / 4096; };
  for (I i = 0; i < 2 * kCount; ++i) {
    float* box = in.boxes.data<float>() + 4 * i;
    box[0] = next() * 20;
    box[1] = next() * 20;
    box[2] = box[0] + next();
    box[3] = box[1] + next();
  }
  for (float& value : in.scores.values<float>()) value = next();
  in.limit = Tensor::scalar<I>(2000);
  Ints expected;
  for (I head = 0; head < 6; ++head) {  // the definition, with a full sort
    const float* scores = in.scores.data<float>() + head * kCount;
    const float* boxes = in.boxes.data<float>() + head / 3 * kCount * 4;
    Ints order(kCount);
    for (I i = 0; i < kCount; ++i) order[static_cast<std::size_t>(i)] = i;
    std::stable_sort(order.begin(), order.end(), [&](I a, I b) { return scores[a] > scores[b]; });
    Ints kept;
    for (const I i : order) {
      if (kept.size() == 2000 || !(scores[i] > 0)) break;
      const float* b = boxes + 4 * i;
      const bool suppressed = std::any_of(kept.begin(), kept.end(), [&](I k) {
        const float* a = boxes + 4 * k;
        const float h = std::min(a[2], b[2]) - std::max(a[0], b[0]);
        const float w = std::min(a[3], b[3]) - std::max(a[1], b[1]);
        const float both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]);
        return h > 0 && w > 0 && h * w / (both - h * w) > .5f;
      });
      if (suppressed) continue;
      kept.push_back(i);
      expected.insert(expected.end(), {head / 3, head % 3, i});
    }
  }
  EXPECT_EQ(select(in), expected);
  EXPECT_EQ(select(in, {}, 4), expected);
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
