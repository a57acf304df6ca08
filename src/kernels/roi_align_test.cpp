#include <algorithm>
#include <cmath>
#include <random>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using ::testing::ElementsAre;
using I = std::int64_t;

Tensor image() {
  Tensor x = Tensor::allocate(ElementType::kFloat32, {1, 1, 4, 4});
  for (I i = 0; i < 16; ++i) x.data<float>()[i] = static_cast<float>(i);
  return x;
}

std::vector<float> align(std::vector<float> roi, std::vector<std::pair<std::string, tensor::Attribute>> entries) {
  const Tensor rois = Tensor::of<float>({1, 4}, std::span<const float>(roi));
  return elements<float>(run("RoiAlign", {image(), rois, Tensor::of<I>({1}, {0})}, attributes(std::move(entries))));
}

TEST(RoiAlign, AveragesBilinearSamples) {
  // One sample at the centre of the region: (2, 2) - 0.5 in both directions.
  EXPECT_THAT(align({1, 1, 3, 3}, {{"sampling_ratio", I{1}}}), ElementsAre(7.5f));
  EXPECT_THAT(align({1, 1, 3, 3},
                    {{"sampling_ratio", I{1}}, {"coordinate_transformation_mode", std::string("output_half_pixel")}}),
              ElementsAre(10));
  EXPECT_THAT(align({0, 0, 4, 4}, {{"output_height", I{2}}, {"output_width", I{2}}}),
              ElementsAre(2.5f, 4.5f, 10.5f, 12.5f));
  EXPECT_THAT(align({2, 2, 6, 6}, {{"spatial_scale", 0.5f}, {"sampling_ratio", I{1}}}), ElementsAre(7.5f));
}

// Many channels are averaged side by side on a map turned around; few are not. Both give the same bits.
TEST(RoiAlign, ManyChannelsAreLikeEachAlone) {
  constexpr I kChannels = 70;
  constexpr I kRegions = 40;
  std::mt19937 random(3);
  std::uniform_real_distribution<float> value(-1, 1);
  std::uniform_real_distribution<float> place(-3, 25);
  Tensor x = Tensor::allocate(ElementType::kFloat32, {2, kChannels, 11, 13});
  for (float& element : x.values<float>()) element = value(random);
  Tensor rois = Tensor::allocate(ElementType::kFloat32, {kRegions, 4});
  for (float& element : rois.values<float>()) element = place(random);
  Tensor images = Tensor::allocate(ElementType::kInt64, {kRegions});
  for (I& image : images.values<I>()) image = static_cast<I>(random() % 2);
  const auto options = attributes({{"output_height", I{3}}, {"output_width", I{2}}, {"spatial_scale", 0.5f}});
  for (const int threads : {1, 3}) {
    const Tensor all = run("RoiAlign", {x, rois, images}, options, threads);
    for (I channel = 0; channel < kChannels; ++channel) {
      Tensor one = Tensor::allocate(ElementType::kFloat32, {2, 1, 11, 13});
      for (I image = 0; image < 2; ++image) {
        std::copy_n(x.data<float>() + (image * kChannels + channel) * 143, 143, one.data<float>() + image * 143);
      }
      const std::vector<float> expected = elements<float>(run("RoiAlign", {one, rois, images}, options));
      for (I region = 0; region < kRegions; ++region) {
        for (I bin = 0; bin < 6; ++bin) {
          ASSERT_EQ(all.data<float>()[(region * kChannels + channel) * 6 + bin],
                    expected[static_cast<std::size_t>(region * 6 + bin)])
              << channel << " " << region << " " << bin;
        }
      }
    }
  }
}

TEST(RoiAlign, TakesRegionsOutsideInsideOutOrNan) {
  EXPECT_THAT(align({100, 100, 120, 120}, {}), ElementsAre(0));
  EXPECT_THAT(align({3, 3, 1, 1}, {}), ElementsAre(0));
  EXPECT_THAT(align({NAN, 0, 2, 2}, {}), ElementsAre(0));
  EXPECT_EQ(reason_of([] { align({0, 0, INFINITY, 2}, {}); }), "op.value");
}

TEST(RoiAlign, MaximumIsTheGreatestWeightedCorner) {
  EXPECT_THAT(align({1, 1, 3, 3}, {{"sampling_ratio", I{1}}, {"mode", std::string("max")}}), ElementsAre(2.5f));
}

TEST(RoiAlign, AcceptsNoRegionsAndRefusesBadOnes) {
  const Tensor none = Tensor::allocate(ElementType::kFloat32, {0, 4});
  EXPECT_EQ(run("RoiAlign", {image(), none, Tensor::allocate(ElementType::kInt64, {0})}).shape(), Shape({0, 1, 1, 1}));
  const Tensor roi = Tensor::of<float>({1, 4}, {0, 0, 1, 1});
  EXPECT_EQ(reason_of([&] { run("RoiAlign", {image(), roi, Tensor::of<I>({1}, {1})}); }), "op.index");
  EXPECT_EQ(reason_of([&] { run("RoiAlign", {image(), roi, Tensor::of<I>({2}, {0, 0})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { align({0, 0, 1, 1}, {{"mode", std::string("sum")}}); }), "op.attribute");
}

}  // namespace
}  // namespace lanner::kernels::testing
