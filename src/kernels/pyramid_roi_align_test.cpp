#include <random>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;

constexpr I kChannels = 70;
constexpr I kHeight = 3;
constexpr I kWidth = 5;

// Regions on maps of decreasing size, with the rows that their results go to.
struct Problem {
  struct Level {
    Tensor map;  // [batch, channels, height, width]
    Tensor regions;
    Tensor images;
    Tensor rows;
    float scale;
  };
  std::vector<Level> levels;
  I row_count;

  explicit Problem(const std::vector<std::vector<I>>& rows, I row_count, unsigned seed = 3) : row_count(row_count) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> value(-1, 1);
    std::uniform_real_distribution<float> place(-9, 90);
    float scale = 0.5f;
    I side = 40;
    for (const std::vector<I>& of_level : rows) {
      const auto count = static_cast<I>(of_level.size());
      Level level{Tensor::allocate(ElementType::kFloat32, {2, kChannels, side, side + 3}),
                  Tensor::allocate(ElementType::kFloat32, {count, 4}), Tensor::allocate(ElementType::kInt64, {count}),
                  Tensor::of<I>({count, 1}, of_level), scale};
      for (float& element : level.map.values<float>()) element = value(random);
      for (float& element : level.regions.values<float>()) element = place(random);
      for (I& image : level.images.values<I>()) image = static_cast<I>(random() % 2);
      levels.push_back(std::move(level));
      scale /= 2;
      side /= 2;
    }
  }

  tensor::Attributes options() const {
    return attributes({{"output_height", kHeight}, {"output_width", kWidth}, {"sampling_ratio", I{2}}});
  }

  // RoiAlign and ScatterND, one level after the other.
  Tensor separately() const {
    Tensor result = Tensor::allocate(ElementType::kFloat32, {row_count, kChannels, kHeight, kWidth});
    std::ranges::fill(result.values<float>(), 0.0f);
    for (const Level& level : levels) {
      tensor::Attributes settings = options();
      settings.set("spatial_scale", level.scale);
      const Tensor pooled = run("RoiAlign", {level.map, level.regions, level.images}, settings);
      const I count = level.images.element_count();
      const Tensor rows = run("Expand", {level.rows, vec<I>({count, 1})});
      result = run("ScatterND", {result, rows, pooled});
    }
    return result;
  }

  Tensor together(int threads) const {
    tensor::Attributes settings = options();
    std::vector<float> scales;
    std::vector<Tensor> inputs{vec<I>({row_count, kChannels, kHeight, kWidth})};
    for (const Level& level : levels) {
      inputs.push_back(run("Transpose", {level.map}, attributes({{"perm", std::vector<I>{0, 2, 3, 1}}})));
      inputs.insert(inputs.end(), {level.regions, level.images, level.rows});
      scales.push_back(level.scale);
    }
    settings.set("spatial_scales", scales);
    return run("PyramidRoiAlign", inputs, settings, threads);
  }
};

void expect_same(const Problem& problem) {
  const std::vector<float> expected = elements<float>(problem.separately());
  for (const int threads : {1, 3}) EXPECT_EQ(elements<float>(problem.together(threads)), expected);
}

TEST(PyramidRoiAlign, IsRoiAlignAndScatterNDOfEachLevel) {
  expect_same(Problem({{3, 0, 7, 9, 12, 14}, {1, 2, 4}, {5, 6, 8, 10, 11, 13}}, 15));
}

TEST(PyramidRoiAlign, RowsThatNobodyOrSeveralName) {
  expect_same(Problem({{3, 0, -1, 3}, {}, {0, 4}}, 9));
}

TEST(PyramidRoiAlign, OneRowForAll) {
  Problem problem({{1, 1, 1}, {0}}, 2);
  problem.levels[0].rows = Tensor::of<I>({1, 1}, {1});
  expect_same(problem);
}

TEST(PyramidRoiAlign, RegionsThatAreNoNumbers) {
  Problem problem({{0, 1, 2}}, 3);
  problem.levels[0].regions.data<float>()[1] = std::numeric_limits<float>::quiet_NaN();
  problem.levels[0].regions.data<float>()[4] = -std::numeric_limits<float>::infinity();
  problem.levels[0].regions.data<float>()[8] = 1e30f;
  const std::vector<float> expected = elements<float>(problem.separately());
  const std::vector<float> actual = elements<float>(problem.together(2));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(actual[i] == expected[i] || (expected[i] != expected[i] && actual[i] != actual[i])) << i;
  }
}

TEST(PyramidRoiAlign, NothingToDo) {
  expect_same(Problem({{}, {}}, 4));
  EXPECT_EQ(Problem({{}, {}}, 0).together(2).shape(), (Shape{0, kChannels, kHeight, kWidth}));
}

TEST(PyramidRoiAlign, RefusesWhatDoesNotFit) {
  Problem image({{0, 1}}, 2);
  image.levels[0].images.data<I>()[1] = 2;
  EXPECT_EQ(reason_of([&] { image.together(1); }), "op.index");
  EXPECT_EQ(reason_of([&] { Problem({{0, 2}}, 2).together(1); }), "op.index");
  Problem rows({{0, 1, 2}}, 3);
  rows.levels[0].rows = vec<I>({0, 1});
  EXPECT_EQ(reason_of([&] { rows.together(1); }), "op.shape");
  Problem type({{0}}, 1);
  type.levels[0].images = vec<float>({0});
  EXPECT_EQ(reason_of([&] { type.together(1); }), "op.type");
  EXPECT_EQ(reason_of([&] {
              run("PyramidRoiAlign", {vec<I>({1, 1, 1, 1})}, attributes({{"spatial_scales", std::vector<float>{1}}}));
            }),
            "op.attribute");
}

}  // namespace
}  // namespace lanner::kernels::testing
