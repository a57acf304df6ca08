#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

struct Case : Builder {
  ValueId x = input("x", "float32[1,2,5,5]");
  ValueId bias = constant(floats({1, 2, 3}));
  ValueId conv = node("Conv", {x, constant(numbers({3, 2, 3, 3}, 7)), bias}, {}, "float32[1,3,3,3]");
  ValueId per_channel = constant(Tensor::of<float>({3, 1, 1}, {0.5f, -2, 4}));
  Inputs inputs{numbers({1, 2, 5, 5})};
  void with(std::string_view op, ValueId a, ValueId b) { output(node(op, {a, b}, {}, "float32[1,3,3,3]")); }
};

TEST(FoldScaleShift, FoldsEveryArithmeticPerChannel) {
  for (const std::string_view op : {"Mul", "Div", "Add", "Sub"}) {
    SCOPED_TRACE(op);
    Case test;
    test.with(op, test.conv, test.per_channel);
    expect_rewrites(test.graph, kFoldScaleShift, "Conv", test.inputs, 1e-5);
  }
  for (const std::string_view op : {"Mul", "Add", "Sub"}) {
    SCOPED_TRACE(op);
    Case test;
    test.with(op, test.per_channel, test.conv);
    expect_rewrites(test.graph, kFoldScaleShift, "Conv", test.inputs, 1e-5);
  }
}

TEST(FoldScaleShift, FoldsFrozenBatchNormalization) {
  Case test;
  const ValueId scaled = test.node("Mul", {test.conv, test.per_channel}, {}, "float32[1,3,3,3]");
  test.with("Add", scaled, test.constant(Tensor::of<float>({1, 3, 1, 1}, {1, 2, 3})));
  expect_rewrites(test.graph, kFoldScaleShift, "Conv", test.inputs, 1e-5);
  EXPECT_THAT(find_node(test.graph, "Conv").stands_for, ::testing::ElementsAre("Conv", "Mul", "Add"));
}

TEST(FoldScaleShift, FoldsScalars) {
  Case test;
  test.with("Mul", test.conv, test.constant(Tensor::scalar<float>(3)));
  expect_rewrites(test.graph, kFoldScaleShift, "Conv", test.inputs, 1e-5);
}

TEST(FoldScaleShift, DeclinesWhatIsNotPerChannel) {
  const auto declines = [](const Tensor& constant, std::string_view type_text) {
    Case test;
    test.output(test.node("Mul", {test.conv, test.constant(constant)}, {}, type_text));
    expect_declines(test.graph, kFoldScaleShift, "no constant per channel");
  };
  declines(floats({1, 2, 3}), "float32[1,3,3,3]");  // per column, though as many
  declines(numbers({2, 3, 1, 1}), "float32[2,3,3,3]");
  declines(numbers({1, 1, 3, 1, 1}), "float32[1,1,3,3,3]");
}

TEST(FoldScaleShift, DeclinesDividingByTheConvAndOtherUsers) {
  Case divides;
  divides.with("Div", divides.per_channel, divides.conv);
  expect_declines(divides.graph, kFoldScaleShift);
  Case zero;
  zero.with("Div", zero.conv, zero.constant(Tensor::scalar<float>(0)));
  expect_declines(zero.graph, kFoldScaleShift, "not be finite");
  Case output;
  output.with("Mul", output.conv, output.per_channel);
  output.output(output.conv);
  expect_declines(output.graph, kFoldScaleShift, "is a graph output");
}

}  // namespace
}  // namespace lanner::passes::testing
