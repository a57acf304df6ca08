#include <cmath>
#include <limits>
#include <random>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using I = std::int64_t;

Tensor random_grid(const Shape& shape, std::uint32_t seed) {
  Tensor tensor = Tensor::allocate(ElementType::kFloat32, shape);
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> values(-2.5f, 2.5f);
  for (float& value : tensor.values<float>()) value = values(random);
  return tensor;
}

// The definition: one point, one axis after another, every pixel looked up by its position.
class Definition {
 public:
  Definition(std::string mode, std::string padding, bool align, const Shape& shape)
      : mode_(std::move(mode)), padding_(std::move(padding)), align_(align), shape_(shape) {}

  double value(const float* plane, const float* point) const { return value(plane, point, 2, 0); }

 private:
  double value(const float* plane, const float* point, int axis, I offset) const {
    if (axis == shape_.rank()) return plane[offset];
    const I size = shape_[axis];
    const float n = point[shape_.rank() - 1 - axis];
    const auto length = static_cast<float>(size);
    float x = align_ ? (n + 1) / 2 * (length - 1) : ((n + 1) * length - 1) / 2;
    if (mode_ == "nearest") x = std::nearbyint(x);
    const double low = align_ ? 0 : -0.5, high = static_cast<double>(size - 1) - low;
    const bool outside = static_cast<double>(x) < low || static_cast<double>(x) > high;
    if (padding_ == "border" && outside) x = std::clamp(x, 0.0f, length - 1);
    if (padding_ == "reflection") {
      double at = x;
      while (at < low || at > high) at = at < low ? 2 * low - at : 2 * high - at;
      x = static_cast<float>(at);
    }
    const double floor = std::floor(x), t = static_cast<double>(x) - floor;
    double sum = 0;
    for (I i = -1; i <= 2; ++i) {
      const double d = std::abs(t - static_cast<double>(i)), a = -0.75;
      double weight = 0;
      if (mode_ == "cubic") {
        weight = d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
      } else {
        weight = std::max(0.0, 1 - d);
      }
      I index = static_cast<I>(floor) + i;
      if (padding_ == "zeros" && (index < 0 || index >= size)) continue;
      if (padding_ == "border") index = std::clamp<I>(index, 0, size - 1);
      while (index < 0 || index >= size) {
        if (align_) index = index < 0 ? -index : 2 * (size - 1) - index;
        if (!align_) index = index < 0 ? -1 - index : 2 * size - 1 - index;
      }
      if (weight != 0) sum += weight * value(plane, point, axis + 1, offset * size + index);
    }
    return sum;
  }

  std::string mode_, padding_;
  bool align_;
  Shape shape_;
};

TEST(GridSample, AgreesWithTheDefinition) {
  const Shape images[] = {{2, 2, 7}, {2, 3, 5, 4}, {1, 2, 3, 4, 5}};
  const Shape grids[] = {{2, 130, 1}, {2, 9, 10, 2}, {1, 3, 4, 5, 3}};
  for (std::size_t i = 0; i < std::size(images); ++i) {
    for (const std::string mode : {"linear", "nearest", "cubic"}) {
      for (const std::string padding : {"zeros", "border", "reflection"}) {
        for (const bool align : {false, true}) {
          const Tensor x = noise(images[i]);
          const Tensor grid = random_grid(grids[i], 7);
          const auto options =
              attributes({{"mode", mode}, {"padding_mode", padding}, {"align_corners", I{align ? 1 : 0}}});
          const Tensor y = run("GridSample", {x, grid}, options, 1);
          const Definition definition(mode, padding, align, images[i]);
          const I rank = images[i].rank() - 2;
          const I points = grids[i].element_count(1, grids[i].rank() - 1);
          const I channels = images[i][1];
          ASSERT_EQ(y.element_count(), images[i][0] * channels * points);
          for (I k = 0; k < y.element_count(); ++k) {
            const I plane = k / points;
            const float* point = grid.data<float>() + (plane / channels * points + k % points) * rank;
            const double expected =
                definition.value(x.data<float>() + plane * images[i].element_count(2, images[i].rank()), point);
            ASSERT_NEAR(y.data<float>()[k], expected, 2e-4) << mode << " " << padding << " " << align << " at " << k;
          }
          EXPECT_EQ(elements<float>(y), elements<float>(run("GridSample", {x, grid}, options, 4)));
        }
      }
    }
  }
}

TEST(GridSample, PointsThatAreNoNumbers) {
  const float infinity = std::numeric_limits<float>::infinity();
  const Tensor x = Tensor::of<float>({1, 1, 2, 2}, {3, 3, 3, 3});
  const Tensor grid =
      Tensor::of<float>({1, 1, 5, 2}, {infinity, 0, -infinity, 0, std::nanf(""), 0, 1e30f, 0, -1e30f, 0});
  for (const std::string mode : {"linear", "nearest", "cubic"}) {
    const auto of = [&](std::string padding) {
      return elements<float>(
          run("GridSample", {x, grid}, attributes({{"mode", mode}, {"padding_mode", std::move(padding)}})));
    };
    EXPECT_THAT(of("zeros"), Each(0));
    EXPECT_THAT(of("border"), Each(3));
    EXPECT_THAT(of("reflection"), Each(3));
  }
  // Nothing is read outside: what lies there does not spoil the sum.
  const Tensor spoilt = Tensor::of<float>({1, 1, 1, 2}, {infinity, 1});
  EXPECT_THAT(elements<float>(run("GridSample", {spoilt, Tensor::of<float>({1, 1, 1, 2}, {1, 0})})), ElementsAre(0.5));
}

TEST(GridSample, OnePixelMirrored) {
  const Tensor x = Tensor::of<float>({1, 1, 1, 1}, {5});
  const auto options = attributes({{"padding_mode", std::string("reflection")}, {"align_corners", I{1}}});
  EXPECT_THAT(elements<float>(run("GridSample", {x, Tensor::of<float>({1, 1, 2, 2}, {0, 0, 3, -9})}, options)),
              Each(5));
}

TEST(GridSample, RefusesWhatDoesNotFit) {
  const Tensor x = noise({1, 2, 3, 4});
  const auto reason = [&](const Tensor& grid, const tensor::Attributes& options = {}) {
    return reason_of([&] { run("GridSample", {x, grid}, options); });
  };
  EXPECT_EQ(run("GridSample", {x, noise({1, 0, 5, 2})}).shape(), Shape({1, 2, 0, 5}));
  EXPECT_EQ(reason(noise({1, 5, 5, 3})), "op.shape");
  EXPECT_EQ(reason(noise({2, 5, 5, 2})), "op.shape");
  EXPECT_EQ(reason(noise({1, 5, 2})), "op.rank");
  EXPECT_EQ(reason(noise({1, 5, 5, 2}), attributes({{"mode", std::string("magic")}})), "op.attribute");
  EXPECT_EQ(reason(noise({1, 5, 5, 2}), attributes({{"padding_mode", std::string("magic")}})), "op.attribute");
  EXPECT_EQ(reason_of([] { run("GridSample", {noise({1, 2, 0, 4}), noise({1, 5, 5, 2})}); }), "op.shape");
}

}  // namespace
}  // namespace lanner::kernels::testing
