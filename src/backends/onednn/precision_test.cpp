// Subgraphs whose instructions may multiply bfloat16, against the same blocks on the native kernels, in float32.
#include "backends/onednn/precision.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "backends/backend_testing.h"
#include "lanner/error.h"

namespace lanner::backends::testing {
namespace {

using I = std::int64_t;
using Ints = std::vector<std::int64_t>;
using Attributes = std::vector<std::pair<std::string, tensor::Attribute>>;

// Of one product: both factors have 8 bits, so each product is off by some 2^-9, and errors are independent.
constexpr double kOne = 4e-3;
// Below that nothing was rounded.
constexpr double kFloat32 = 4e-6;

bool computes_bf16() {
  return find_backend("onednn")->computes_bf16();
}

Attributes with_bf16(Attributes attributes = {}) {
  attributes.emplace_back("precision", std::string("bf16"));
  return attributes;
}

const Attributes kPadded = {{"pads", Ints{1, 1, 1, 1}}};

struct Result {
  double error = 0;                  // the largest relative error of any output
  std::map<std::string, int> steps;  // by operator
};

// Runs the block on both backends.
Result compare(const BlockWriter& writer, const std::vector<Tensor>& inputs) {
  const int count = static_cast<int>(writer.block.outputs.size());
  const std::vector<Tensor> expected = run(*build("native", writer), inputs, count);
  const auto subgraph = build("onednn", writer, 2);
  Result result;
  for (const int threads : {2, 1}) {
    profile::Recorder recorder;
    recorder.begin_run();
    const std::vector<Tensor> actual = run(*subgraph, inputs, count, threads, &recorder);
    result.steps.clear();
    for (const auto& event : recorder.events()) ++result.steps[event.label->op];
    for (std::size_t i = 0; i < actual.size(); ++i) {
      EXPECT_EQ(actual[i].element_type(), ElementType::kFloat32);
      result.error = std::max(result.error, relative_error(expected[i], actual[i]));
    }
  }
  return result;
}

// Whether the result was rounded to bfloat16 somewhere, and within what that may cost.
void expect_bf16(const Result& result, double most) {
  if (computes_bf16()) {
    EXPECT_GT(result.error, 1e-4);
    EXPECT_LT(result.error, most);
  } else {
    EXPECT_LT(result.error, kFloat32);
  }
}

struct ConvCase {
  std::string name;
  Shape x;
  Shape w;
  Attributes attributes = {};
  std::string algorithm = "direct-bf16";
};

class Bf16Conv : public ::testing::TestWithParam<ConvCase> {};

// With a bias, a residual that is needed later, one that is not, and an activation.
TEST_P(Bf16Conv, AgreesWithFloat32) {
  const ConvCase& c = GetParam();
  BlockWriter writer;
  const auto x = writer.input(c.x);
  const auto w = writer.constant(random_tensor(c.w, 2));
  const auto b = writer.constant(random_tensor({c.w[0]}, 3));
  Attributes attributes = with_bf16(c.attributes);
  attributes.emplace_back("algorithm", c.algorithm);
  const auto y = writer.add("Conv", {x, w, b}, attributes);
  const auto z = writer.add("Conv", {x, w}, attributes);
  attributes.emplace_back("activation", std::string("Swish"));
  writer.output(writer.add("FusedConv", {x, w, b, y}, attributes));
  writer.output(writer.add("FusedConv", {x, w, b, z}, attributes));
  writer.output(y);
  expect_bf16(compare(writer, {random_tensor(c.x, 1)}), kOne);
}

INSTANTIATE_TEST_SUITE_P(
    Forms, Bf16Conv,
    ::testing::Values(ConvCase{"pointwise", {1, 32, 14, 14}, {48, 32, 1, 1}},
                      ConvCase{"pointwise_strided", {2, 24, 15, 14}, {40, 24, 1, 1}, {{"strides", Ints{2, 2}}}},
                      ConvCase{"picture", {1, 3, 65, 63}, {32, 3, 7, 7}, {{"strides", Ints{2, 2}}}},
                      ConvCase{"padded", {2, 40, 17, 11}, {33, 40, 3, 3}, kPadded},
                      ConvCase{"dilated", {1, 32, 19, 19}, {64, 32, 3, 3}, {{"dilations", Ints{6, 6}}}},
                      ConvCase{"depthwise", {1, 40, 20, 20}, {40, 1, 3, 3}, {{"group", I{40}}}},
                      ConvCase{"grouped", {1, 64, 14, 14}, {64, 16, 3, 3}, {{"group", I{4}}}},
                      ConvCase{"few_channels", {1, 5, 9, 9}, {3, 5, 3, 3}},
                      ConvCase{"one_dimension", {2, 16, 50}, {20, 16, 3}},
                      ConvCase{"three_dimensions", {1, 16, 6, 7, 8}, {16, 16, 3, 3, 3}}),
    [](const auto& form) { return form.param.name; });

TEST(Precision, ConvolutionIsFloat32UnlessItMayBeOther) {
  for (const bool allowed : {false, true}) {
    BlockWriter writer;
    const auto x = writer.input({1, 64, 28, 28});
    const auto w = writer.constant(random_tensor({64, 64, 1, 1}, 2));
    // The algorithm is only a wish.
    Attributes attributes{{"algorithm", std::string("direct-bf16")}};
    if (allowed) attributes = with_bf16(attributes);
    writer.output(writer.add("Conv", {x, w}, attributes));
    const Result result = compare(writer, {random_tensor({1, 64, 28, 28}, 1)});
    if (allowed) {
      expect_bf16(result, kOne);
    } else {
      EXPECT_LT(result.error, kFloat32);
    }
  }
}

TEST(Precision, ProductsAgreeWithFloat32) {
  struct Case {
    Shape a, b;
    bool transposed;
  };
  for (const Case& c :
       {Case{{50, 96}, {96, 80}, false}, Case{{50, 96}, {80, 96}, true}, Case{{1, 96}, {200, 96}, true}}) {
    BlockWriter writer;
    const auto a = writer.input(c.a);
    const auto b = writer.constant(random_tensor(c.b, 2));
    const I outputs = c.b[c.transposed ? 0 : 1];
    const auto bias = writer.constant(random_tensor({outputs}, 3));
    const auto y =
        writer.add("Gemm", {a, b, bias}, with_bf16({{"transB", I{c.transposed}}, {"alpha", 0.5F}, {"beta", 2.0F}}));
    writer.output(y);
    const auto next = writer.constant(random_tensor({outputs, 64}, 4));
    writer.output(writer.add("MatMul", {writer.add("Relu", {y}), next}, with_bf16()));
    expect_bf16(compare(writer, {random_tensor(c.a, 1)}), kOne);
  }
  BlockWriter writer;
  const auto a = writer.input({2, 7, 64});
  writer.output(writer.add("MatMul", {a, writer.constant(random_tensor({64, 48}, 2))}, with_bf16()));
  expect_bf16(compare(writer, {random_tensor({2, 7, 64}, 1)}), kOne);
}

// A bias, an activation, and residuals that are kept as bfloat16 or not, needed later or not.
TEST(Precision, FusedProductsAgreeWithFloat32) {
  BlockWriter writer;
  const auto x = writer.input({2, 25, 96});
  const auto bias = writer.constant(random_tensor({96}, 3));
  const auto layer = [&](program::SlotIndex of, unsigned seed, program::SlotIndex residual, const char* activation) {
    const auto w = writer.constant(random_tensor({96, 96}, seed, -0.2F, 0.2F));
    return writer.add("FusedMatMul", {of, w, bias, residual}, with_bf16({{"activation", std::string(activation)}}));
  };
  const auto first = layer(x, 4, program::kNoSlot, "Gelu");
  const auto second = layer(first, 5, first, "Swish");
  const auto third = layer(second, 6, x, "Relu");
  writer.output(layer(third, 7, second, "Sigmoid"));
  writer.output(third);
  expect_bf16(compare(writer, {random_tensor({2, 25, 96}, 1)}), 4 * kOne);
}

// A bottleneck as ResNet has it, after a pooling, with what else lies between convolutions. Values are kept in bfloat16
// all the way: nothing is reordered but the input, the output, and what is both a part and in a Concat.
TEST(Precision, ValuesBetweenStayBfloat16) {
  BlockWriter writer;
  unsigned seed = 2;
  const auto conv = [&](program::SlotIndex x, I inputs, I outputs, I kernel,
                        program::SlotIndex residual = program::kNoSlot) {
    // Values keep their size.
    const float most = std::sqrt(6.0F / static_cast<float>(inputs * kernel * kernel));
    const auto w = writer.constant(random_tensor({outputs, inputs, kernel, kernel}, seed++, -most, most));
    const Attributes attributes = with_bf16({{"pads", Ints(4, kernel / 2)}, {"activation", std::string("Relu")}});
    return writer.add("FusedConv", {x, w, program::kNoSlot, residual}, attributes);
  };
  const auto x = writer.input({1, 32, 32, 32});
  const auto first =
      writer.add("MaxPool", {conv(x, 32, 64, 1)}, {{"kernel_shape", Ints{2, 2}}, {"strides", Ints{2, 2}}});
  const auto sum = conv(conv(conv(first, 64, 32, 1), 32, 32, 3), 32, 64, 1, first);
  const auto parts = writer.split(sum, {32, 32}, 1);
  const auto joined = writer.add("Concat", {conv(parts[0], 32, 32, 3), parts[1]}, {{"axis", I{1}}});
  const auto gate = writer.add("Sigmoid", {conv(joined, 64, 64, 1)});
  const auto gated = writer.add("Mul", {joined, gate});
  writer.output(conv(writer.add("Add", {gated, sum}), 64, 48, 1));
  const Result result = compare(writer, {random_tensor({1, 32, 32, 32}, 1)});
  expect_bf16(result, 4 * kOne);
  EXPECT_LE(result.steps.at("Reorder"), 3);
}

// Between subgraphs values are float32, and readers that need them have them so.
TEST(Precision, OutputsAndOtherReadersHaveFloat32) {
  BlockWriter writer;
  const auto x = writer.input({1, 32, 12, 12});
  const auto w = writer.constant(random_tensor({32, 32, 1, 1}, 2));
  const auto y = writer.add("Conv", {x, w}, with_bf16({{"algorithm", std::string("direct-bf16")}}));
  const auto exact = writer.add("Exp", {writer.add("Relu", {y})});
  writer.output(exact);
  const auto z = writer.add("Conv", {y, w}, with_bf16());
  writer.output(writer.add("Conv", {z, w}));
  writer.output(writer.add("GlobalAveragePool", {z}));

  const std::vector<dnnl::memory::data_type> numbers = onednn::numbers_of(writer.block);
  for (const auto slot : {x, w, y, exact, z}) EXPECT_EQ(numbers[slot], onednn::Number::f32) << slot;
  expect_bf16(compare(writer, {random_tensor({1, 32, 12, 12}, 1)}), 3 * kOne);
}

TEST(Precision, NumbersFollowFromAllReaders) {
  BlockWriter writer;
  const auto x = writer.input({1, 32, 12, 12});
  const auto w = writer.constant(random_tensor({32, 32, 1, 1}, 2));
  const auto only_bf16 = writer.add("Conv", {x, w}, with_bf16());
  const auto through = writer.add("Relu", {only_bf16});
  const auto mixed = writer.add("Conv", {through, w}, with_bf16());
  writer.output(writer.add("Conv", {mixed, w}, with_bf16()));
  writer.output(writer.add("Softmax", {mixed}));
  const std::vector<dnnl::memory::data_type> numbers = onednn::numbers_of(writer.block);
  const auto bf16 = computes_bf16() ? onednn::Number::bf16 : onednn::Number::f32;
  EXPECT_EQ(numbers[only_bf16], bf16);
  EXPECT_EQ(numbers[through], bf16);
  EXPECT_EQ(numbers[mixed], onednn::Number::f32);
  for (const auto output : writer.block.outputs) EXPECT_EQ(numbers[output], onednn::Number::f32);
}

TEST(Precision, UnknownPrecision) {
  BlockWriter writer;
  const auto w = writer.constant(random_tensor({16, 16, 3, 3}, 2));
  writer.output(writer.add("Conv", {writer.input({1, 16, 8, 8}), w}, {{"precision", std::string("f8")}}));
  try {
    build("onednn", writer);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.reason(), "op.attribute");
  }
}

}  // namespace
}  // namespace lanner::backends::testing
