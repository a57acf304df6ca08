#include <algorithm>
#include <cmath>

#include "kernels/head_testing.h"
#include "kernels/integer_product_loops.h"
#include "kernels/kernel_testing.h"
#include "kernels/loops_testing.h"
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

// ---- random problems against the definition -------------------------------------------------------------------------

// int8 or uint8 elements, extremes often.
Tensor random_bytes(Random& random, const Shape& shape, bool is_signed) {
  Tensor tensor = Tensor::allocate(is_signed ? ElementType::kInt8 : ElementType::kUint8, shape);
  auto* const data = static_cast<std::uint8_t*>(tensor.raw_data());
  for (I i = 0; i < tensor.element_count(); ++i) {
    constexpr std::uint8_t kExtremes[] = {0, 127, 128, 255};
    data[i] = random.below(4) == 0 ? kExtremes[random.below(4)] : static_cast<std::uint8_t>(random.below(256));
  }
  return tensor;
}

I number_at(const Tensor& bytes, I index) {
  return bytes.element_type() == ElementType::kInt8 ? I{bytes.data<std::int8_t>()[index]}
                                                    : I{bytes.data<std::uint8_t>()[index]};
}
// Of zero points that repeat.
I zero_at(const Tensor& zeros, I index) {
  return zeros.defined() ? number_at(zeros, index % zeros.element_count()) : 0;
}

float random_scale(Random& random) {
  return 0.001f + 0.01f * random.unit();
}
Tensor random_scales(Random& random, I count) {
  Tensor scales = Tensor::allocate(ElementType::kFloat32, {count});
  for (float& scale : scales.values<float>()) scale = random_scale(random);
  return scales;
}

// What a sum becomes.
I quantized_sum(std::int32_t sum, float factor, I zero_point, bool is_signed) {
  const float x = std::nearbyint(static_cast<float>(sum) * factor) + static_cast<float>(zero_point);
  return static_cast<I>(std::clamp(x, is_signed ? -128.0f : 0.0f, is_signed ? 127.0f : 255.0f));
}

// The sums that ConvInteger is defined to give, by walking all taps of all outputs.
std::vector<std::int32_t> convolved(const Tensor& x, I x_zero, const Tensor& w, const Tensor& w_zero, I groups,
                                    const std::vector<I>& pads, const std::vector<I>& strides,
                                    const std::vector<I>& dilations, const Shape& shape) {
  const int rank = x.rank() - 2;
  std::vector<std::int32_t> sums;
  const I taps = w.shape().element_count(2, w.rank());
  const I plane = shape.element_count(2, shape.rank());
  const I inputs = w.shape()[1];
  for (I item = 0; item < shape.element_count(); ++item) {
    const I channel = item / plane % shape[1];
    const I image = item / plane / shape[1];
    const I group = channel / (shape[1] / groups);
    I sum = 0;
    for (I input = 0; input < inputs; ++input) {
      for (I tap = 0; tap < taps; ++tap) {
        I place = 0;
        I rest_of_item = item % plane;
        I rest_of_tap = tap;
        I step = 1;
        bool inside = true;
        for (int d = rank - 1; d >= 0; --d) {
          const auto i = static_cast<std::size_t>(d);
          const I at =
              rest_of_item % shape[d + 2] * strides[i] + rest_of_tap % w.shape()[d + 2] * dilations[i] - pads[i];
          inside = inside && at >= 0 && at < x.shape()[d + 2];
          place += at * step;
          step *= x.shape()[d + 2];
          rest_of_item /= shape[d + 2];
          rest_of_tap /= w.shape()[d + 2];
        }
        if (!inside) continue;
        sum += (number_at(x, ((image * groups + group) * inputs + input) * step + place) - x_zero) *
               (number_at(w, (channel * inputs + input) * taps + tap) - zero_at(w_zero, channel));
      }
    }
    sums.push_back(static_cast<std::int32_t>(static_cast<std::uint32_t>(sum)));
  }
  return sums;
}

TEST(QuantizedConvolutions, AreExactOnRandomProblems) {
  for_each_instruction_set(integer_product_loops_of_cpu(), [] {
    Random random(5);
    const auto between = [&](I low, I high) { return low + random.below(high - low + 1); };
    for (int round = 0; round < 50; ++round) {
      const int rank = static_cast<int>(between(1, 3));
      const bool depthwise = random.below(3) == 0;
      const bool pointwise = random.below(4) == 0;
      const I groups = depthwise ? between(1, 5) : between(1, 2);
      const I inputs = depthwise ? 1 : between(1, 9);
      const I outputs = depthwise ? between(1, 2) : between(1, 27);
      Shape x_shape{between(1, 2), groups * inputs};
      Shape w_shape{groups * outputs, inputs};
      std::vector<I> pads;
      std::vector<I> ends;
      std::vector<I> strides;
      std::vector<I> dilations;
      Shape shape{x_shape[0], groups * outputs};
      for (int d = 0; d < rank; ++d) {
        const I kernel = pointwise ? 1 : between(1, 3);
        pads.push_back(pointwise ? 0 : between(0, 2));
        ends.push_back(pointwise ? 0 : between(0, 2));
        strides.push_back(pointwise ? 1 : between(1, 3));
        dilations.push_back(between(1, 2));
        const I extent = (kernel - 1) * dilations.back() + 1;
        x_shape.push_back(extent + between(0, rank == 1 ? 200 : rank == 2 ? 25 : 6));
        w_shape.push_back(kernel);
        shape.push_back((x_shape[d + 2] + pads.back() + ends.back() - extent) / strides.back() + 1);
      }
      std::vector<I> all_pads = pads;
      all_pads.insert(all_pads.end(), ends.begin(), ends.end());
      const auto settings =
          attributes({{"group", groups}, {"pads", all_pads}, {"strides", strides}, {"dilations", dilations}});
      const bool x_signed = random.below(2) == 0;
      const bool w_signed = random.below(2) == 0;
      const bool y_signed = random.below(2) == 0;
      const Tensor x = random_bytes(random, x_shape, x_signed);
      const Tensor w = random_bytes(random, w_shape, w_signed);
      const Tensor x_zero = random_bytes(random, {}, x_signed);
      const bool per_channel = random.below(2) == 0;
      Tensor w_zero = random_bytes(random, per_channel ? Shape{w_shape[0]} : Shape{}, w_signed);
      if (random.below(2) == 0) {  // as tools write it
        std::fill_n(static_cast<std::uint8_t*>(w_zero.raw_data()), w_zero.element_count(), w_signed ? 0 : 128);
      }
      const int threads = static_cast<int>(between(1, 3));
      const bool constant = random.below(2) == 0;
      const auto sums = convolved(x, zero_at(x_zero, 0), w, w_zero, groups, pads, strides, dilations, shape);
      const Tensor plain = run_twice("ConvInteger", {x, w, x_zero, w_zero}, settings, threads, constant);
      ASSERT_EQ(plain.shape(), shape);
      ASSERT_EQ(elements<std::int32_t>(plain), sums) << round;

      const Tensor x_scale = Tensor::scalar(random_scale(random));
      const Tensor w_scale = random_scales(random, per_channel ? w_shape[0] : 1);
      const Tensor y_scale = Tensor::scalar(random_scale(random));
      const Tensor y_zero = random_bytes(random, {}, y_signed);
      Tensor bias = Tensor::allocate(ElementType::kInt32, {w_shape[0]});
      for (std::int32_t& value : bias.values<std::int32_t>())
        value = static_cast<std::int32_t>(between(-100000, 100000));
      const Tensor y = run_twice("QLinearConv", {x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias},
                                 settings, threads, constant);
      ASSERT_EQ(y.shape(), shape);
      const I plane = shape.element_count(2, shape.rank());
      for (I i = 0; i < y.element_count(); ++i) {
        const I channel = i / plane % shape[1];
        const float factor =
            *x_scale.data<float>() * w_scale.data<float>()[per_channel ? channel : 0] / *y_scale.data<float>();
        const std::int32_t sum = sums[static_cast<std::size_t>(i)] + bias.data<std::int32_t>()[channel];
        ASSERT_EQ(number_at(y, i), quantized_sum(sum, factor, number_at(y_zero, 0), y_signed)) << round << ' ' << i;
      }
    }
  });
}

// Large enough for several threads, which share panels where there are few.
TEST(QuantizedConvolutions, DoNotDependOnThreads) {
  for_each_instruction_set(integer_product_loops_of_cpu(), [] {
    Random random(7);
    for (const Shape& x_shape : {Shape{1, 16, 30, 30}, Shape{1, 200, 7, 7}, Shape{2, 64, 14, 14}}) {
      const Tensor x = random_bytes(random, x_shape, false);
      const Tensor w = random_bytes(random, {50, x_shape[1], 3, 3}, false);
      const std::vector<Tensor> inputs{x, w, random_bytes(random, {}, false), random_bytes(random, {50}, false)};
      const auto settings = attributes({{"pads", std::vector<I>{1, 1, 1, 1}}});
      const auto one = elements<std::int32_t>(run("ConvInteger", inputs, settings, 1));
      ASSERT_EQ(elements<std::int32_t>(run("ConvInteger", inputs, settings, 3)), one);
    }
  });
}

TEST(QuantizedMatrixProducts, DoNotDependOnThreads) {
  for_each_instruction_set(integer_product_loops_of_cpu(), [] {
    Random random(8);
    for (const I columns : {30, 1000}) {
      const std::vector<Tensor> inputs{random_bytes(random, {80, 1100}, true),
                                       random_bytes(random, {1100, columns}, true), random_bytes(random, {80}, true),
                                       random_bytes(random, {columns}, true)};
      const auto one = elements<std::int32_t>(run("MatMulInteger", inputs, {}, 1));
      for (const bool constant : {false, true}) {
        ASSERT_EQ(elements<std::int32_t>(run_twice("MatMulInteger", inputs, {}, 3, constant)), one);
      }
    }
  });
}

TEST(QuantizedMatrixProducts, AreExactOnRandomProblems) {
  for_each_instruction_set(integer_product_loops_of_cpu(), [] {
    Random random(6);
    const auto between = [&](I low, I high) { return low + random.below(high - low + 1); };
    for (int round = 0; round < 50; ++round) {
      const I m = random.below(3) == 0 ? between(1, 3) : between(1, 60);
      const I n = between(1, 150);
      const I k = random.below(4) == 0 ? between(1, 8) : between(1, 300);
      const bool a_signed = random.below(2) == 0;
      const bool b_signed = random.below(2) == 0;
      const bool y_signed = random.below(2) == 0;
      // Batches: neither, a's alone, both, or one that repeats.
      const I batch = between(1, 3);
      const bool batched_a = random.below(2) == 0;
      const bool batched_b = random.below(3) == 0;
      const Tensor a = random_bytes(random, batched_a ? Shape{batch, m, k} : Shape{m, k}, a_signed);
      const Tensor b = random_bytes(random, batched_b ? Shape{batch, k, n} : Shape{k, n}, b_signed);
      const auto parameter = [&](const Shape& operand, I size, bool rows, bool is_signed) {
        switch (random.below(4)) {
          case 0:
            return Tensor();
          case 1:
            return random_bytes(random, {size}, is_signed);
          case 2: {
            Shape full = operand;
            full[rows ? full.rank() - 1 : full.rank() - 2] = 1;
            return random_bytes(random, full, is_signed);
          }
          default:
            return random_bytes(random, {}, is_signed);
        }
      };
      Tensor a_zero = parameter(a.shape(), m, true, a_signed);
      Tensor b_zero = parameter(b.shape(), n, false, b_signed);
      const int threads = static_cast<int>(between(1, 3));
      const bool constant = random.below(2) == 0;
      const Shape shape = batched_a || batched_b ? Shape{batch, m, n} : Shape{m, n};
      std::vector<std::int32_t> sums;
      for (I i = 0; i < shape.element_count(); ++i) {
        const I a_row = i / n % m + (batched_a ? i / n / m * m : 0);
        const I b_column = i % n + (batched_b ? i / n / m * n : 0);
        I sum = 0;
        for (I d = 0; d < k; ++d) {
          sum += (number_at(a, a_row * k + d) - zero_at(a_zero, a_row)) *
                 (number_at(b, (b_column / n * k + d) * n + b_column % n) - zero_at(b_zero, b_column));
        }
        sums.push_back(static_cast<std::int32_t>(sum));
      }
      const Tensor plain = run_twice("MatMulInteger", {a, b, a_zero, b_zero}, {}, threads, constant);
      ASSERT_EQ(plain.shape(), shape);
      ASSERT_EQ(elements<std::int32_t>(plain), sums) << round;

      const Tensor a_scale = random_scales(random, random.below(2) == 0 ? 1 : m);
      const Tensor b_scale = random_scales(random, random.below(2) == 0 ? 1 : n);
      const Tensor y_scale = Tensor::scalar(random_scale(random));
      const Tensor y_zero = random_bytes(random, {}, y_signed);
      if (!a_zero.defined()) a_zero = random_bytes(random, {}, a_signed);
      if (!b_zero.defined()) b_zero = random_bytes(random, {}, b_signed);
      const Tensor sums_again = run_twice("MatMulInteger", {a, b, a_zero, b_zero}, {}, 1, false);
      const Tensor y =
          run_twice("QLinearMatMul", {a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero}, {}, threads, constant);
      ASSERT_EQ(y.shape(), shape);
      for (I i = 0; i < y.element_count(); ++i) {
        const float factor = a_scale.data<float>()[i / n % m % a_scale.element_count()] *
                             b_scale.data<float>()[i % n % b_scale.element_count()] / *y_scale.data<float>();
        ASSERT_EQ(number_at(y, i),
                  quantized_sum(sums_again.data<std::int32_t>()[i], factor, number_at(y_zero, 0), y_signed))
            << round << ' ' << i;
      }
    }
  });
}

}  // namespace
}  // namespace lanner::kernels::testing
