#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

tensor::Attributes pooling(float scale, std::string_view mode = "avg") {
  return attributes({{"output_height", I{2}},
                     {"output_width", I{3}},
                     {"sampling_ratio", I{2}},
                     {"mode", std::string(mode)},
                     {"spatial_scale", scale}});
}

// Two levels, each with a convolution before it, whose regions' results go to rows of zeros.
struct Pattern : Builder {
  Tensor rows[2] = {Tensor::of<I>({2, 1}, {3, 0}), Tensor::of<I>({1, 1}, {2})};
  ValueId result = kNoValue;
  std::vector<ValueId> scattered;
  std::vector<ValueId> pooled;

  explicit Pattern(float fill = 0, std::string_view second_mode = "avg", bool convolutions = true) {
    result = node("ConstantOfShape", {constant(ints({5, 4, 2, 3}))},
                  attributes({{"value", Tensor::of<float>({1}, {fill})}}), "float32[5,4,2,3]");
    for (int level = 0; level < 2; ++level) {
      const std::string side = level == 0 ? "12" : "6";
      ValueId map = input("x" + side, "float32[1,4," + side + "," + side + "]");
      if (convolutions) {
        map = node("Conv", {map, constant(numbers({4, 4, 1, 1}, 7))}, {}, "float32[1,4," + side + "," + side + "]");
      }
      const std::string count = level == 0 ? "2" : "1";
      const ValueId regions = input("regions" + side, "float32[" + count + ",4]");
      const ValueId images = input("images" + side, "int64[" + count + "]");
      pooled.push_back(node("RoiAlign", {map, regions, images},
                            pooling(level == 0 ? 0.5f : 0.25f, level == 0 ? "avg" : second_mode),
                            "float32[" + count + ",4,2,3]"));
      const ValueId length = node("Shape", {pooled.back()}, attributes({{"start", I{0}}, {"end", I{1}}}), "int64[1]");
      const ValueId target = node("Concat", {length, constant(ints({1}))}, attributes({{"axis", I{0}}}), "int64[2]");
      const ValueId column = node("Expand", {constant(rows[level]), target}, {}, "int64[?,1]");
      result = node("ScatterND", {result, column, pooled.back()}, {}, "float32[5,4,2,3]");
      scattered.push_back(result);
    }
    output(result);
  }
  Inputs inputs() const {
    return {numbers({1, 4, 12, 12}),
            Tensor::of<float>({2, 4}, {1, 2, 17, 20, -3, 0, 9, 30}),
            Tensor::of<I>({2}, {0, 0}),
            numbers({1, 4, 6, 6}, 5),
            Tensor::of<float>({1, 4}, {2, 1, 20, 13}),
            Tensor::of<I>({1}, {0})};
  }
};

TEST(JoinRoiLevels, TwoLevels) {
  Pattern p;
  expect_rewrites(p.graph, kJoinRoiLevels, "Conv Conv Transpose Transpose PyramidRoiAlign", p.inputs());
  EXPECT_EQ(find_node(p.graph, "PyramidRoiAlign").attributes.get_floats("spatial_scales"),
            (std::vector<float>{0.5f, 0.25f}));
}

TEST(JoinRoiLevels, DeclinesOtherFillings) {
  Pattern p(1);
  expect_declines(p.graph, kJoinRoiLevels, "zeros");
}

TEST(JoinRoiLevels, DeclinesLevelsThatArePooledDifferently) {
  Pattern p(0, "max");
  expect_declines(p.graph, kJoinRoiLevels, "differently");
}

TEST(JoinRoiLevels, DeclinesMapsThatNoConvolutionMakes) {
  Pattern p(0, "avg", false);
  expect_declines(p.graph, kJoinRoiLevels, "convolution");
}

TEST(JoinRoiLevels, DeclinesResultsThatOthersRead) {
  Pattern part;
  part.output(part.scattered[0]);
  expect_declines(part.graph, kJoinRoiLevels, "output");
  Pattern pooled;
  pooled.output(pooled.node("Exp", {pooled.pooled[1]}));
  expect_declines(pooled.graph, kJoinRoiLevels, "user");
}

TEST(JoinRoiLevels, DeclinesReductions) {
  Pattern p;
  const Node& scatter = find_node(p.graph, "ScatterND");
  p.graph.mutable_node(p.graph.value(scatter.outputs[0]).producer).attributes.set("reduction", std::string("add"));
  expect_declines(p.graph, kJoinRoiLevels, "zeros");
}

}  // namespace
}  // namespace lanner::passes::testing
