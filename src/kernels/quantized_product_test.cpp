#include <algorithm>
#include <cmath>

#include "kernels/kernel_testing.h"
#include "tensor/elements.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::Each;
using ::testing::ElementsAre;

template <typename T>
Tensor bytes(const Shape& shape, std::uint32_t state = 7) {
  Tensor tensor = Tensor::allocate(element_type_of<T>(), shape);
  for (T& value : tensor.values<T>()) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<T>(state >> 24);
  }
  return tensor;
}

// Rows of a less their zero points times columns of b less theirs.
template <typename A, typename B>
std::vector<std::int32_t> product(const Tensor& a, const std::vector<int>& a_zero, const Tensor& b,
                                  const std::vector<int>& b_zero) {
  const I m = a.shape()[0];
  const I k = a.shape()[1];
  const I n = b.shape()[1];
  std::vector<std::int32_t> result;
  for (I i = 0; i < m; ++i) {
    for (I j = 0; j < n; ++j) {
      std::int32_t sum = 0;
      for (I d = 0; d < k; ++d) {
        sum += (a.data<A>()[i * k + d] - a_zero[static_cast<std::size_t>(i) % a_zero.size()]) *
               (b.data<B>()[d * n + j] - b_zero[static_cast<std::size_t>(j) % b_zero.size()]);
      }
      result.push_back(sum);
    }
  }
  return result;
}

TEST(MatMulInteger, FollowsTheDocumentsExample) {
  const Tensor a = Tensor::of<std::uint8_t>({4, 3}, {11, 7, 3, 10, 6, 2, 9, 5, 1, 8, 4, 0});
  const Tensor b = Tensor::of<std::uint8_t>({3, 2}, {1, 4, 2, 5, 3, 6});
  EXPECT_THAT(elements<std::int32_t>(run("MatMulInteger", {a, b, vec<std::uint8_t>({12}), vec<std::uint8_t>({0})})),
              ElementsAre(-38, -83, -44, -98, -50, -113, -56, -128));
}

TEST(MatMulInteger, SubtractsZeroPointsOfRowsAndColumns) {
  const Tensor a = bytes<std::uint8_t>({5, 40});
  const Tensor b = bytes<std::int8_t>({40, 3}, 9);
  const Tensor a_zero = vec<std::uint8_t>({0, 255, 7, 128, 1});
  const Tensor b_zero = vec<std::int8_t>({-128, 127, 3});
  const auto expected = product<std::uint8_t, std::int8_t>(a, {0, 255, 7, 128, 1}, b, {-128, 127, 3});
  EXPECT_EQ(elements<std::int32_t>(run("MatMulInteger", {a, b, a_zero, b_zero})), expected);
  EXPECT_EQ(elements<std::int32_t>(run("MatMulInteger",
                                       {a.reshaped({1, 5, 40}), b.reshaped({1, 40, 3}), a_zero.reshaped({1, 5, 1}),
                                        b_zero.reshaped({1, 1, 3})},
                                       {}, 4)),
            expected);
  const auto plain = product<std::uint8_t, std::int8_t>(a, {0}, b, {0});
  EXPECT_EQ(elements<std::int32_t>(run("MatMulInteger", {a, b})), plain);
}

TEST(MatMulInteger, TakesVectorsAndEmptyMatrices) {
  EXPECT_THAT(elements<std::int32_t>(run("MatMulInteger", {vec<std::int8_t>({1, 2}), vec<std::int8_t>({3, -4})})),
              ElementsAre(-5));
  const Tensor none = Tensor::allocate(ElementType::kUint8, {2, 0});
  EXPECT_THAT(elements<std::int32_t>(run("MatMulInteger", {none, none.reshaped({0, 2})})), Each(0));
  EXPECT_EQ(run("MatMulInteger", {none.reshaped({0, 2}), bytes<std::int8_t>({2, 3})}).shape(), Shape({0, 3}));
}

TEST(MatMulInteger, RefusesNonsense) {
  const Tensor a = bytes<std::uint8_t>({2, 3});
  const Tensor b = bytes<std::uint8_t>({3, 2});
  const auto reason = [](std::vector<Tensor> inputs) { return reason_of([&] { run("MatMulInteger", inputs); }); };
  EXPECT_EQ(reason({a, a}), "op.shape");
  EXPECT_EQ(reason({a, b, vec<std::uint8_t>({1, 2, 3})}), "op.shape");
  EXPECT_EQ(reason({a, b, vec<std::int8_t>({1})}), "op.type");
  EXPECT_EQ(reason({noise({2, 3}), b}), "op.type");
  EXPECT_EQ(reason({vec<std::uint8_t>({1, 2, 3}), b, vec<std::uint8_t>({1, 2, 3})}), "op.shape");
}

TEST(QLinearMatMul, FollowsTheDocumentsExample) {
  const Tensor a = Tensor::of<std::uint8_t>({2, 4}, {208, 236, 0, 238, 3, 214, 255, 29});
  const Tensor b = Tensor::of<std::uint8_t>({4, 3}, {152, 51, 244, 60, 26, 255, 0, 127, 246, 127, 254, 247});
  const std::vector<Tensor> inputs{a,
                                   vec<float>({0.0066f}),
                                   vec<std::uint8_t>({113}),
                                   b,
                                   vec<float>({0.00705f}),
                                   vec<std::uint8_t>({114}),
                                   vec<float>({0.0107f}),
                                   vec<std::uint8_t>({118})};
  EXPECT_THAT(elements<std::uint8_t>(run("QLinearMatMul", inputs)), ElementsAre(168, 115, 255, 1, 66, 151));
}

TEST(QLinearMatMul, ScalesRowsAndColumnsOfBatches) {
  const I m = 5;
  const I k = 20;
  const I n = 7;
  const Tensor a = bytes<std::int8_t>({2, m, k});
  const Tensor b = bytes<std::uint8_t>({k, n}, 3);
  const Tensor a_scale = Tensor::of<float>({2, m, 1}, {1, 0.5f, 0.25f, 2, 1, 0.125f, 1, 1, 2, 4});
  const Tensor b_scale = vec<float>({1, 2, 0.5f, 0.5f, 1, 4, 0.25f});
  const Tensor zeros = Tensor::of<std::int8_t>({2, m, 1}, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  const Tensor y = run("QLinearMatMul", {a, a_scale, zeros, b, b_scale, vec<std::uint8_t>({0, 0, 0, 0, 0, 0, 0}),
                                         Tensor::scalar(1024.0f), Tensor::scalar(std::int8_t{3})});
  ASSERT_EQ(y.shape(), Shape({2, m, n}));
  for (I batch = 0; batch < 2; ++batch) {
    for (I i = 0; i < m; ++i) {
      for (I j = 0; j < n; ++j) {
        int sum = 0;
        for (I d = 0; d < k; ++d) {
          sum += a.data<std::int8_t>()[(batch * m + i) * k + d] * b.data<std::uint8_t>()[d * n + j];
        }
        const float scaled = static_cast<float>(sum) * a_scale.data<float>()[batch * m + i] * b_scale.data<float>()[j];
        const float expected = std::clamp(std::nearbyint(scaled / 1024) + 3, -128.0f, 127.0f);
        ASSERT_EQ(y.data<std::int8_t>()[(batch * m + i) * n + j], expected);
      }
    }
  }
  // A vector drops a dimension that the matrix's scales have.
  const Tensor row = bytes<std::uint8_t>({3});
  const Tensor wide = bytes<std::uint8_t>({2, 3, 2}, 5);
  const Tensor scale = Tensor::of<float>({2, 1, 2}, {1, 0.5f, 0.25f, 2});
  const Tensor zero = Tensor::of<std::uint8_t>({2, 1, 2}, {1, 2, 3, 4});
  const Tensor one = Tensor::scalar(1.0f);
  const Tensor none = Tensor::scalar(std::uint8_t{0});
  const Tensor big = Tensor::scalar(512.0f);
  const Tensor vector = run("QLinearMatMul", {row, one, none, wide, scale, zero, big, none});
  EXPECT_EQ(vector.shape(), Shape({2, 2}));
  EXPECT_EQ(
      elements<std::uint8_t>(vector),
      elements<std::uint8_t>(run("QLinearMatMul", {row.reshaped({1, 3}), one, none, wide, scale, zero, big, none})));
}

TEST(QLinearMatMul, TakesSmallFloats) {
  using tensor::Float8E4M3FN;
  const Tensor a = Tensor::of<Float8E4M3FN>({1, 2}, {Float8E4M3FN(1.5f), Float8E4M3FN(-2)});
  const Tensor b = Tensor::of<Float8E4M3FN>({2, 1}, {Float8E4M3FN(4), Float8E4M3FN(0.5f)});
  const Tensor zero = Tensor::scalar(Float8E4M3FN(0));
  const Tensor one = Tensor::scalar(1.0f);
  const Tensor y = run("QLinearMatMul", {a, one, zero, b, one, zero, Tensor::scalar(2.0f), zero});
  EXPECT_EQ(y.element_type(), ElementType::kFloat8E4M3FN);
  EXPECT_EQ(static_cast<float>(*y.data<Float8E4M3FN>()), 2.5f);
}

TEST(ConvInteger, AgreesWithConvOnCenteredNumbers) {
  const Tensor x = bytes<std::uint8_t>({2, 4, 9, 8});
  const Tensor w = bytes<std::int8_t>({6, 2, 3, 2}, 11);
  const auto settings = attributes({{"group", I{2}},
                                    {"pads", std::vector<I>{1, 0, 2, 1}},
                                    {"strides", std::vector<I>{2, 1}},
                                    {"dilations", std::vector<I>{1, 2}}});
  const Tensor w_zero = vec<std::int8_t>({1, -2, 3, 0, 5, 127});
  Tensor x_float = Tensor::allocate(ElementType::kFloat32, x.shape());
  Tensor w_float = Tensor::allocate(ElementType::kFloat32, w.shape());
  for (I i = 0; i < x.element_count(); ++i) {
    x_float.data<float>()[i] = static_cast<float>(x.data<std::uint8_t>()[i] - 100);
  }
  for (I i = 0; i < w.element_count(); ++i) {
    w_float.data<float>()[i] = static_cast<float>(w.data<std::int8_t>()[i] - w_zero.data<std::int8_t>()[i / 12]);
  }
  const Tensor expected = run("Conv", {x_float, w_float}, settings);
  const Tensor y = run("ConvInteger", {x, w, Tensor::scalar(std::uint8_t{100}), w_zero}, settings, 4);
  ASSERT_EQ(y.shape(), expected.shape());
  for (I i = 0; i < y.element_count(); ++i) {
    ASSERT_EQ(static_cast<float>(y.data<std::int32_t>()[i]), expected.data<float>()[i]) << i;
  }
}

TEST(ConvInteger, FollowsTheDocumentsExample) {
  const Tensor x = Tensor::of<std::uint8_t>({1, 1, 3, 3}, {2, 3, 4, 5, 6, 7, 8, 9, 10});
  const Tensor w = Tensor::of<std::uint8_t>({1, 1, 2, 2}, {1, 1, 1, 1});
  EXPECT_THAT(elements<std::int32_t>(run("ConvInteger", {x, w, Tensor::scalar(std::uint8_t{1})})),
              ElementsAre(12, 16, 24, 28));
}

TEST(QLinearConv, ScalesChannelsAndAddsTheBias) {
  const Tensor x = bytes<std::uint8_t>({2, 3, 6, 5});
  const Tensor w = bytes<std::int8_t>({4, 3, 3, 3}, 13);
  const Tensor bias = vec<std::int32_t>({0, 1000, -20000, 7});
  const Tensor w_scale = vec<float>({0.5f, 1, 0.25f, 2});
  const auto settings = attributes({{"pads", std::vector<I>{1, 1, 1, 1}}});
  const Tensor sums = run("ConvInteger", {x, w, Tensor::scalar(std::uint8_t{120})}, settings);
  const Tensor y = run("QLinearConv",
                       {x, Tensor::scalar(0.5f), Tensor::scalar(std::uint8_t{120}), w, w_scale,
                        vec<std::int8_t>({0, 0, 0, 0}), Tensor::scalar(256.0f), Tensor::scalar(std::uint8_t{90}), bias},
                       settings, 3);
  ASSERT_EQ(y.shape(), sums.shape());
  for (I i = 0; i < y.element_count(); ++i) {
    const I channel = i / 30 % 4;
    const auto sum = static_cast<float>(sums.data<std::int32_t>()[i] + bias.data<std::int32_t>()[channel]);
    const float expected = std::nearbyint(sum * 0.5f * w_scale.data<float>()[channel] / 256) + 90;
    ASSERT_EQ(y.data<std::uint8_t>()[i], std::clamp(expected, 0.0f, 255.0f)) << i;
  }
}

TEST(QLinearConv, RefusesNonsense) {
  const Tensor x = bytes<std::uint8_t>({1, 2, 4, 4});
  const Tensor w = bytes<std::uint8_t>({3, 2, 1, 1});
  const Tensor scale = Tensor::scalar(1.0f);
  const Tensor zero = Tensor::scalar(std::uint8_t{0});
  const auto reason = [&](const Tensor& w_scale, const Tensor& y_scale, const Tensor& bias,
                          const tensor::Attributes& attributes = {}) {
    return reason_of([&] { run("QLinearConv", {x, scale, zero, w, w_scale, zero, y_scale, zero, bias}, attributes); });
  };
  const Tensor bias = vec<std::int32_t>({1, 2, 3});
  EXPECT_EQ(reason(scale, scale, bias), "");
  EXPECT_EQ(reason(vec<float>({1, 2}), scale, bias), "op.shape");
  EXPECT_EQ(reason(scale, vec<float>({1, 2}), bias), "op.shape");
  EXPECT_EQ(reason(scale, scale, vec<std::int32_t>({1})), "op.shape");
  EXPECT_EQ(reason(scale, scale, vec<float>({1, 2, 3})), "op.type");
  EXPECT_EQ(reason(scale, Tensor::scalar(1.0), bias), "op.type");
  EXPECT_EQ(reason(scale, scale, bias, attributes({{"group", I{0}}})), "op.attribute");
  EXPECT_EQ(reason(scale, scale, bias, attributes({{"group", I{3}}})), "op.shape");
}

}  // namespace
}  // namespace lanner::kernels::testing
