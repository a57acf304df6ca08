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

std::vector<float> product(const Tensor& a, const Tensor& b) {
  std::vector<float> out;
  for (I i = 0; i < a.shape()[0]; ++i) {
    for (I j = 0; j < b.shape()[1]; ++j) {
      float sum = 0;
      for (I k = 0; k < a.shape()[1]; ++k) {
        sum += a.data<float>()[i * a.shape()[1] + k] * b.data<float>()[k * b.shape()[1] + j];
      }
      out.push_back(sum);
    }
  }
  return out;
}

Tensor transposed(const Tensor& a) {
  Tensor out = Tensor::allocate(ElementType::kFloat32, {a.shape()[1], a.shape()[0]});
  for (I i = 0; i < a.element_count(); ++i) {
    out.data<float>()[i % a.shape()[1] * a.shape()[0] + i / a.shape()[1]] = a.data<float>()[i];
  }
  return out;
}

TEST(MatMul, AgreesWithTheDefinitionAtEverySize) {
  for (const Shape& size : {Shape{1, 1, 1}, {1, 300, 70}, {70, 1, 300}, {3, 5, 7}, {65, 130, 257}, {130, 17, 600}}) {
    const Tensor a = ramp({size[0], size[2]});
    const Tensor b = ramp({size[2], size[1]});
    const std::vector<float> expected = product(a, b);
    EXPECT_EQ(elements<float>(run("MatMul", {a, b})), expected) << size.to_string();
    EXPECT_EQ(elements<float>(run("MatMul", {a, b}, {}, 4)), expected) << size.to_string();
    const auto both = attributes({{"transA", I{1}}, {"transB", I{1}}});
    EXPECT_EQ(elements<float>(run("Gemm", {transposed(a), transposed(b)}, both, 4)), expected) << size.to_string();
    EXPECT_EQ(elements<float>(run("Gemm", {a, transposed(b)}, attributes({{"transB", I{1}}}))), expected);
  }
}

TEST(MatMul, BroadcastsAndTakesVectors) {
  EXPECT_EQ(run("MatMul", {ramp({2, 1, 3, 4}), ramp({5, 4, 6})}).shape(), Shape({2, 5, 3, 6}));
  EXPECT_EQ(run("MatMul", {ramp({4}), ramp({5, 4, 6})}).shape(), Shape({5, 6}));
  EXPECT_EQ(run("MatMul", {ramp({3, 4}), ramp({4})}).shape(), Shape({3}));
  const Tensor a = Tensor::of<I>({3}, {1, 2, 3});
  EXPECT_THAT(elements<I>(run("MatMul", {a, a})), ElementsAre(14));
  const Tensor left = Tensor::of<float>({2, 1, 2}, {1, 2, 3, 4});
  const Tensor right = Tensor::of<float>({2, 2, 1}, {1, 10, 100, 1000});
  EXPECT_THAT(elements<float>(run("MatMul", {left, right})), ElementsAre(21, 4300));
}

TEST(MatMul, WrapsIntegersAndSumsNothingToZero) {
  const Tensor big = Tensor::of<std::int32_t>({1, 1}, {INT32_MAX});
  EXPECT_THAT(elements<std::int32_t>(run("MatMul", {big, big})), ElementsAre(1));
  EXPECT_THAT(elements<float>(run("MatMul", {ramp({2, 0}), ramp({0, 1})})), ElementsAre(0, 0));
}

TEST(MatMul, RefusesWhatDoesNotFit) {
  EXPECT_EQ(reason_of([] { run("MatMul", {ramp({2, 3}), ramp({2, 3})}); }), "op.shape");
  EXPECT_EQ(reason_of([] { run("MatMul", {ramp({}), ramp({2, 3})}); }), "op.rank");
  EXPECT_EQ(reason_of([] { run("MatMul", {ramp({2, 2, 2}), ramp({3, 2, 2})}); }), "op.shape");
  EXPECT_EQ(reason_of([] { run("MatMul", {ramp({1, 1}), Tensor::of<I>({1, 1}, {1})}); }), "op.type");
}

TEST(Gemm, ScalesAndBroadcastsC) {
  const Tensor a = Tensor::of<float>({2, 2}, {1, 2, 3, 4});
  const Tensor one = Tensor::of<float>({2, 2}, {1, 0, 0, 1});
  const auto options = attributes({{"alpha", 2.0f}, {"beta", 0.5f}});
  EXPECT_THAT(elements<float>(run("Gemm", {a, one, Tensor::of<float>({2}, {10, 20})}, options)),
              ElementsAre(7, 14, 11, 18));
  EXPECT_THAT(elements<float>(run("Gemm", {a, one, Tensor::of<float>({2, 1}, {10, 20})}, options)),
              ElementsAre(7, 9, 16, 18));
  EXPECT_THAT(elements<float>(run("Gemm", {a, one, Tensor::scalar(2.0f)}, options)), ElementsAre(3, 5, 7, 9));
  EXPECT_EQ(reason_of([&] { run("Gemm", {a, one, ramp({3})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("Gemm", {a, ramp({2})}); }), "op.rank");
}

}  // namespace
}  // namespace lanner::kernels::testing
