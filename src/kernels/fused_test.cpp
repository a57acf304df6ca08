// FusedMatMul against the chain it stands for; FusedConv's rules are tested so (passes/fuse_*_test.cpp).
#include <cstring>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;

// Whole numbers, whose sums are exact in any order.
Tensor whole(const Shape& shape) {
  return run("Round", {noise(shape)});
}

void expect_same_bits(const Tensor& expected, const Tensor& actual) {
  ASSERT_EQ(expected.shape(), actual.shape());
  EXPECT_EQ(std::memcmp(expected.raw_data(), actual.raw_data(), expected.byte_count()), 0);
}

TEST(FusedMatMul, IsTheChainToTheBit) {
  const Tensor w = whole({7, 5});
  const Tensor turned = run("Transpose", {w});
  const Tensor bias = vec<float>({1, -2, 3, -4, 5});
  for (const Shape& rows : {Shape{6}, {2, 3}, {2, 1, 4}, {0}, {2, 0}}) {
    Shape shape = rows;
    shape.push_back(7);
    const Tensor x = whole(shape);
    const Tensor product = run("MatMul", {x, w});
    const Tensor residual = noise(product.shape());
    const Tensor sum = run("Add", {run("Add", {product, bias}), residual});
    expect_same_bits(product, run("FusedMatMul", {x, w}));
    expect_same_bits(run("Add", {product, bias}),
                     run("FusedMatMul", {x, turned, bias}, attributes({{"transB", I{1}}})));
    expect_same_bits(sum, run("FusedMatMul", {x, w, bias, residual}, {}, 3));
    expect_same_bits(run("Add", {run("Tanh", {run("Add", {product, bias})}), residual}),
                     run("FusedMatMul", {x, w, bias, residual},
                         attributes({{"activation", std::string("Tanh")}, {"residual_last", I{1}}})));
    // The activation's alpha is none of Gemm's.
    const auto leaky = attributes({{"alpha", 0.25f}});
    expect_same_bits(run("LeakyRelu", {sum}, leaky),
                     run("FusedMatMul", {x, w, bias, residual},
                         attributes({{"activation", std::string("LeakyRelu")}, {"alpha", 0.25f}})));
    const auto tanh = attributes({{"approximate", std::string("tanh")}});
    expect_same_bits(run("Gelu", {sum}, tanh),
                     run("FusedMatMul", {x, w, bias, residual},
                         attributes({{"activation", std::string("Gelu")}, {"approximate", std::string("tanh")}})));
    expect_same_bits(run("Clip", {sum, Tensor::scalar(0.0f), Tensor::scalar(6.0f)}),
                     run("FusedMatMul", {x, w, bias, residual},
                         attributes({{"activation", std::string("Clip")}, {"min", 0.0f}, {"max", 6.0f}})));
  }
}

TEST(FusedMatMul, RefusesWhatDoesNotFit) {
  const Tensor x = noise({2, 3, 4});
  const Tensor w = noise({4, 5});
  const auto reason = [&](std::vector<Tensor> inputs, const tensor::Attributes& with = {}) {
    return reason_of([&] { run("FusedMatMul", inputs, with); });
  };
  EXPECT_EQ(reason({noise({4}), w}), "op.rank");
  EXPECT_EQ(reason({Tensor::scalar(1.0f), w}), "op.rank");
  EXPECT_EQ(reason({x, noise({2, 4, 5})}), "op.rank");
  EXPECT_EQ(reason({x, noise({5, 4})}), "op.shape");
  EXPECT_EQ(reason({x, w, noise({4})}), "op.shape");
  EXPECT_EQ(reason({x, w, noise({1, 5})}), "op.rank");
  EXPECT_EQ(reason({x, w, noise({5}), noise({3, 2, 5})}), "op.shape");
  EXPECT_EQ(reason({x, w, noise({5}), noise({1, 2, 3, 5})}), "op.shape");
  EXPECT_EQ(reason({x, w}, attributes({{"activation", std::string("Softmax")}})), "op.attribute");
}

}  // namespace
}  // namespace lanner::kernels::testing
