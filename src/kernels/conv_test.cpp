#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using ::testing::ElementsAre;
using I = std::int64_t;
using Ints = std::vector<I>;

// Small whole numbers without a short period, so that sums are exact in every order.
Tensor ramp(const Shape& shape) {
  Tensor tensor = Tensor::allocate(ElementType::kFloat32, shape);
  I i = 0;
  for (float& value : tensor.values<float>()) value = static_cast<float>(i++ * 37 % 23 - 11);
  return tensor;
}

TEST(Conv, PadsAndStrides) {
  const Tensor x = Tensor::of<float>({1, 1, 3, 3}, {0, 1, 2, 3, 4, 5, 6, 7, 8});
  const Tensor w = Tensor::of<float>({1, 1, 3, 3}, {1, 1, 1, 1, 1, 1, 1, 1, 1});
  const auto same = attributes({{"pads", Ints{1, 1, 1, 1}}});
  EXPECT_THAT(elements<float>(run("Conv", {x, w}, same)), ElementsAre(8, 15, 12, 21, 36, 27, 20, 33, 24));
  const auto strided = attributes({{"pads", Ints{1, 1, 1, 1}}, {"strides", Ints{2, 2}}});
  EXPECT_THAT(elements<float>(run("Conv", {x, w}, strided)), ElementsAre(8, 12, 20, 24));
}

TEST(Conv, SplitsAnOddPaddingAsAsked) {
  const Tensor x = Tensor::of<float>({1, 1, 3}, {1, 2, 3});
  const Tensor w = Tensor::of<float>({1, 1, 2}, {1, 10});
  EXPECT_THAT(elements<float>(run("Conv", {x, w}, attributes({{"auto_pad", std::string("SAME_UPPER")}}))),
              ElementsAre(21, 32, 3));
  EXPECT_THAT(elements<float>(run("Conv", {x, w}, attributes({{"auto_pad", std::string("SAME_LOWER")}}))),
              ElementsAre(10, 21, 32));
}

// The definition, one output at a time.
std::vector<float> convolve(const Tensor& x, const Tensor& w, I groups, I stride, I dilation, I pad) {
  std::vector<float> out;
  const I inputs = w.shape()[1];
  const I per_group = w.shape()[0] / groups;
  const auto size = [&](int axis) {
    return (x.shape()[axis] + 2 * pad - dilation * (w.shape()[axis] - 1) - 1) / stride + 1;
  };
  for (I n = 0; n < x.shape()[0]; ++n) {
    for (I m = 0; m < w.shape()[0]; ++m) {
      for (I i = 0; i < size(2) * size(3); ++i) {
        float sum = 0;
        for (I k = 0; k < inputs * w.shape()[2] * w.shape()[3]; ++k) {
          const I c = m / per_group * inputs + k / (w.shape()[2] * w.shape()[3]);
          const I h = i / size(3) * stride + k / w.shape()[3] % w.shape()[2] * dilation - pad;
          const I v = i % size(3) * stride + k % w.shape()[3] * dilation - pad;
          if (h < 0 || v < 0 || h >= x.shape()[2] || v >= x.shape()[3]) continue;
          sum += x.data<float>()[((n * x.shape()[1] + c) * x.shape()[2] + h) * x.shape()[3] + v] *
                 w.data<float>()[m * inputs * w.shape()[2] * w.shape()[3] + k];
        }
        out.push_back(sum);
      }
    }
  }
  return out;
}

TEST(Conv, AgreesWithTheDefinition) {
  for (const I groups : {1, 2, 6}) {
    for (const I stride : {1, 2, 3}) {
      for (const I dilation : {1, 2}) {
        for (const I pad : {0, 2}) {
          for (const I kernel : {1, 3}) {
            const Tensor x = ramp({2, 6, 11, 13});
            const Tensor w = ramp({12, 6 / groups, kernel, kernel});
            const auto options = attributes({{"group", groups},
                                             {"strides", Ints{stride, stride}},
                                             {"dilations", Ints{dilation, dilation}},
                                             {"pads", Ints{pad, pad, pad, pad}}});
            const std::vector<float> expected = convolve(x, w, groups, stride, dilation, pad);
            EXPECT_EQ(elements<float>(run("Conv", {x, w}, options)), expected);
            EXPECT_EQ(elements<float>(run("Conv", {x, w}, options, 4)), expected);
          }
        }
      }
    }
  }
}

TEST(Conv, AddsBiasInOneToThreeDimensions) {
  const Tensor b = Tensor::of<float>({1}, {100});
  EXPECT_THAT(
      elements<float>(run("Conv", {Tensor::of<float>({1, 1, 3}, {1, 2, 3}), Tensor::of<float>({1, 1, 1}, {2}), b})),
      ElementsAre(102, 104, 106));
  const Tensor x = Tensor::of<float>({1, 1, 2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  const Tensor w = Tensor::of<float>({1, 1, 2, 2, 2}, {1, 1, 1, 1, 1, 1, 1, 1});
  EXPECT_THAT(elements<float>(run("Conv", {x, w, b})), ElementsAre(136));
}

TEST(Conv, RefusesWhatDoesNotFit) {
  const Tensor x = ramp({1, 2, 4, 4});
  const Tensor w = ramp({3, 2, 3, 3});
  EXPECT_EQ(run("Conv", {ramp({0, 2, 4, 4}), w}).shape(), Shape({0, 3, 2, 2}));
  EXPECT_EQ(reason_of([&] { run("Conv", {x, ramp({3, 3, 3, 3})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("Conv", {x, ramp({3, 2, 5, 5})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("Conv", {x, ramp({3, 2, 3})}); }), "op.rank");
  EXPECT_EQ(reason_of([&] { run("Conv", {x, w, ramp({2})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("Conv", {x, w}, attributes({{"pads", Ints{-1, 0, 0, 0}}})); }), "op.attribute");
  EXPECT_EQ(reason_of([&] { run("Conv", {x, w}, attributes({{"strides", Ints{0, 1}}})); }), "op.attribute");
  EXPECT_EQ(reason_of([&] { run("Conv", {x, w}, attributes({{"group", I{0}}})); }), "op.attribute");
}

// Weights without elements may have any kernel.
TEST(Conv, WithoutChannelsIsTheBias) {
  const Tensor x = Tensor::allocate(ElementType::kFloat32, {1, 0, 1, 1});
  const Tensor w = Tensor::allocate(ElementType::kFloat32, {2, 0, 30001, 30001});
  const auto options = attributes({{"pads", Ints{15000, 15000, 15000, 15000}}});
  EXPECT_THAT(elements<float>(run("Conv", {x, w, vec<float>({3, 4})}, options)), ElementsAre(3, 4));
  EXPECT_THAT(elements<float>(run("Conv", {x, w}, options)), ElementsAre(0, 0));
}

}  // namespace
}  // namespace lanner::kernels::testing
