#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using ::testing::ElementsAre;
using I = std::int64_t;
using Ints = std::vector<I>;

Tensor scales(std::vector<float> values) {
  return Tensor::of<float>({static_cast<I>(values.size())}, std::span<const float>(values));
}
Tensor sizes(Ints values) {
  return Tensor::of<I>({static_cast<I>(values.size())}, std::span<const I>(values));
}
std::string text(const char* value) {
  return value;
}
const Tensor kSquare = Tensor::of<float>({1, 1, 2, 2}, {1, 2, 3, 4});

TEST(ResizeLike, IsResizeToTheOthersSpatialSize) {
  const Tensor x = Tensor::of<float>({1, 2, 1, 2}, {1, 2, 3, 4});
  const auto linear = attributes({{"mode", text("linear")}});
  for (const Shape& like : {Shape{1, 2, 3, 4}, Shape{5, 1, 2, 2}, Shape{1, 1, 0, 2}}) {
    const Tensor expected = run("Resize", {x, {}, {}, sizes({1, 2, like[2], like[3]})}, linear);
    const Tensor other = Tensor::allocate(ElementType::kBool, like);
    const Tensor actual = run("ResizeLike", {x, other}, linear);
    EXPECT_EQ(actual.shape(), expected.shape());
    EXPECT_EQ(elements<float>(actual), elements<float>(expected));
  }
}

TEST(Resize, RepeatsTheNearest) {
  EXPECT_THAT(elements<float>(run("Resize", {kSquare, {}, scales({1, 1, 2, 2})})),
              ElementsAre(1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4));
  const Tensor row = Tensor::of<std::int8_t>({4}, {0, 1, 2, 3});
  const auto nearest = [&](const char* mode) {
    return elements<std::int8_t>(run("Resize", {row, {}, {}, sizes({2})},
                                     attributes({{"nearest_mode", text(mode)}})));  // coordinates 0.5 and 2.5
  };
  EXPECT_THAT(nearest("round_prefer_floor"), ElementsAre(0, 2));
  EXPECT_THAT(nearest("round_prefer_ceil"), ElementsAre(1, 3));
  EXPECT_THAT(nearest("floor"), ElementsAre(0, 2));
  EXPECT_THAT(nearest("ceil"), ElementsAre(1, 3));
}

TEST(Resize, InterpolatesLinearly) {
  const auto linear = attributes({{"mode", text("linear")}});
  EXPECT_THAT(elements<float>(run("Resize", {Tensor::of<float>({2}, {0, 4}), {}, scales({2})}, linear)),
              ElementsAre(0, 1, 3, 4));
  EXPECT_THAT(elements<float>(run("Resize", {kSquare, {}, {}, sizes({1, 1, 1, 1})}, linear)), ElementsAre(2.5f));
  EXPECT_THAT(elements<float>(run(
                  "Resize", {kSquare, {}, {}, sizes({1, 1, 3, 3})},
                  attributes({{"mode", text("linear")}, {"coordinate_transformation_mode", text("align_corners")}}))),
              ElementsAre(1, 1.5f, 2, 2, 2.5f, 3, 3, 3.5f, 4));
}

TEST(Resize, CropsWithAnExtrapolationValue) {
  const auto crop = attributes({{"mode", text("linear")},
                                {"coordinate_transformation_mode", text("tf_crop_and_resize")},
                                {"extrapolation_value", 9.0f}});
  EXPECT_THAT(
      elements<float>(run("Resize", {Tensor::of<float>({3}, {0, 1, 2}), scales({0, 1.5f}), {}, sizes({4})}, crop)),
      ElementsAre(0, 1, 2, 9));
}

TEST(Resize, NamedAxesAndAspectRatio) {
  const auto policy = [&](const char* name) {
    return run("Resize", {Tensor::allocate(ElementType::kFloat32, {1, 1, 4, 2}), {}, {}, sizes({8, 8})},
               attributes({{"axes", Ints{-2, 3}}, {"keep_aspect_ratio_policy", text(name)}}))
        .shape();
  };
  EXPECT_EQ(policy("stretch"), Shape({1, 1, 8, 8}));
  EXPECT_EQ(policy("not_larger"), Shape({1, 1, 8, 4}));
  EXPECT_EQ(policy("not_smaller"), Shape({1, 1, 16, 8}));
}

TEST(Resize, DoesNotDependOnTheThreads) {
  Tensor x = Tensor::allocate(ElementType::kFloat32, {1, 5, 40, 50});
  I i = 0;
  for (float& value : x.values<float>()) value = static_cast<float>(i++ * 37 % 101);
  for (const char* mode : {"nearest", "linear", "cubic"}) {
    const auto options = attributes({{"mode", text(mode)}});
    const std::vector<Tensor> inputs{x, {}, scales({1, 1, 2.5f, 1.7f})};
    EXPECT_EQ(elements<float>(run("Resize", inputs, options)), elements<float>(run("Resize", inputs, options, 4)));
  }
}

TEST(Resize, RefusesWhatDoesNotFit) {
  EXPECT_EQ(reason_of([] { run("Resize", {kSquare}); }), "op.input");
  EXPECT_EQ(reason_of([] { run("Resize", {kSquare, {}, scales({1, 1, 1, 1}), sizes({1, 1, 1, 1})}); }), "op.input");
  EXPECT_EQ(reason_of([] { run("Resize", {kSquare, {}, scales({1, 1})}); }), "op.shape");
  EXPECT_EQ(reason_of([] { run("Resize", {kSquare, {}, scales({1, 1, 0, 1})}); }), "op.value");
  EXPECT_EQ(reason_of([] { run("Resize", {kSquare, {}, {}, sizes({1, 1, -1, 1})}); }), "op.shape");
  EXPECT_EQ(reason_of([] { run("Resize", {kSquare, {}, {}, sizes({1, 1, INT64_MAX, 4})}); }), "op.size");
  EXPECT_EQ(reason_of([] { run("Resize", {kSquare}, attributes({{"mode", text("area")}})); }), "op.attribute");
}

}  // namespace
}  // namespace lanner::kernels::testing
