#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

// A step of a feature pyramid: the coarse map is enlarged to the size of the fine one, as torchvision exports it, and
// added to what a convolution of 1 x 1 makes of the fine one.
struct Pyramid : Builder {
  ValueId coarse = input("coarse", "float32[1,2,h,w]");
  ValueId fine = input("fine", "float32[1,3,H,W]");
  ValueId lateral = node("Conv", {fine, constant(numbers({2, 3, 1, 1}, 5))}, {}, "float32[1,2,?,?]");
  tensor::Attributes nearest = attributes({{"mode", std::string("nearest")},
                                           {"coordinate_transformation_mode", std::string("asymmetric")},
                                           {"nearest_mode", std::string("floor")}});

  ValueId dim(ValueId of, I axis) {
    const ValueId shape = node("Shape", {of}, {}, "int64[4]");
    const ValueId one = node("Gather", {shape, constant(Tensor::scalar<I>(axis))}, {}, "int64[]");
    return node("Unsqueeze", {one, constant(ints({0}))}, {}, "int64[1]");
  }
  ValueId sizes(const std::vector<ValueId>& parts) {
    return node("Concat", parts, attributes({{"axis", I{0}}}), "int64[4]");
  }
  ValueId resize(ValueId to, tensor::Attributes with) {
    return node("Resize", {coarse, ir::kNoValue, ir::kNoValue, to}, std::move(with), "float32[1,2,?,?]");
  }
  ValueId resize(ValueId to) { return resize(to, nearest); }
  ValueId two(I a, I b) { return constant(ints({a, b})); }
};

TEST(ResizeLike, TakesTheSizesFromATensor) {
  for (const Shape& shape : {Shape{1, 3, 6, 8}, Shape{1, 3, 7, 5}, Shape{1, 3, 1, 1}}) {
    Pyramid p;
    p.output(p.node("Add", {p.lateral, p.resize(p.sizes({p.two(1, 2), p.dim(p.lateral, 2), p.dim(p.lateral, 3)}))}));
    expect_rewrites(p.graph, kResizeLike, "Conv ResizeLike Add", {numbers({1, 2, 3, 4}), numbers(shape, 3)});
    // Of the convolution's input, so that the sum can become part of the convolution.
    for (const ir::NodeId id : p.graph.topological_order()) {
      const ir::Node& node = p.graph.node(id);
      if (node.op == "ResizeLike") {
        EXPECT_EQ(node.inputs[1], p.fine);
      }
    }
  }
}

TEST(ResizeLike, BatchAndChannelsMayBeThoseOfTheInput) {
  Pyramid p;
  p.output(p.resize(p.sizes({p.dim(p.coarse, 0), p.two(2, 0), p.dim(p.fine, 3)})));
  expect_declines(p.graph, kResizeLike, "spatial dimensions of one tensor");

  Builder b;
  const ValueId x = b.input("x", "float32[n,c,h,w]");
  const ValueId like = b.input("like", "float32[m,d,H,W]");
  const auto part = [&](ValueId of, I from, I to) {
    return b.node("Shape", {of}, attributes({{"start", from}, {"end", to}}), "int64[2]");
  };
  const ValueId sizes = b.node("Concat", {part(x, 0, 2), part(like, 2, 4)}, attributes({{"axis", I{0}}}), "int64[4]");
  b.output(b.node("Resize", {x, ir::kNoValue, ir::kNoValue, sizes}, {}, "float32[?,?,?,?]"));
  expect_rewrites(b.graph, kResizeLike, "ResizeLike", {numbers({2, 3, 2, 2}), numbers({1, 1, 4, 6}, 9)});
}

TEST(ResizeLike, DeclinesOtherSizes) {
  const std::vector<std::pair<std::string, ValueId (*)(Pyramid&)>> cases = {
      {"batch or the channels",
       [](Pyramid& p) {
         return p.sizes({p.two(1, 3), p.dim(p.fine, 2), p.dim(p.fine, 3)});
       }},
      {"one tensor",
       [](Pyramid& p) {
         return p.sizes({p.two(1, 2), p.dim(p.fine, 2), p.dim(p.coarse, 3)});
       }},
      {"one tensor",
       [](Pyramid& p) {
         return p.sizes({p.two(1, 2), p.dim(p.fine, 3), p.dim(p.fine, 2)});
       }},
      {"one tensor",
       [](Pyramid& p) {
         return p.sizes({p.two(1, 2), p.dim(p.fine, 2), p.constant(ints({4}))});
       }},
  };
  for (const auto& [reason, sizes] : cases) {
    Pyramid p;
    p.output(p.resize(sizes(p)));
    expect_declines(p.graph, kResizeLike, reason);
  }
}

TEST(ResizeLike, DeclinesOtherForms) {
  Pyramid p;
  tensor::Attributes keep = p.nearest;
  keep.set("keep_aspect_ratio_policy", std::string("not_larger"));
  p.output(p.resize(p.sizes({p.two(1, 2), p.dim(p.fine, 2), p.dim(p.fine, 3)}), keep));
  expect_declines(p.graph, kResizeLike, "aspect ratio");

  Pyramid q;
  q.output(q.resize(q.constant(ints({1, 2, 4, 4}))));
  expect_declines(q.graph, kResizeLike);
}

}  // namespace
}  // namespace lanner::passes::testing
