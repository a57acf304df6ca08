#include <cmath>
#include <limits>
#include <random>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using Ints = std::vector<I>;
using base::testing::reason_of;

struct Problem {
  I heads = 3, size = 5, column = 2, columns = 20, queries = 7;
  Ints heights{4, 1, 3}, widths{6, 5, 2}, first_rows{1, 25, 30}, points{4, 1, 2};
  std::vector<Tensor> inputs;

  explicit Problem(float reach = 1.3f) {
    I all = 0;
    for (const I count : points) all += count;
    inputs = {noise({36, columns}), noise({heads, 1, queries, all})};
    std::mt19937 random(5);
    std::uniform_real_distribution<float> values(-reach, reach);
    for (const I count : points) {
      inputs.push_back(Tensor::allocate(ElementType::kFloat32, {heads, queries, count, 2}));
      for (float& value : inputs.back().values<float>()) value = values(random);
    }
  }
  tensor::Attributes options() const {
    return attributes({{"heads", heads},
                       {"size", size},
                       {"column", column},
                       {"heights", heights},
                       {"widths", widths},
                       {"first_rows", first_rows}});
  }
  // GridSample of each map, as ONNX defines it, times the weights, summed up.
  std::vector<double> expected() const {
    std::vector<double> sums(static_cast<std::size_t>(queries * heads * size), 0);
    I first = 0;
    for (std::size_t m = 0; m < points.size(); ++m) {
      Tensor map = Tensor::allocate(ElementType::kFloat32, {heads, size, heights[m], widths[m]});
      for (I channel = 0; channel < heads * size; ++channel) {
        for (I pixel = 0; pixel < heights[m] * widths[m]; ++pixel) {
          map.data<float>()[channel * heights[m] * widths[m] + pixel] =
              inputs[0].data<float>()[(first_rows[m] + pixel) * columns + column + channel];
        }
      }
      const Tensor samples = run("GridSample", {map, inputs[m + 2]}, attributes({{"mode", std::string("linear")}}));
      const float* sample = samples.data<float>();
      for (I h = 0; h < heads; ++h) {
        for (I c = 0; c < size; ++c) {
          for (I q = 0; q < queries; ++q) {
            for (I p = 0; p < points[m]; ++p, ++sample) {
              const double weight = inputs[1].data<float>()[(h * queries + q) * inputs[1].shape()[3] + first + p];
              sums[static_cast<std::size_t>((q * heads + h) * size + c)] += weight * static_cast<double>(*sample);
            }
          }
        }
      }
      first += points[m];
    }
    return sums;
  }
};

TEST(DeformableAttention, IsTheWeightedSumOfSamples) {
  for (const float reach : {0.5f, 1.3f, 4.0f}) {  // inside, over the borders, mostly outside
    const Problem problem(reach);
    for (const int threads : {1, 3}) {
      const Tensor y = run("DeformableAttention", problem.inputs, problem.options(), threads);
      ASSERT_EQ(y.shape(), (Shape{1, 7, 15}));
      const auto expected = problem.expected();
      for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(y.data<float>()[i], expected[i], 2e-4) << i;
    }
  }
}

TEST(DeformableAttention, APointThatIsNoNumberReadsZero) {
  Problem problem;
  for (std::size_t i = 2; i < problem.inputs.size(); ++i) {
    for (float& value : problem.inputs[i].values<float>()) value = std::numeric_limits<float>::quiet_NaN();
  }
  const Tensor y = run("DeformableAttention", problem.inputs, problem.options());
  for (const float value : y.values<float>()) ASSERT_EQ(value, 0);
  problem.inputs[1].data<float>()[0] = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(std::isnan(run("DeformableAttention", problem.inputs, problem.options()).data<float>()[0]));
}

TEST(DeformableAttention, ChecksShapes) {
  const Problem problem;
  const auto expect = [&](std::size_t input, const Shape& shape) {
    std::vector<Tensor> inputs = problem.inputs;
    inputs[input] = noise(shape);
    EXPECT_EQ(reason_of([&] { run("DeformableAttention", inputs, problem.options()); }), "op.shape") << input;
  };
  expect(0, {35, 20});  // the last map has no end
  expect(0, {36, 16});
  expect(1, {3, 1, 7, 6});
  expect(2, {3, 7, 4, 3});
  expect(3, {3, 6, 1, 2});
  const std::vector<Tensor> few(problem.inputs.begin(), problem.inputs.begin() + 3);
  EXPECT_EQ(reason_of([&] { run("DeformableAttention", few, problem.options()); }), "op.attribute");
}

}  // namespace
}  // namespace lanner::kernels::testing
