#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

// What is normalised is also read as it is, so no convolution before it can take the arithmetic in.
struct Case : Builder {
  I channels = 16;
  ValueId x = node("Abs", {input("x", "float32[1,16,5,5]")}, {}, "float32[1,16,5,5]");
  Inputs inputs{numbers({1, 16, 5, 5})};

  ValueId norm(ValueId of, tensor::Attributes attributes = {}, std::string_view type = "float32[1,16,5,5]") {
    Tensor variance = numbers({channels}, 4);
    for (float& value : variance.values<float>()) value = value * value + 0.1f;
    return node("BatchNormalization",
                {of, constant(numbers({channels}, 1)), constant(numbers({channels}, 2)),
                 constant(numbers({channels}, 3)), constant(variance)},
                std::move(attributes), type);
  }
  ValueId conv(ValueId of) {
    return node("Conv", {of, constant(numbers({4, channels, 1, 1}, 7))}, {}, "float32[1,4,5,5]");
  }
};

TEST(BatchNormAsConv, BeforeAConvolution) {
  Case directly;
  directly.output(directly.conv(directly.norm(directly.x)));
  expect_rewrites(directly.graph, kBatchNormAsConv, "Abs Conv Conv", directly.inputs, 1e-5);
  const Node& made = find_node(directly.graph, "Conv");
  EXPECT_EQ(made.attributes.get_int("group", 1), 16);
  EXPECT_THAT(made.stands_for, ::testing::ElementsAre("BatchNormalization"));

  Case activated;
  activated.output(activated.conv(
      activated.node("Relu", {activated.norm(activated.x, attributes({{"epsilon", 0.1f}}))}, {}, "float32[1,16,5,5]")));
  expect_rewrites(activated.graph, kBatchNormAsConv, "Abs Conv Relu Conv", activated.inputs, 1e-5);
}

TEST(BatchNormAsConv, DeclinesWhereNoConvolutionReadsIt) {
  Case test;
  test.output(test.norm(test.x));
  expect_declines(test.graph, kBatchNormAsConv);
  Case far;
  far.output(far.node("Relu", {far.norm(far.x)}, {}, "float32[1,16,5,5]"));
  expect_declines(far.graph, kBatchNormAsConv);
}

TEST(BatchNormAsConv, DeclinesAModelsInputAndOtherRanks) {
  Case input;
  input.output(input.conv(input.norm(input.graph.inputs()[0])));
  expect_declines(input.graph, kBatchNormAsConv);

  Case signal;
  const ValueId y = signal.node("Abs", {signal.input("y", "float32[1,16,9]")}, {}, "float32[1,16,9]");
  signal.output(signal.node("Conv", {signal.norm(y, {}, "float32[1,16,9]"), signal.constant(numbers({4, 16, 1}, 7))}));
  expect_declines(signal.graph, kBatchNormAsConv);
}

TEST(BatchNormAsConv, DeclinesWhatIsNotConstantOrTrains) {
  Case training;
  training.output(training.conv(training.norm(training.x, attributes({{"training_mode", I{1}}}))));
  expect_declines(training.graph, kBatchNormAsConv, "training mode");

  Case mean;
  const ValueId one = mean.constant(numbers({16}));
  mean.output(mean.conv(mean.node("BatchNormalization", {mean.x, one, one, mean.input("mean", "float32[16]"), one}, {},
                                  "float32[1,16,5,5]")));
  expect_declines(mean.graph, kBatchNormAsConv, "the mean is not constant");
}

}  // namespace
}  // namespace lanner::passes::testing
