#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

struct Case : Builder {
  ValueId x = input("x", "float32[1,2,5,5]");
  ValueId weights = constant(numbers({3, 2, 3, 3}, 7), "weights");
  ValueId conv(std::vector<ValueId> inputs) {
    return node("Conv", std::move(inputs), attributes({{"pads", std::vector<I>{1, 1, 1, 1}}}), "float32[1,3,5,5]");
  }
  ValueId norm(ValueId y, tensor::Attributes attributes = {}) {
    return node("BatchNormalization",
                {y, constant(floats({1, -0.5f, 2})), constant(floats({3, 0, 1})), constant(floats({0.25f, 1, -1})),
                 constant(floats({0.5f, 2, 0}))},
                std::move(attributes), "float32[1,3,5,5]");
  }
  Inputs inputs{numbers({1, 2, 5, 5})};
};

TEST(FoldBatchNorm, GoesIntoWeightsAndBias) {
  Case without;
  without.output(without.norm(without.conv({without.x, without.weights})));
  expect_rewrites(without.graph, kFoldBatchNorm, "Conv", without.inputs, 1e-5);
  EXPECT_THAT(find_node(without.graph, "Conv").stands_for, ::testing::ElementsAre("Conv", "BatchNormalization"));

  Case with;
  with.output(
      with.norm(with.conv({with.x, with.weights, with.constant(floats({1, 2, 3}))}), attributes({{"epsilon", 0.1f}})));
  expect_rewrites(with.graph, kFoldBatchNorm, "Conv", with.inputs, 1e-5);
}

TEST(FoldBatchNorm, LeavesSharedWeightsAlone) {
  Case test;
  test.output(test.norm(test.conv({test.x, test.weights})));
  test.output(test.conv({test.x, test.weights}));
  expect_rewrites(test.graph, kFoldBatchNorm, "Conv Conv", test.inputs, 1e-5);
}

TEST(FoldBatchNorm, DeclinesWhenTheConvIsNeededAsItIs) {
  Case output;
  const ValueId y = output.conv({output.x, output.weights});
  output.output(output.norm(y));
  output.output(y);
  expect_declines(output.graph, kFoldBatchNorm, "is a graph output");

  Case user;
  const ValueId z = user.conv({user.x, user.weights});
  user.output(user.norm(z));
  user.output(user.node("Relu", {z}));
  expect_declines(user.graph, kFoldBatchNorm, "has another user, Relu");
}

TEST(FoldBatchNorm, DeclinesWhatIsNotConstantOrTrains) {
  Case weights;
  weights.output(weights.norm(weights.conv({weights.x, weights.input("w", "float32[3,2,3,3]")})));
  expect_declines(weights.graph, kFoldBatchNorm, "weights are not constant");

  Case mean;
  const ValueId y = mean.conv({mean.x, mean.weights});
  const ValueId one = mean.constant(floats({1, 1, 1}));
  mean.output(mean.node("BatchNormalization", {y, one, one, mean.input("mean", "float32[3]"), one}));
  expect_declines(mean.graph, kFoldBatchNorm, "the mean is not constant");

  Case training;
  training.output(training.norm(training.conv({training.x, training.weights}), attributes({{"training_mode", I{1}}})));
  expect_declines(training.graph, kFoldBatchNorm, "training mode");
}

TEST(FoldBatchNorm, DeclinesWeightsThatWouldOverflow) {
  Case test;
  const ValueId y = test.conv({
      test.x,
      test.constant(Tensor::of<float>({1, 2, 1, 1}, {1e30f, 1})),
  });
  const ValueId one = test.constant(floats({1}));
  test.output(test.node("BatchNormalization", {y, test.constant(floats({1e30f})), one, one, one}));
  expect_declines(test.graph, kFoldBatchNorm, "not be finite");

  Case negative;  // a variance that has no root
  const ValueId z = negative.conv({negative.x, negative.constant(Tensor::of<float>({1, 2, 1, 1}, {1, 1}))});
  const ValueId two = negative.constant(floats({2}));
  negative.output(negative.node("BatchNormalization", {z, two, two, two, negative.constant(floats({-1}))}));
  expect_declines(negative.graph, kFoldBatchNorm, "not be finite");
}

TEST(FoldBatchNorm, WorksInFloat64AndGroups) {
  Builder builder;
  const ValueId x = builder.input("x", "float64[1,4,3,3]");
  const ValueId y = builder.node("Conv", {x, builder.constant(numbers<double>({4, 1, 3, 3}, 3))},
                                 attributes({{"group", I{4}}}), "float64[1,4,1,1]");
  std::vector<ValueId> inputs{y};
  for (unsigned seed = 10; seed < 13; ++seed) inputs.push_back(builder.constant(numbers<double>({4}, seed)));
  inputs.push_back(builder.constant(Tensor::of<double>({4}, {1, 2, 3, 4})));
  builder.output(builder.node("BatchNormalization", inputs, {}, "float64[1,4,1,1]"));
  expect_rewrites(builder.graph, kFoldBatchNorm, "Conv", {numbers<double>({1, 4, 3, 3})}, 1e-12);
}

}  // namespace
}  // namespace lanner::passes::testing
