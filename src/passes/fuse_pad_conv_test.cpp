#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

struct Case : Builder {
  ValueId x = input("x", "float32[1,2,4,5]");
  Inputs inputs{numbers({1, 2, 4, 5})};
  ValueId pad(std::vector<ValueId> operands, tensor::Attributes attributes = {}) {
    return node("Pad", std::move(operands), std::move(attributes), "float32[1,2,?,?]");
  }
  ValueId conv(ValueId of, tensor::Attributes attributes = {}) {
    return node("Conv", {of, constant(numbers({3, 2, 3, 3}, 7))}, std::move(attributes), "float32[1,3,?,?]");
  }
};

TEST(FusePadConv, AddsToTheConvsOwnPadding) {
  Case test;
  const ValueId padded = test.pad({test.x, test.constant(ints({0, 0, 1, 2, 0, 0, 3, 0}))});
  test.output(test.conv(padded, attributes({{"pads", std::vector<I>{0, 1, 0, 1}}})));
  expect_rewrites(test.graph, kFusePadConv, "Conv", test.inputs);
  EXPECT_THAT(find_node(test.graph, "Conv").attributes.get_ints("pads"), ::testing::ElementsAre(1, 3, 3, 1));
}

TEST(FusePadConv, WithAxesAndValid) {
  Case test;
  const ValueId padded = test.pad(
      {test.x, test.constant(ints({1, 1})), test.constant(Tensor::scalar<float>(0)), test.constant(ints({-1}))});
  test.output(test.conv(padded, attributes({{"auto_pad", std::string("VALID")}})));
  expect_rewrites(test.graph, kFusePadConv, "Conv", test.inputs);
}

TEST(FusePadConv, Declines) {
  const auto declines = [](std::string_view reason, auto make) {
    Case test;
    make(test);
    expect_declines(test.graph, kFusePadConv, reason);
  };
  const auto space = [](Case& c) { return c.constant(ints({0, 0, 1, 1, 0, 0, 1, 1})); };
  declines("not constant", [&](Case& c) {
    c.output(c.conv(c.pad({c.x, space(c)}, attributes({{"mode", std::string("reflect")}}))));
  });
  declines("is not 0", [&](Case& c) {
    c.output(c.conv(c.pad({c.x, space(c), c.constant(Tensor::scalar<float>(1))})));
  });
  declines("pads by itself", [&](Case& c) {
    c.output(c.conv(c.pad({c.x, space(c)}), attributes({{"auto_pad", std::string("SAME_UPPER")}})));
  });
  declines("cuts", [&](Case& c) { c.output(c.conv(c.pad({c.x, c.constant(ints({0, 0, -1, 0, 0, 0, 0, 0}))}))); });
  declines("has another user", [&](Case& c) {
    const ValueId padded = c.pad({c.x, space(c)});
    c.output(c.conv(padded));
    c.output(c.node("Relu", {padded}));
  });
}

}  // namespace
}  // namespace lanner::passes::testing
