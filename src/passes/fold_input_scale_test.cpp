#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

constexpr double kRounding = 1e-5;

// A picture, and the convolution at the end of what a test does to it.
struct Picture : Builder {
  ValueId x = input("x", "float32[1,2,5,6]");
  ValueId factors = constant(Tensor::of<float>({2, 1, 1}, {0.5f, -4}));
  ValueId shifts = constant(Tensor::of<float>({1, 2, 1, 1}, {3, 5}));
  Inputs inputs{numbers({1, 2, 5, 6})};

  ValueId image(std::string_view op, std::vector<ValueId> operands) {
    return node(op, std::move(operands), {}, "float32[1,2,5,6]");
  }
  void convolve(ValueId value, std::string_view type_text = "float32[1,3,5,6]", const Shape& weights = {3, 2, 3, 3},
                tensor::Attributes more = {}) {
    more.set("pads", std::vector<I>{1, 1, 1, 1});
    output(
        node("Conv", {value, constant(numbers(weights, 7)), constant(floats({1, 2, 3}))}, std::move(more), type_text));
  }
};

TEST(FoldInputScale, MultipliesTheWeights) {
  Picture mul;
  mul.convolve(mul.image("Mul", {mul.factors, mul.x}));
  expect_rewrites(mul.graph, kFoldInputScale, "Conv", mul.inputs, kRounding);
  Picture div;
  div.convolve(div.image("Div", {div.x, div.factors}));
  expect_rewrites(div.graph, kFoldInputScale, "Conv", div.inputs, kRounding);
  Picture all;
  all.convolve(all.image("Div", {all.x, all.constant(Tensor::scalar<float>(255))}));
  expect_rewrites(all.graph, kFoldInputScale, "Conv", all.inputs, kRounding);
}

TEST(FoldInputScale, GroupsHaveChannelsOfTheirOwn) {
  Picture p;
  p.output(p.node("Conv", {p.image("Mul", {p.x, p.factors}), p.constant(numbers({4, 1, 3, 3}, 7))},
                  attributes({{"group", I{2}}}), "float32[1,4,3,4]"));
  expect_rewrites(p.graph, kFoldInputScale, "Conv", p.inputs, kRounding);
}

TEST(FoldInputScale, GoesThroughShifts) {
  for (const std::string_view op : {"Add", "Sub"}) {
    Picture p;
    p.convolve(p.image("Mul", {p.image(op, {p.image("Div", {p.x, p.factors}), p.shifts}), p.factors}));
    expect_rewrites(p.graph, kFoldInputScale, fmt::format("{} Conv", op), p.inputs, kRounding);
  }
}

// As torchvision's detectors do it: normalised, then a batch of one, enlarged and padded.
TEST(FoldInputScale, GoesThroughBatchingResizingAndPadding) {
  Builder b;
  const ValueId x = b.input("x", "float32[2,5,6]");
  const ValueId shifted = b.node("Sub", {x, b.constant(Tensor::of<float>({2, 1, 1}, {3, 5}))}, {}, "float32[2,5,6]");
  const ValueId scaled =
      b.node("Div", {shifted, b.constant(Tensor::of<float>({2, 1, 1}, {0.5f, -4}))}, {}, "float32[2,5,6]");
  const ValueId batch = b.node("Unsqueeze", {scaled, b.constant(ints({0}))}, {}, "float32[1,2,5,6]");
  const ValueId large = b.node("Resize", {batch, ir::kNoValue, ir::kNoValue, b.constant(ints({1, 2, 9, 9}))},
                               attributes({{"mode", std::string("linear")}}), "float32[1,2,9,9]");
  const ValueId padded = b.node("Pad", {large, b.constant(ints({0, 0, 0, 0, 0, 0, 1, 2}))}, {}, "float32[1,2,10,11]");
  b.output(b.node("Conv", {padded, b.constant(numbers({3, 2, 3, 3}, 7))}, {}, "float32[1,3,8,9]"));
  expect_rewrites(b.graph, kFoldInputScale, "Sub Unsqueeze Resize Pad Conv", {numbers({2, 5, 6})}, kRounding);
}

TEST(FoldInputScale, DeclinesWhatIsNoScaleOfChannels) {
  Picture columns;
  columns.convolve(columns.image("Mul", {columns.x, columns.constant(numbers({6}))}));
  expect_declines(columns.graph, kFoldInputScale);
  Picture divides;
  divides.convolve(divides.image("Div", {divides.factors, divides.x}));
  expect_declines(divides.graph, kFoldInputScale);
  Picture ones;
  const ValueId scaled = ones.image("Mul", {ones.x, ones.factors});
  const ValueId padded =
      ones.node("Pad", {scaled, ones.constant(ints({0, 0, 1, 1, 0, 0, 0, 0})), ones.constant(Tensor::scalar<float>(1))},
                {}, "float32[1,2,6,7]");
  ones.convolve(padded, "float32[1,3,6,7]");
  expect_declines(ones.graph, kFoldInputScale);
  Picture more;  // two channels become four on the way
  const ValueId twice =
      more.node("Pad", {more.image("Mul", {more.x, more.factors}), more.constant(ints({0, 2, 0, 0, 0, 0, 0, 0}))}, {},
                "float32[1,4,5,6]");
  more.convolve(twice, "float32[1,3,5,6]", {3, 4, 3, 3});
  expect_declines(more.graph, kFoldInputScale);
}

TEST(FoldInputScale, DeclinesOtherUsersAndNumbersThatOverflow) {
  Picture shared;
  const ValueId scaled = shared.image("Mul", {shared.x, shared.factors});
  shared.convolve(scaled);
  shared.output(scaled);
  expect_declines(shared.graph, kFoldInputScale, "output");
  Picture zero;
  zero.convolve(zero.image("Div", {zero.x, zero.constant(Tensor::scalar<float>(0))}));
  expect_declines(zero.graph, kFoldInputScale, "not be finite");
  Picture dead;  // the factor is 0, and what was added before cannot be divided by it
  dead.convolve(dead.image("Add", {dead.image("Mul", {dead.x, dead.constant(Tensor::scalar<float>(0))}), dead.shifts}));
  expect_declines(dead.graph, kFoldInputScale, "a shift would not be finite");
}

}  // namespace
}  // namespace lanner::passes::testing
