#include <cmath>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;

// Line by line, in double.
std::vector<double> reference(const Tensor& data, const Tensor& weights, int axis) {
  const Shape& shape = data.shape();
  const I inner = shape.element_count(axis + 1, shape.rank());
  const I length = shape[axis];
  std::vector<double> result;
  for (I line = 0; line < shape.element_count() / length; ++line) {
    const float* x = data.data<float>() + line / inner * length * inner + line % inner;
    double sum = 0;
    double weighted = 0;
    for (I k = 0; k < length; ++k) {
      const double e = std::exp(static_cast<double>(x[k * inner]));
      sum += e;
      weighted += e * static_cast<double>(weights.data<float>()[k]);
    }
    result.push_back(weighted / sum);
  }
  return result;
}

TEST(Expectation, IsTheMeanUnderSoftmax) {
  for (const Shape& shape : {Shape{2, 16, 300}, Shape{1, 4, 16, 129}, Shape{5, 17}, Shape{301, 16}, Shape{3, 1, 2}}) {
    for (int axis = 0; axis < shape.rank(); ++axis) {
      const Tensor data = noise(shape);
      const Tensor weights = noise({shape[axis]});
      const Tensor out = run("Expectation", {data, weights}, attributes({{"axis", I{axis}}}), 3);
      Shape expected_shape = shape;
      expected_shape[axis] = 1;
      ASSERT_EQ(out.shape(), expected_shape);
      const std::vector<double> expected = reference(data, weights, axis);
      for (std::size_t i = 0; i < expected.size(); ++i) {
        ASSERT_NEAR(out.data<float>()[i], expected[i], 2e-5) << i;
      }
    }
  }
}

TEST(Expectation, LargeLogits) {
  const Tensor out =
      run("Expectation", {vec<float>({1000, -1000, 999}), vec<float>({0, 1, 2})}, attributes({{"axis", I{-1}}}));
  EXPECT_NEAR(*out.data<float>(), 2 / (1 + std::exp(1.0)), 1e-6);
}

TEST(Expectation, NaNAndEmpty) {
  const Tensor out =
      run("Expectation", {vec<float>({1, std::nanf(""), 3}), vec<float>({0, 1, 2})}, attributes({{"axis", I{0}}}));
  EXPECT_TRUE(std::isnan(*out.data<float>()));
  const Tensor none = run("Expectation", {Tensor::allocate(ElementType::kFloat32, {3, 0}), vec<float>({0, 1, 2})},
                          attributes({{"axis", I{0}}}));
  EXPECT_EQ(none.shape(), (Shape{1, 0}));
}

TEST(Expectation, RefusesWhatDoesNotFit) {
  const auto axis = attributes({{"axis", I{0}}});
  EXPECT_EQ(reason_of([&] { run("Expectation", {vec<float>({1, 2}), vec<float>({1})}, axis); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("Expectation", {vec<I>({1}), vec<float>({1})}, axis); }), "op.type");
  EXPECT_EQ(reason_of([&] { run("Expectation", {vec<float>({}), vec<float>({})}, axis); }), "op.shape");
}

}  // namespace
}  // namespace lanner::kernels::testing
