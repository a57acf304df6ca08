#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "kernels/head_testing.h"
#include "kernels/kernel_testing.h"
#include "kernels/resize_loops.h"

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

// One axis of a resize, in the arithmetic that the results are made of: float32 positions, weights rounded to float32.
struct NaiveAxis {
  std::vector<I> lower;
  std::vector<I> upper;
  std::vector<float> lower_weights;
  std::vector<float> upper_weights;
};

NaiveAxis naive_axis(const std::string& coordinates, bool linear, I input, I output) {
  const auto scale = static_cast<float>(static_cast<double>(output) / static_cast<double>(input));
  NaiveAxis axis;
  for (I i = 0; i < output; ++i) {
    const auto position = static_cast<float>(i);
    float x = position / scale;
    if (coordinates == "half_pixel") x = (position + 0.5f) / scale - 0.5f;
    if (coordinates == "align_corners") {
      x = output == 1 ? 0 : position * static_cast<float>(input - 1) / static_cast<float>(output - 1);
    }
    if (input == output) x = position;
    if (!linear) {
      axis.lower.push_back(std::clamp<I>(static_cast<I>(std::floor(x)), 0, input - 1));
      continue;
    }
    const I below = static_cast<I>(std::ceil(x)) - 1;
    const double ratio = static_cast<double>(x) - static_cast<double>(below);
    axis.lower.push_back(std::clamp<I>(below, 0, input - 1));
    axis.upper.push_back(std::clamp<I>(below + 1, 0, input - 1));
    axis.lower_weights.push_back(static_cast<float>(1 - ratio));
    axis.upper_weights.push_back(static_cast<float>(1 - (1 - ratio)));
  }
  return axis;
}

// Images [planes, height, width], rows before columns or the other way round, whichever shrinks more.
std::vector<float> naive_resize(const std::string& coordinates, bool linear, const Tensor& x, I new_height,
                                I new_width) {
  const I planes = x.shape()[0] * x.shape()[1];
  const I height = x.shape()[2];
  const I width = x.shape()[3];
  const NaiveAxis rows = naive_axis(coordinates, linear, height, new_height);
  const NaiveAxis columns = naive_axis(coordinates, linear, width, new_width);
  const auto at = [](const std::vector<I>& list, I i) { return list[static_cast<std::size_t>(i)]; };
  const auto blend = [&](const NaiveAxis& axis, I i, float lower, float upper) {
    const auto k = static_cast<std::size_t>(i);
    return axis.lower_weights[k] * lower + axis.upper_weights[k] * upper;
  };
  const bool columns_first = new_width * height < new_height * width;
  std::vector<float> result;
  for (I p = 0; p < planes; ++p) {
    const float* plane = x.data<float>() + p * height * width;
    for (I i = 0; i < new_height; ++i) {
      for (I j = 0; j < new_width; ++j) {
        if (!linear) {
          result.push_back(plane[at(rows.lower, i) * width + at(columns.lower, j)]);
          continue;
        }
        const float* top = plane + at(rows.lower, i) * width;
        const float* bottom = plane + at(rows.upper, i) * width;
        const I left = at(columns.lower, j);
        const I right = at(columns.upper, j);
        const bool both = height != new_height && width != new_width;
        if (both && columns_first) {
          result.push_back(
              blend(rows, i, blend(columns, j, top[left], top[right]), blend(columns, j, bottom[left], bottom[right])));
        } else if (both) {
          result.push_back(
              blend(columns, j, blend(rows, i, top[left], bottom[left]), blend(rows, i, top[right], bottom[right])));
        } else if (height != new_height) {
          result.push_back(blend(rows, i, top[j], bottom[j]));
        } else {
          const float* row = plane + i * width;
          result.push_back(width == new_width ? row[j] : blend(columns, j, row[left], row[right]));
        }
      }
    }
  }
  return result;
}

TEST(Resize, IsTheNaiveLoopOnEveryInstructionSet) {
  Random random(1);
  constexpr I kSides[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 20, 31, 33, 40, 64, 100};
  const auto side = [&] { return kSides[random.below(std::size(kSides))]; };
  for (int round = 0; round < 150; ++round) {
    const Shape shape{1 + random.below(2), 1 + random.below(9), side(), side()};
    const bool twice = random.one_in(4);
    const I new_height = twice ? 2 * shape[2] : side();
    const I new_width = twice ? 2 * shape[3] : side();
    Tensor x = noise(shape);
    for (float& value : x.values<float>()) {
      if (random.one_in(100)) value = random.one_in(2) ? std::numeric_limits<float>::infinity() : std::nanf("");
      if (random.one_in(50)) value = -0.0f;
    }
    for (const char* coordinates : {"half_pixel", "align_corners", "asymmetric"}) {
      for (const bool linear : {false, true}) {
        const std::vector<float> expected = naive_resize(coordinates, linear, x, new_height, new_width);
        const auto options = attributes({{"mode", text(linear ? "linear" : "nearest")},
                                         {"nearest_mode", text("floor")},
                                         {"coordinate_transformation_mode", text(coordinates)}});
        for_each_instruction_set(resize_loops_of_cpu(), [&] {
          for (const int threads : {1, 3}) {
            const Tensor to = sizes({shape[0], shape[1], new_height, new_width});
            const Tensor actual = run("Resize", {x, {}, {}, to}, options, threads);
            ASSERT_EQ(actual.shape(), (Shape{shape[0], shape[1], new_height, new_width}));
            for (std::size_t i = 0; i < expected.size(); ++i) {
              const float value = actual.data<float>()[i];
              ASSERT_TRUE((std::isnan(value) && std::isnan(expected[i])) ||
                          std::bit_cast<std::uint32_t>(value) == std::bit_cast<std::uint32_t>(expected[i]))
                  << coordinates << (linear ? " linear " : " nearest ") << shape.to_string() << " to " << new_height
                  << " x " << new_width << ", element " << i << ": " << value << " for " << expected[i];
            }
          }
        });
      }
    }
  }
}

TEST(Resize, PicksFromLongRowsAndFarInputs) {
  // One axis, so that threads cut a row anywhere; inputs that a vector cannot hold; an empty result.
  for (const I output : {0, 1, 5, 4'000, 50'001, 120'003}) {
    const Tensor x = noise({20'011});
    for (const char* mode : {"nearest", "linear"}) {
      const auto options = attributes({{"mode", text(mode)}, {"nearest_mode", text("floor")}});
      const bool linear = std::string(mode) == "linear";
      const std::vector<float> expected = naive_resize("half_pixel", linear, x.reshaped({1, 1, 1, 20'011}), 1, output);
      for_each_instruction_set(resize_loops_of_cpu(), [&] {
        for (const int threads : {1, 2, 3}) {
          const Tensor actual = run("Resize", {x, {}, {}, sizes({output})}, options, threads);
          ASSERT_EQ(elements<float>(actual), expected) << mode << " to " << output;
        }
      });
    }
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
