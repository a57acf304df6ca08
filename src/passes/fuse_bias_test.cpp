#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

struct Case : Builder {
  ValueId x = input("x", "float32[1,2,5,5]");
  ValueId w = input("w", "float32[3,2,3,3]");
  ValueId conv = node("Conv", {x, w}, {}, "float32[1,3,3,3]");
  ValueId bias = constant(Tensor::of<float>({3, 1, 1}, {1, 2, 3}));
  Inputs inputs{numbers({1, 2, 5, 5}), numbers({3, 2, 3, 3}, 7)};
};

TEST(FuseBias, MakesTheConstantTheBias) {
  Case test;
  test.output(test.node("Add", {test.bias, test.conv}, {}, "float32[1,3,3,3]"));
  expect_rewrites(test.graph, kFuseBias, "Conv", test.inputs, 1e-6);
  EXPECT_THAT(find_node(test.graph, "Conv").inputs, ::testing::SizeIs(3));
}

TEST(FuseBias, OfMatrixProducts) {
  const std::vector<Shape> shapes{{5}, {1, 5}, {1, 1, 5}, {1}, {}};
  for (const Shape& shape : shapes) {
    Builder test;
    const ValueId y = test.node("MatMul", {test.input("x", "float32[2,3,4]"), test.constant(numbers({4, 5}, 7))}, {},
                                "float32[2,3,5]");
    test.output(test.node("Add", {test.constant(numbers(shape, 3)), y}, {}, "float32[2,3,5]"));
    expect_rewrites(test.graph, kFuseBias, "FusedMatMul", {numbers({2, 3, 4})});
    EXPECT_THAT(find_node(test.graph, "FusedMatMul").stands_for, ::testing::ElementsAre("MatMul", "Add"));
  }
  Builder gemm;
  const ValueId y = gemm.node("Gemm", {gemm.input("x", "float32[3,4]"), gemm.constant(numbers({5, 4}, 7))},
                              attributes({{"transB", I{1}}}), "float32[3,5]");
  gemm.output(gemm.node("Add", {y, gemm.constant(numbers({5}, 3))}, {}, "float32[3,5]"));
  expect_rewrites(gemm.graph, kFuseBias, "Gemm", {numbers({3, 4})});
  // A bias would make the result no larger.
  for (const Shape& shape : {Shape{3, 5}, {3, 1}, {1, 1, 5}}) {
    Builder test;
    const ValueId z =
        test.node("MatMul", {test.input("x", "float32[3,4]"), test.constant(numbers({4, 5}, 7))}, {}, "float32[3,5]");
    test.output(test.node("Add", {z, test.constant(numbers(shape, 3))}));
    expect_declines(test.graph, kFuseBias, "no constant per channel");
  }
}

TEST(FuseBias, Declines) {
  Case columns;
  columns.output(columns.node("Add", {columns.conv, columns.constant(floats({1, 2, 3}))}, {}, "float32[1,3,3,3]"));
  expect_declines(columns.graph, kFuseBias, "no constant per channel");
  Case user;
  user.output(user.node("Add", {user.conv, user.bias}, {}, "float32[1,3,3,3]"));
  user.output(user.node("Relu", {user.conv}));
  expect_declines(user.graph, kFuseBias, "has another user");
  Case has_bias;
  const ValueId with = has_bias.node("Conv", {has_bias.x, has_bias.w, has_bias.constant(floats({1, 2, 3}))});
  has_bias.output(has_bias.node("Add", {with, has_bias.bias}));
  expect_declines(has_bias.graph, kFuseBias);
}

}  // namespace
}  // namespace lanner::passes::testing
