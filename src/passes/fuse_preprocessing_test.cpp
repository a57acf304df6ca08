#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

using Sizes = std::vector<I>;

const tensor::Attributes kLinear = attributes({{"mode", std::string("linear")}});

Tensor pixels(const Shape& shape) {
  Tensor tensor = Tensor::allocate(ElementType::kUint8, shape);
  unsigned seed = 1;
  for (auto& element : tensor.values<std::uint8_t>()) {
    seed = seed * 1664525u + 1013904223u;
    element = static_cast<std::uint8_t>(seed >> 24);
  }
  return tensor;
}

// A picture, and what a test does to it.
struct Prepared : Builder {
  Prepared(std::string_view type_text, Inputs given) : value(input("picture", type_text)), inputs(std::move(given)) {}

  ValueId value;
  Inputs inputs;

  void cast() { value = node("Cast", {value}, attributes({{"to", I{1}}})); }
  void transpose(Sizes order) { value = node("Transpose", {value}, attributes({{"perm", std::move(order)}})); }
  void compute(std::string_view op, Tensor operand) { value = node(op, {value, constant(std::move(operand))}); }
  void unsqueeze() { value = node("Unsqueeze", {value, constant(ints({0}))}); }
  void squeeze() { value = node("Squeeze", {value, constant(ints({0}))}); }
  void resize(std::initializer_list<I> sizes, const tensor::Attributes& how = kLinear) {
    value = node("Resize", {value, ir::kNoValue, ir::kNoValue, constant(ints(sizes))}, how);
  }
  void pad(std::initializer_list<I> pads, ValueId filler = ir::kNoValue) {
    value = node("Pad", {value, constant(ints(pads)), filler});
  }
  void finish() {
    output(value);
    infer_by_running(graph, inputs);
  }
};

const Shape kPerChannel{3, 1, 1};

// As torchvision's detectors do it.
void prepare_torchvision(Prepared& p) {
  p.compute("Sub", Tensor::of<float>(kPerChannel, {0.5f, 0.25f, 0.75f}));
  p.compute("Div", Tensor::of<float>(kPerChannel, {0.2f, 0.3f, 0.4f}));
  p.unsqueeze();
  p.resize({1, 3, 9, 11});
  p.squeeze();
  p.pad({0, 0, 0, 0, 7, 5});
}

TEST(FusePreprocessing, TakesWhatTorchvisionDoes) {
  Prepared p("float32[3,6,7]", {numbers({3, 6, 7})});
  prepare_torchvision(p);
  p.unsqueeze();
  p.finish();
  expect_rewrites(p.graph, kFusePreprocessing, "Preprocess", p.inputs);
  const Node& node = find_node(p.graph, "Preprocess");
  EXPECT_EQ(node.attributes.get_string("input_layout", ""), "CHW");
  EXPECT_EQ(node.attributes.get_string("output_layout", ""), "NCHW");
  EXPECT_EQ(node.attributes.get_strings("steps"), (std::vector<std::string>{"Sub", "Div", "Resize", "Pad"}));
}

TEST(FusePreprocessing, TakesWhatTensorFlowDoes) {
  Prepared p("uint8[1,6,7,3]", {pixels({1, 6, 7, 3})});
  p.cast();
  p.transpose({0, 3, 1, 2});
  p.resize({1, 3, 4, 5});
  p.transpose({0, 2, 3, 1});
  p.compute("Mul", Tensor::scalar<float>(2.0f / 255));
  p.compute("Sub", Tensor::of<float>({3}, {1, 2, 3}));
  p.transpose({0, 3, 1, 2});
  p.finish();
  expect_rewrites(p.graph, kFusePreprocessing, "Preprocess", p.inputs);
}

TEST(FusePreprocessing, TakesLetterboxing) {
  Prepared p("uint8[6,14,3]", {pixels({6, 14, 3})});
  p.cast();
  p.transpose({2, 0, 1});
  p.unsqueeze();
  p.resize({1, 3, 3, 8});
  p.pad({0, 0, 2, 0, 0, 0, 3, 0}, p.constant(Tensor::scalar<float>(114)));
  p.compute("Div", Tensor::scalar<float>(255));
  p.finish();
  expect_rewrites(p.graph, kFusePreprocessing, "Preprocess", p.inputs);
}

TEST(FusePreprocessing, TakesTheCastAtAnyPlace) {
  for (const int place : {0, 1, 2, 3}) {
    Prepared p("uint8[2,5,6,3]", {pixels({2, 5, 6, 3})});
    const auto cast_at = [&](int here) {
      if (here == place) p.cast();
    };
    cast_at(0);
    p.resize({2, 7, 4, 3}, {});
    cast_at(1);
    p.pad({0, 1, 2, 0, 0, 0, 0, 0});
    cast_at(2);
    p.transpose({0, 3, 1, 2});
    cast_at(3);
    p.compute("Div", Tensor::scalar<float>(255));
    p.finish();
    expect_rewrites(p.graph, kFusePreprocessing, "Preprocess", p.inputs);
  }
}

// Of a picture of any size, sizes and pads are computed from the shapes of what is done to it; the batch is open.
TEST(FusePreprocessing, ReadsShapesWithoutWhatIsInBetween) {
  Prepared p("float32[3,?,?]", {numbers({3, 6, 7})});
  const auto shape = [&](std::string_view type_text) { return p.node("Shape", {p.value}, {}, type_text); };
  const auto pick = [&](ValueId from, std::initializer_list<I> places, std::string_view type_text) {
    return p.node("Gather", {from, p.constant(ints(places))}, {}, type_text);
  };
  p.value = p.node("Sub", {p.value, p.constant(Tensor::of<float>(kPerChannel, {1, 2, 3}))}, {}, "float32[3,?,?]");
  const ValueId before = shape("int64[3]");
  p.value = p.node("Unsqueeze", {p.value, p.constant(ints({0}))}, {}, "float32[1,3,?,?]");
  const ValueId larger =
      p.node("Mul", {pick(shape("int64[4]"), {2, 3}, "int64[2]"), p.constant(ints({2, 3}))}, {}, "int64[2]");
  const ValueId sizes = p.node("Concat", {p.constant(ints({1, 3})), larger}, attributes({{"axis", I{0}}}), "int64[4]");
  p.value = p.node("Resize", {p.value, ir::kNoValue, ir::kNoValue, sizes}, kLinear, "float32[1,3,?,?]");
  p.value = p.node("Squeeze", {p.value, p.constant(ints({0}))}, {}, "float32[3,?,?]");
  const ValueId resized = shape("int64[3]");
  const ValueId missing = p.node("Sub", {p.constant(ints({3, 32, 32})), resized}, {}, "int64[3]");
  const ValueId pads =
      p.node("Concat", {p.constant(ints({0, 0, 0})), missing}, attributes({{"axis", I{0}}}), "int64[6]");
  p.value = p.node("Pad", {p.value, pads}, {}, "float32[3,?,?]");
  p.output(p.value);
  p.output(before);
  p.output(resized);
  expect_rewrites(p.graph, kFusePreprocessing, "Shape Concat Gather Mul Concat Gather Sub Concat Preprocess", p.inputs);
}

// As PyTorch exports a Resize to sizes: with an empty list of scales.
TEST(FusePreprocessing, TakesEmptyScales) {
  Prepared p("uint8[1,3,6,7]", {pixels({1, 3, 6, 7})});
  p.cast();
  const ValueId none = p.constant(floats({}));
  p.value = p.node("Resize", {p.value, none, none, p.constant(ints({1, 3, 9, 11}))}, kLinear);
  p.finish();
  expect_rewrites(p.graph, kFusePreprocessing, "Preprocess", p.inputs);
}

TEST(FusePreprocessing, EndsBeforeWhatItDoesNotKnow) {
  Prepared p("uint8[1,6,7,3]", {pixels({1, 6, 7, 3})});
  p.cast();
  p.transpose({0, 3, 1, 2});
  p.resize({1, 3, 4, 5}, attributes({{"mode", std::string("cubic")}}));
  p.pad({0, 0, 1, 1, 0, 0, 1, 1});
  p.finish();
  expect_rewrites(p.graph, kFusePreprocessing, "Preprocess Resize Pad", p.inputs);

  Prepared twice("uint8[1,6,7,3]", {pixels({1, 6, 7, 3})});
  twice.cast();
  twice.compute("Mul", Tensor::scalar<float>(3));
  twice.output(twice.node("Exp", {twice.value}));
  twice.transpose({0, 3, 1, 2});
  twice.compute("Mul", Tensor::scalar<float>(3));
  twice.finish();
  expect_rewrites(twice.graph, kFusePreprocessing, "Preprocess Exp Transpose Mul", twice.inputs);

  Prepared kept("uint8[1,6,7,3]", {pixels({1, 6, 7, 3})});
  kept.cast();
  kept.transpose({0, 3, 1, 2});
  kept.output(kept.value);
  kept.compute("Mul", Tensor::scalar<float>(3));
  kept.finish();
  expect_rewrites(kept.graph, kFusePreprocessing, "Preprocess Mul", kept.inputs);
}

TEST(FusePreprocessing, DeclinesSingleNodesAndArithmeticAlone) {
  Prepared resize("float32[1,3,6,7]", {numbers({1, 3, 6, 7})});
  resize.resize({1, 3, 4, 5});
  resize.finish();
  expect_declines(resize.graph, kFusePreprocessing);
  Prepared arithmetic("float32[3,6,7]", {numbers({3, 6, 7})});
  arithmetic.compute("Sub", Tensor::scalar<float>(3));
  arithmetic.compute("Div", Tensor::scalar<float>(3));
  arithmetic.finish();
  expect_declines(arithmetic.graph, kFusePreprocessing);
}

TEST(FusePreprocessing, DeclinesOtherUsersAndKeptResults) {
  for (const bool kept : {false, true}) {
    Prepared p("uint8[6,7,3]", {pixels({6, 7, 3})});
    p.cast();
    p.output(kept ? p.value : p.node("Exp", {p.value}));
    p.transpose({2, 0, 1});
    p.finish();
    expect_declines(p.graph, kFusePreprocessing, kept ? "graph output" : "another user");
  }
}

TEST(FusePreprocessing, DeclinesWhatIsNoPicture) {
  Prepared wide("float32[1,8,6,7]", {numbers({1, 8, 6, 7})});
  wide.compute("Sub", Tensor::scalar<float>(3));
  wide.resize({1, 8, 4, 5});
  wide.finish();
  expect_declines(wide.graph, kFusePreprocessing);
  Prepared inner("float32[1,3,6,7]", {numbers({1, 3, 6, 7})});
  inner.value = inner.node("Exp", {inner.value});
  inner.compute("Sub", Tensor::scalar<float>(3));
  inner.resize({1, 3, 4, 5});
  inner.finish();
  expect_declines(inner.graph, kFusePreprocessing);
  Prepared rows("float32[1,3,8,8]", {numbers({1, 3, 8, 8})});
  rows.transpose({0, 1, 3, 2});
  rows.resize({1, 3, 4, 5});
  rows.finish();
  expect_declines(rows.graph, kFusePreprocessing, "does not only move the channels");
}

TEST(FusePreprocessing, DeclinesResizesThatItDoesNotKnow) {
  const auto declines = [](std::string_view reason, std::initializer_list<I> sizes, const tensor::Attributes& how) {
    Prepared p("float32[3,6,7]", {numbers({3, 6, 7})});
    p.compute("Sub", Tensor::scalar<float>(3));
    p.resize(sizes, how);
    p.finish();
    expect_declines(p.graph, kFusePreprocessing, reason);
  };
  declines("cubic", {3, 9, 9}, attributes({{"mode", std::string("cubic")}}));
  declines("antialias", {3, 4, 4}, attributes({{"mode", std::string("linear")}, {"antialias", I{1}}}));
  declines("images or channels", {4, 9, 9}, kLinear);
  declines("images or channels", {3, 9, 9}, attributes({{"keep_aspect_ratio_policy", std::string("not_larger")}}));
  Prepared bytes("uint8[3,6,7]", {pixels({3, 6, 7})});
  bytes.resize({3, 9, 9});
  bytes.cast();
  bytes.finish();
  expect_declines(bytes.graph, kFusePreprocessing, "bytes are interpolated");
}

TEST(FusePreprocessing, DeclinesConstantsThatAreNotPerChannel) {
  Prepared p("float32[3,6,7]", {numbers({3, 6, 7})});
  p.compute("Sub", numbers({6, 7}));
  p.resize({3, 9, 9});
  p.finish();
  expect_declines(p.graph, kFusePreprocessing, "no constant per channel");
  Prepared divides("float32[3,6,7]", {numbers({3, 6, 7})});
  divides.value = divides.node("Div", {divides.constant(Tensor::scalar<float>(3)), divides.value});
  divides.resize({3, 9, 9});
  divides.finish();
  expect_declines(divides.graph, kFusePreprocessing, "on the right of Div");
}

// Pads that nobody knows may add channels; then no constant per channel follows.
TEST(FusePreprocessing, TakesPadsOfAnySize) {
  Prepared p("float32[3,6,7]", {numbers({3, 6, 7}), ints({0, 1, 2, 1, 0, -3})});
  const ValueId pads = p.input("pads", "int64[6]");
  p.compute("Sub", Tensor::scalar<float>(3));
  p.value = p.node("Pad", {p.value, pads});
  p.compute("Div", Tensor::scalar<float>(3));
  p.finish();
  expect_rewrites(p.graph, kFusePreprocessing, "Preprocess Div", p.inputs);
}

}  // namespace
}  // namespace lanner::passes::testing
