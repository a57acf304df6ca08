#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <random>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using Ints = std::vector<I>;

Tensor random(const Shape& shape, std::uint32_t seed, float range) {
  Tensor tensor = Tensor::allocate(ElementType::kFloat32, shape);
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> values(-range, range);
  for (float& value : tensor.values<float>()) value = values(engine);
  return tensor;
}

// The place `index` of an array of that shape.
Ints unravel(I index, const Ints& shape) {
  Ints place(shape.size());
  for (std::size_t d = shape.size(); d-- > 0; index /= shape[d]) place[d] = index % shape[d];
  return place;
}

I product(const Ints& values) {
  return std::accumulate(values.begin(), values.end(), I{1}, std::multiplies<>());
}

Shape joined(std::initializer_list<I> first, const Ints& last) {
  Shape shape(first);
  for (const I dim : last) shape.push_back(dim);
  return shape;
}

// Linear interpolation in any number of dimensions, by the definition: every pixel counts as much as it is near.
double sample(const float* plane, const Ints& shape, const std::vector<double>& at) {
  double sum = 0;
  for (I i = 0; i < product(shape); ++i) {
    const Ints place = unravel(i, shape);
    double nearness = 1;
    for (std::size_t d = 0; d < shape.size(); ++d) {
      nearness *= std::max(0.0, 1 - std::abs(at[d] - static_cast<double>(place[d])));
    }
    sum += nearness * static_cast<double>(plane[i]);
  }
  return sum;
}

// The document's mask of n dimensions has a factor n that its mask of two dimensions does not have; no factor is meant.
TEST(DeformConv, AgreesWithTheDefinitionInOneToThreeDimensions) {
  std::mt19937 engine(3);
  const auto pick = [&](I low, I high) { return std::uniform_int_distribution<I>(low, high)(engine); };
  for (int round = 0; round < 60; ++round) {
    const std::size_t rank = 1 + static_cast<std::size_t>(round) % 3;
    const I batch = pick(1, 2), groups = pick(1, 2), offset_groups = pick(1, 2);
    const I channels = 2 * groups * offset_groups, maps = groups * pick(1, 3), per_group = channels / groups;
    Ints size, kernel, stride, dilation, pads(2 * rank), out;
    for (std::size_t d = 0; d < rank; ++d) {
      size.push_back(rank == 3 ? pick(4, 5) : pick(5, 9));
      kernel.push_back(pick(1, rank == 3 ? 2 : 3));
      stride.push_back(pick(1, 2));
      dilation.push_back(pick(1, 2));
      pads[d] = pick(0, 2);
      pads[rank + d] = pick(0, 2);
      out.push_back((size[d] + pads[d] + pads[rank + d] - dilation[d] * (kernel[d] - 1) - 1) / stride[d] + 1);
    }
    const I taps = product(kernel), outputs = product(out), n = static_cast<I>(rank);
    const Tensor x = random(joined({batch, channels}, size), 1, 2);
    const Tensor w = random(joined({maps, per_group}, kernel), 2, 1);
    const Tensor offset = random(joined({batch, offset_groups * taps * n}, out), 4, 3);
    const Tensor bias = random({maps}, 5, 1);
    const Tensor mask = random(joined({batch, offset_groups * taps}, out), 6, 1);
    const auto options = attributes({{"group", groups},
                                     {"offset_group", offset_groups},
                                     {"strides", stride},
                                     {"dilations", dilation},
                                     {"pads", pads}});
    const Tensor y = run("DeformConv", {x, w, offset, bias, mask}, options, 1);
    ASSERT_EQ(y.shape(), joined({batch, maps}, out));
    for (I i = 0; i < y.element_count(); ++i) {
      const I at = i % outputs, map = i / outputs % maps, image = i / outputs / maps;
      const Ints place = unravel(at, out);
      double sum = static_cast<double>(bias.data<float>()[map]);
      for (I k = 0; k < per_group * taps; ++k) {
        const I channel = map / (maps / groups) * per_group + k / taps, tap = k % taps;
        const I group_tap = (image * offset_groups + channel / (channels / offset_groups)) * taps + tap;
        const Ints tap_place = unravel(tap, kernel);
        std::vector<double> point(rank);
        for (std::size_t d = 0; d < rank; ++d) {
          const float shift = offset.data<float>()[(group_tap * n + static_cast<I>(d)) * outputs + at];
          point[d] = static_cast<double>(place[d] * stride[d] - pads[d] + tap_place[d] * dilation[d]) +
                     static_cast<double>(shift);
        }
        sum += sample(x.data<float>() + (image * channels + channel) * product(size), size, point) *
               static_cast<double>(mask.data<float>()[group_tap * outputs + at]) *
               static_cast<double>(w.data<float>()[map * per_group * taps + k]);
      }
      ASSERT_NEAR(y.data<float>()[i], sum, 1e-4) << "in " << rank << " dimensions";
    }
    EXPECT_EQ(elements<float>(y), elements<float>(run("DeformConv", {x, w, offset, bias, mask}, options, 4)));
  }
}

// Without offsets it is a convolution, in any number of dimensions.
TEST(DeformConv, IsAConvolutionWithoutOffsets) {
  const std::pair<Shape, Shape> problems[] = {
      {{2, 4, 40}, {3, 4, 3}}, {{1, 4, 5, 6, 7}, {3, 4, 2, 3, 2}}, {{1, 9, 70, 80}, {2, 9, 3, 3}}};
  for (const auto& [x_shape, w_shape] : problems) {
    const Tensor x = noise(x_shape), w = noise(w_shape);
    const Tensor expected = run("Conv", {x, w});
    Shape shape = expected.shape();
    shape[1] = w_shape.element_count(2, w_shape.rank()) * (w_shape.rank() - 2);
    Tensor offset = Tensor::allocate(ElementType::kFloat32, shape);
    std::ranges::fill(offset.values<float>(), 0.0f);
    const Tensor actual = run("DeformConv", {x, w, offset}, {}, 2);
    ASSERT_EQ(actual.shape(), expected.shape());
    for (I i = 0; i < actual.element_count(); ++i) {
      ASSERT_NEAR(actual.data<float>()[i], expected.data<float>()[i], 5e-3);
    }
  }
}

TEST(DeformConv, RefusesWhatDoesNotFit) {
  const Tensor x = noise({1, 2, 4, 4}), w = noise({3, 2, 3, 3}), offset = noise({1, 18, 2, 2});
  EXPECT_EQ(reason_of([&] { run("DeformConv", {x, w, noise({1, 9, 2, 2})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("DeformConv", {x, w, noise({1, 18, 4, 4})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("DeformConv", {x, w, offset, noise({2})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("DeformConv", {x, w, offset, noise({3}), noise({1, 18, 2, 2})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("DeformConv", {x, noise({3, 1, 3, 3}), offset}); }), "op.shape");
  EXPECT_EQ(reason_of([&] {
              run("DeformConv", {x, w, offset}, attributes({{"offset_group", I{0}}}));
            }),
            "op.attribute");
  const I vast = std::numeric_limits<I>::max();
  EXPECT_EQ(reason_of([&] { run("DeformConv", {x, w, offset}, attributes({{"offset_group", vast}})); }), "op.shape");
  // Offsets may point anywhere.
  Tensor wild = noise({1, 18, 2, 2});
  const float values[] = {1e30f, -1e30f, std::nanf(""), std::numeric_limits<float>::infinity()};
  for (I i = 0; i < wild.element_count(); ++i) wild.data<float>()[i] = values[i % 4];
  EXPECT_THAT(elements<float>(run("DeformConv", {x, w, wild})), ::testing::Each(0));
  // No channels.
  EXPECT_THAT(elements<float>(run("DeformConv", {noise({1, 0, 4, 4}), noise({1, 0, 3, 3}), offset, vec<float>({7})})),
              ::testing::Each(7));
}

}  // namespace
}  // namespace lanner::kernels::testing
