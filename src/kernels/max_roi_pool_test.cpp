#include <cmath>
#include <limits>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using ::testing::ElementsAre;
using I = std::int64_t;
using Ints = std::vector<I>;

tensor::Attributes pooled(I height, I width, float scale = 1) {
  return attributes({{"pooled_shape", Ints{height, width}}, {"spatial_scale", scale}});
}

TEST(MaxRoiPool, BinsOverlapWhereTheyDoNotDivideTheRegion) {
  const Tensor x = Tensor::of<float>({1, 1, 1, 5}, {5, 1, 3, 2, 4});
  EXPECT_THAT(elements<float>(run("MaxRoiPool", {x, Tensor::of<float>({1, 5}, {0, 0, 0, 4, 0})}, pooled(1, 2))),
              ElementsAre(5, 4));
  EXPECT_THAT(elements<float>(run("MaxRoiPool", {x, Tensor::of<float>({1, 5}, {0, 1, 0, 3, 0})}, pooled(1, 3))),
              ElementsAre(1, 3, 2));
  // Fewer pixels than bins; scaled and rounded; outside the map; turned inside out.
  EXPECT_THAT(elements<float>(run("MaxRoiPool", {x, Tensor::of<float>({1, 5}, {0, 2, 0, 2, 0})}, pooled(1, 3))),
              ElementsAre(3, 3, 3));
  EXPECT_THAT(elements<float>(run("MaxRoiPool", {x, Tensor::of<float>({1, 5}, {0, 5, 0, 8, 0})}, pooled(1, 1, 0.5f))),
              ElementsAre(4));
  EXPECT_THAT(elements<float>(run("MaxRoiPool", {x, Tensor::of<float>({1, 5}, {0, 7, 0, 9, 0})}, pooled(1, 1))),
              ElementsAre(0));
  EXPECT_THAT(elements<float>(run("MaxRoiPool", {x, Tensor::of<float>({1, 5}, {0, 3, 0, 0, 0})}, pooled(1, 1))),
              ElementsAre(2));
}

// The definition, a bin at a time.
TEST(MaxRoiPool, AgreesWithTheDefinition) {
  const Tensor x = noise({2, 3, 9, 11});
  const Tensor rois = Tensor::of<float>({4, 5}, {0, 0, 0, 10, 8, 1, 2, 3, 7, 6, 1, -3, -2, 4, 20, 0, 4.6f, 1.2f, 5, 2});
  const I height = 3, width = 4;
  std::vector<float> expected;
  for (I r = 0; r < 4; ++r) {
    const float* region = rois.data<float>() + 5 * r;
    for (I i = 0; i < 3 * height * width; ++i) {
      const I channel = i / (height * width), bin_row = i / width % height, bin_column = i % width;
      const auto bounds = [](float start, float end, I bins, I bin, I size) {
        const float low = std::round(start), length = std::max(std::round(end) - low + 1, 1.0f);
        const auto clip = [&](float v) { return static_cast<I>(std::clamp(v, 0.0f, static_cast<float>(size))); };
        return std::pair(clip(std::floor(static_cast<float>(bin) * length / static_cast<float>(bins)) + low),
                         clip(std::ceil(static_cast<float>(bin + 1) * length / static_cast<float>(bins)) + low));
      };
      const auto [top, bottom] = bounds(region[2], region[4], height, bin_row, 9);
      const auto [left, right] = bounds(region[1], region[3], width, bin_column, 11);
      float best = -std::numeric_limits<float>::infinity();
      for (I h = top; h < bottom; ++h) {
        for (I w = left; w < right; ++w) {
          best = std::max(best, x.data<float>()[((static_cast<I>(region[0]) * 3 + channel) * 9 + h) * 11 + w]);
        }
      }
      expected.push_back(std::isinf(best) ? 0 : best);
    }
  }
  EXPECT_EQ(elements<float>(run("MaxRoiPool", {x, rois}, pooled(height, width), 1)), expected);
  EXPECT_EQ(elements<float>(run("MaxRoiPool", {x, rois}, pooled(height, width), 4)), expected);
}

TEST(MaxRoiPool, HostileRegions) {
  const float infinity = std::numeric_limits<float>::infinity();
  const Tensor x = Tensor::of<float>({1, 1, 1, 2}, {1, 2});
  for (const float value : {infinity, -infinity, std::nanf(""), 1e38f, -1e38f}) {
    run("MaxRoiPool", {x, Tensor::of<float>({1, 5}, {0, value, 0, 1, 0})}, pooled(2, 2));
    run("MaxRoiPool", {x, Tensor::of<float>({1, 5}, {0, 0, 0, value, value})}, pooled(2, 2));
    EXPECT_EQ(reason_of([&] {
                run("MaxRoiPool", {x, Tensor::of<float>({1, 5}, {value, 0, 0, 1, 0})}, pooled(1, 1));
              }),
              "op.index");
  }
  EXPECT_EQ(reason_of([&] { run("MaxRoiPool", {x, noise({1, 4})}, pooled(1, 1)); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("MaxRoiPool", {x, noise({1, 5})}, pooled(0, 1)); }), "op.attribute");
  EXPECT_EQ(reason_of([&] { run("MaxRoiPool", {x, noise({1, 5})}, pooled(1, I{1} << 40)); }), "op.attribute");
  EXPECT_EQ(reason_of([&] { run("MaxRoiPool", {x, noise({1, 5})}); }), "op.attribute");
  EXPECT_EQ(run("MaxRoiPool", {x, noise({0, 5})}, pooled(2, 3)).shape(), Shape({0, 1, 2, 3}));
}

}  // namespace
}  // namespace lanner::kernels::testing
