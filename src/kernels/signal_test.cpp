#include <cmath>
#include <complex>
#include <numbers>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using Signal = std::vector<std::complex<double>>;

// The definition.
Signal transform(const Signal& x, I length, double sign) {
  Signal y(static_cast<std::size_t>(length));
  for (I k = 0; k < length; ++k) {
    for (I n = 0; n < std::min<I>(length, static_cast<I>(x.size())); ++n) {
      const double angle =
          sign * 2 * std::numbers::pi * static_cast<double>(k * n % length) / static_cast<double>(length);
      y[static_cast<std::size_t>(k)] += x[static_cast<std::size_t>(n)] * std::polar(1.0, angle);
    }
  }
  return y;
}

// Of [outer, signal, inner, parts].
Signal signal_at(const Tensor& x, I outer, I inner) {
  const Shape& s = x.shape();
  Signal signal;
  for (I k = 0; k < s[1]; ++k) {
    const float* at = x.data<float>() + ((outer * s[1] + k) * s[2] + inner) * s[3];
    signal.emplace_back(at[0], s[3] == 2 ? at[1] : 0.0F);
  }
  return signal;
}

void expect_near(const Tensor& y, I outer, I inner, const Signal& expected, double scale) {
  const Signal actual = signal_at(y, outer, inner);
  ASSERT_LE(actual.size(), expected.size());
  const double tolerance = 1e-5 * static_cast<double>(expected.size()) * scale;
  for (std::size_t k = 0; k < actual.size(); ++k) {
    ASSERT_NEAR(actual[k].real(), expected[k].real() * scale, tolerance) << k;
    ASSERT_NEAR(actual[k].imag(), y.shape()[3] == 2 ? expected[k].imag() * scale : 0, tolerance) << k;
  }
}

TEST(DFT, AgreesWithTheDefinition) {
  for (const I length : {1, 2, 3, 4, 5, 7, 8, 12, 16, 31, 60, 64, 97, 128, 210}) {
    for (const I signal : {length, length + 3, std::max<I>(length / 2, 1)}) {
      for (const I parts : {1, 2}) {
        for (const bool inverse : {false, true}) {
          const Tensor x = noise({2, signal, 3, parts});
          const auto options = attributes({{"inverse", I{inverse ? 1 : 0}}});
          const std::vector<Tensor> inputs{x, Tensor::scalar<I>(length), Tensor::scalar<I>(1)};
          const Tensor y = run("DFT", inputs, options);
          ASSERT_EQ(y.shape(), Shape({2, length, 3, 2}));
          for (I i = 0; i < 6; ++i) {
            expect_near(y, i / 3, i % 3, transform(signal_at(x, i / 3, i % 3), length, inverse ? 1 : -1),
                        inverse ? 1 / static_cast<double>(length) : 1);
          }
          EXPECT_EQ(elements<float>(y), elements<float>(run("DFT", inputs, options, 4)));
        }
      }
    }
  }
}

TEST(DFT, OnesidedAndBack) {
  for (const I length : {1, 2, 5, 8, 9, 30}) {
    const Tensor x = noise({2, length, 1, 1});
    const auto forward = attributes({{"onesided", I{1}}});
    const Tensor axis = Tensor::scalar<I>(-3);
    const Tensor spectrum = run("DFT", {x, Tensor::scalar<I>(length), axis}, forward);
    ASSERT_EQ(spectrum.shape(), Shape({2, length / 2 + 1, 1, 2}));
    expect_near(spectrum, 1, 0, transform(signal_at(x, 1, 0), length, -1), 1);
    const auto backward = attributes({{"onesided", I{1}}, {"inverse", I{1}}});
    const Tensor again = run("DFT", {spectrum, Tensor::scalar<I>(length), axis}, backward);
    ASSERT_EQ(again.shape(), x.shape());
    for (I i = 0; i < x.element_count(); ++i) ASSERT_NEAR(again.data<float>()[i], x.data<float>()[i], 1e-5);
  }
  // The default length is even; parts that a real signal cannot have do not count.
  const Tensor odd = Tensor::of<float>({1, 2, 2}, {3, 9, 1, 9});
  EXPECT_THAT(elements<float>(run("DFT", {odd}, attributes({{"onesided", I{1}}, {"inverse", I{1}}}))),
              ::testing::ElementsAre(2, 1));
}

TEST(DFT, LongSignals) {
  const I length = 10007;
  Tensor x = Tensor::allocate(ElementType::kFloat64, {1, length, 1});
  for (I i = 0; i < length; ++i) x.data<double>()[i] = static_cast<double>(i * i % 1009) / 1009;
  const Tensor y = run("DFT", {x});
  for (const I k : {0, 1, 5003, 10006}) {
    std::complex<double> sum = 0;
    for (I n = 0; n < length; ++n) {
      sum += x.data<double>()[n] *
             std::polar(1.0, -2 * std::numbers::pi * static_cast<double>(k * n % length) / static_cast<double>(length));
    }
    EXPECT_NEAR(y.data<double>()[2 * k], sum.real(), 1e-9);
    EXPECT_NEAR(y.data<double>()[2 * k + 1], sum.imag(), 1e-9);
  }
}

TEST(DFT, RefusesWhatDoesNotFit) {
  const Tensor x = noise({2, 5, 1});
  const auto with = [&](const Tensor& data, I length, I axis, const tensor::Attributes& options = {}) {
    return reason_of([&] { run("DFT", {data, Tensor::scalar(length), Tensor::scalar(axis)}, options); });
  };
  EXPECT_EQ(run("DFT", {noise({0, 5, 1})}).shape(), Shape({0, 5, 2}));
  EXPECT_EQ(with(x, 0, 1), "op.value");
  EXPECT_EQ(with(x, -3, 1), "op.value");
  EXPECT_EQ(with(x, I{1} << 40, 1), "op.value");
  EXPECT_EQ(with(x, 5, 2), "op.axis");
  EXPECT_EQ(with(x, 5, 3), "op.axis");
  EXPECT_EQ(with(noise({2, 5, 3}), 5, 1), "op.shape");
  EXPECT_EQ(with(noise({2}), 2, 0), "op.shape");
  EXPECT_EQ(with(noise({2, 5, 2}), 5, 1, attributes({{"onesided", I{1}}})), "op.shape");
  EXPECT_EQ(with(x, 5, 1, attributes({{"onesided", I{1}}, {"inverse", I{1}}})), "op.shape");
  EXPECT_EQ(reason_of([] { run("DFT", {noise({2, 0, 1})}); }), "op.value");
  EXPECT_EQ(reason_of([&] { run("DFT", {x, vec<I>({1, 2})}); }), "op.shape");
}

TEST(STFT, FramesAreTransformedOnTheirOwn) {
  const Tensor x = noise({2, 37, 2});
  const Tensor window = noise({10});
  for (const bool onesided : {false, true}) {
    for (const bool windowed : {false, true}) {
      std::vector<Tensor> inputs{x, Tensor::scalar<I>(4), windowed ? window : Tensor(), Tensor::scalar<I>(10)};
      const auto options = attributes({{"onesided", I{onesided ? 1 : 0}}});
      const Tensor y = run("STFT", inputs, options);
      const I bins = onesided ? 6 : 10;
      ASSERT_EQ(y.shape(), Shape({2, 7, bins, 2}));
      for (I frame = 0; frame < 14; ++frame) {
        Signal signal;
        for (I k = 0; k < 10; ++k) {
          const float* at = x.data<float>() + (frame / 7 * 37 + frame % 7 * 4 + k) * 2;
          signal.push_back(std::complex<double>(at[0], at[1]) *
                           static_cast<double>(windowed ? window.data<float>()[k] : 1.0F));
        }
        const Signal expected = transform(signal, 10, -1);
        for (I k = 0; k < bins; ++k) {
          const float* at = y.data<float>() + (frame * bins + k) * 2;
          ASSERT_NEAR(at[0], expected[static_cast<std::size_t>(k)].real(), 1e-3);
          ASSERT_NEAR(at[1], expected[static_cast<std::size_t>(k)].imag(), 1e-3);
        }
      }
      EXPECT_EQ(elements<float>(y), elements<float>(run("STFT", inputs, options, 4)));
    }
  }
}

TEST(STFT, RefusesWhatDoesNotFit) {
  const Tensor x = noise({1, 20, 1});
  const auto with = [&](I step, const Tensor& window, I length) {
    return reason_of([&] { run("STFT", {x, Tensor::scalar(step), window, Tensor::scalar(length)}); });
  };
  EXPECT_EQ(with(0, noise({4}), 4), "op.value");
  EXPECT_EQ(with(1, noise({4}), 5), "op.shape");
  EXPECT_EQ(with(1, noise({2, 2}), 4), "op.shape");
  EXPECT_EQ(with(1, noise({21}), 21), "op.shape");
  EXPECT_EQ(with(1, noise({0}), 0), "op.value");
  EXPECT_EQ(run("STFT", {x, Tensor::scalar<I>(std::numeric_limits<I>::max()), noise({20})}).shape(),
            Shape({1, 1, 11, 2}));
  EXPECT_EQ(reason_of([] { run("STFT", {noise({20, 1}), Tensor::scalar<I>(1), noise({4})}); }), "op.rank");
}

TEST(MelWeightMatrix, Triangles) {
  const auto matrix = [](I bands, I length, I rate, float low, float high, I type = 1) {
    return run("MelWeightMatrix",
               {Tensor::scalar(bands), Tensor::scalar(length), Tensor::scalar(rate), Tensor::scalar(low),
                Tensor::scalar(high)},
               attributes({{"output_datatype", type}}));
  };
  const Tensor y = matrix(8, 16, 8192, 0, 4096);
  ASSERT_EQ(y.shape(), Shape({9, 8}));
  for (I band = 0; band < 8; ++band) {
    float greatest = 0;
    for (I j = 0; j < 9; ++j) greatest = std::max(greatest, y.data<float>()[j * 8 + band]);
    EXPECT_EQ(greatest, 1);
  }
  EXPECT_EQ(matrix(8, 16, 8192, 0, 4096, 11).element_type(), ElementType::kFloat64);
  EXPECT_EQ(matrix(8, 16, 8192, 0, 4096, 7).element_type(), ElementType::kInt64);
  // Bands beside the spectrum, and edges that are no frequencies.
  matrix(3, 16, 1, -600, 1e30F);
  matrix(3, 16, 100, -1e6F, std::nanf(""));
  EXPECT_EQ(reason_of([&] { matrix(0, 16, 100, 0, 10); }), "op.value");
  EXPECT_EQ(reason_of([&] { matrix(3, I{1} << 60, 100, 0, 10); }), "op.value");
  EXPECT_EQ(reason_of([&] { matrix(3, 16, 0, 0, 10); }), "op.value");
  EXPECT_EQ(reason_of([&] { matrix(3, 16, 100, 0, 10, 99); }), "op.type");
}

}  // namespace
}  // namespace lanner::kernels::testing
