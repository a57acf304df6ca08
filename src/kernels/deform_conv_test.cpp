#include <cmath>
#include <limits>
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

double pixel(const float* plane, I height, I width, double h, double w) {
  double sum = 0;
  for (I i = 0; i < height; ++i) {
    for (I j = 0; j < width; ++j) {
      sum += std::max(0.0, 1 - std::abs(h - static_cast<double>(i))) *
             std::max(0.0, 1 - std::abs(w - static_cast<double>(j))) * static_cast<double>(plane[i * width + j]);
    }
  }
  return sum;
}

TEST(DeformConv, AgreesWithTheDefinition) {
  std::mt19937 engine(3);
  const auto pick = [&](I low, I high) { return std::uniform_int_distribution<I>(low, high)(engine); };
  for (int round = 0; round < 40; ++round) {
    const I batch = pick(1, 2), groups = pick(1, 2), offset_groups = pick(1, 2);
    const I channels = 2 * groups * offset_groups, maps = groups * pick(1, 3);
    const I height = pick(5, 9), width = pick(5, 9), kernel_h = pick(1, 3), kernel_w = pick(1, 3);
    const I stride = pick(1, 2), dilation = pick(1, 2), pad = pick(0, 2);
    const I out_h = (height + 2 * pad - dilation * (kernel_h - 1) - 1) / stride + 1;
    const I out_w = (width + 2 * pad - dilation * (kernel_w - 1) - 1) / stride + 1;
    const I taps = kernel_h * kernel_w;
    const Tensor x = random({batch, channels, height, width}, 1, 2);
    const Tensor w = random({maps, channels / groups, kernel_h, kernel_w}, 2, 1);
    const Tensor offset = random({batch, offset_groups * taps * 2, out_h, out_w}, 4, 3);
    const Tensor bias = random({maps}, 5, 1);
    const Tensor mask = random({batch, offset_groups * taps, out_h, out_w}, 6, 1);
    const auto options = attributes({{"group", groups},
                                     {"offset_group", offset_groups},
                                     {"strides", Ints{stride, stride}},
                                     {"dilations", Ints{dilation, dilation}},
                                     {"pads", Ints{pad, pad, pad, pad}}});
    const Tensor y = run("DeformConv", {x, w, offset, bias, mask}, options, 1);
    ASSERT_EQ(y.shape(), Shape({batch, maps, out_h, out_w}));
    for (I i = 0; i < y.element_count(); ++i) {
      const I column = i % out_w, row = i / out_w % out_h, map = i / out_w / out_h % maps;
      const I image = i / out_w / out_h / maps, per_group = channels / groups;
      double sum = static_cast<double>(bias.data<float>()[map]);
      for (I k = 0; k < per_group * taps; ++k) {
        const I channel = map / (maps / groups) * per_group + k / taps, tap = k % taps;
        const I group_tap = (image * offset_groups + channel / (channels / offset_groups)) * taps + tap;
        const I at = row * out_w + column;
        const float* shift = offset.data<float>() + group_tap * 2 * out_h * out_w + at;
        const double h =
            static_cast<double>(row * stride - pad + tap / kernel_w * dilation) + static_cast<double>(shift[0]);
        const double v = static_cast<double>(column * stride - pad + tap % kernel_w * dilation) +
                         static_cast<double>(shift[out_h * out_w]);
        sum += pixel(x.data<float>() + (image * channels + channel) * height * width, height, width, h, v) *
               static_cast<double>(mask.data<float>()[group_tap * out_h * out_w + at]) *
               static_cast<double>(w.data<float>()[map * per_group * taps + k]);
      }
      ASSERT_NEAR(y.data<float>()[i], sum, 1e-4);
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
