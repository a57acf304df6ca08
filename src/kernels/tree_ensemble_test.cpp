#include <cmath>
#include <limits>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::ElementsAre;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// Node 0: feature 0 <= 3.14 ? node 1 : node 2; node 1: feature 0 <= 1.2 ? leaf 0 : leaf 1; node 2: feature 1 is in
// {7, 9} ? leaf 2 : leaf 3. Leaves 0, 2 and 3 are of target 0.
tensor::Attributes tree() {
  using Ints = std::vector<I>;
  return attributes({{"n_targets", I{2}},
                     {"tree_roots", Ints{0}},
                     {"nodes_modes", vec<std::uint8_t>({0, 0, 6})},
                     {"nodes_splits", vec<float>({3.14f, 1.2f, 0})},
                     {"nodes_featureids", Ints{0, 0, 1}},
                     {"nodes_truenodeids", Ints{1, 0, 2}},
                     {"nodes_falsenodeids", Ints{2, 1, 3}},
                     {"nodes_trueleafs", Ints{0, 1, 1}},
                     {"nodes_falseleafs", Ints{0, 1, 1}},
                     {"membership_values", vec<float>({7, 9, kNaN})},
                     {"leaf_targetids", Ints{0, 1, 0, 0}},
                     {"leaf_weights", vec<float>({5.25f, 12.125f, -14.5f, 2})}});
}

tensor::Attributes with(std::string name, tensor::Attribute value, tensor::Attributes given = tree()) {
  given.set(std::move(name), std::move(value));
  return given;
}

const Tensor kRows = Tensor::of<float>({4, 2}, {1.2f, 0, 2, 0, 4, 9, 4, 8});

TEST(TreeEnsemble, GoesDownToALeaf) {
  const Tensor out = run("TreeEnsemble", {kRows}, tree());
  EXPECT_EQ(out.shape(), Shape({4, 2}));
  EXPECT_THAT(elements<float>(out), ElementsAre(5.25f, 0, 0, 12.125f, -14.5f, 0, 2, 0));
}

TEST(TreeEnsemble, ComparesInEveryWay) {
  const auto taken = [](std::uint8_t mode, float feature) {
    const auto given = with("nodes_modes", vec<std::uint8_t>({mode, 0, 6}));
    return run("TreeEnsemble", {Tensor::of<float>({1, 2}, {feature, 7})}, given).data<float>()[0] != -14.5f;
  };
  const float split = 3.14f;
  for (const float feature : {split - 1, split, split + 1, kNaN}) {
    EXPECT_EQ(taken(0, feature), feature <= split);
    EXPECT_EQ(taken(1, feature), feature < split);
    EXPECT_EQ(taken(2, feature), feature >= split);
    EXPECT_EQ(taken(3, feature), feature > split);
    EXPECT_EQ(taken(4, feature), feature == split);
    EXPECT_EQ(taken(5, feature), feature != split);
  }
  const auto missing = with("nodes_missing_value_tracks_true", std::vector<I>{1, 0, 1});
  EXPECT_THAT(elements<float>(run("TreeEnsemble", {Tensor::of<float>({2, 2}, {kNaN, 0, 4, kNaN})}, missing)),
              ElementsAre(0, 12.125f, -14.5f, 0));
}

TEST(TreeEnsemble, AggregatesTreesByTarget) {
  const auto trees = [](I aggregate) {
    return with("aggregate_function", aggregate, with("tree_roots", std::vector<I>{0, 1, 1}));
  };
  const Tensor row = Tensor::of<float>({1, 2}, {1, 0});
  const Tensor other = Tensor::of<float>({1, 2}, {4, 7});
  EXPECT_THAT(elements<float>(run("TreeEnsemble", {row}, trees(1))), ElementsAre(15.75f, 0));
  EXPECT_THAT(elements<float>(run("TreeEnsemble", {row}, trees(0))), ElementsAre(5.25f, 0));
  EXPECT_THAT(elements<float>(run("TreeEnsemble", {other}, trees(2))), ElementsAre(-14.5f, 12.125f));
  EXPECT_THAT(elements<float>(run("TreeEnsemble", {other}, trees(3))), ElementsAre(-14.5f, 12.125f));
}

TEST(TreeEnsemble, TransformsScores) {
  const auto transformed = [](I transform) {
    return elements<float>(run("TreeEnsemble", {Tensor::of<float>({1, 2}, {4, 8})}, with("post_transform", transform)));
  };
  const float e2 = std::exp(2.0f);
  using ::testing::FloatEq;
  EXPECT_THAT(transformed(1), ElementsAre(FloatEq(e2 / (e2 + 1)), FloatEq(1 / (e2 + 1))));
  EXPECT_THAT(transformed(2), ElementsAre(FloatEq(1 / (1 + 1 / e2)), FloatEq(0.5f)));
  EXPECT_THAT(transformed(3), ElementsAre(FloatEq(1), FloatEq(0)));
  const auto normal = run("TreeEnsemble", {Tensor::of<float>({1, 2}, {4, 8})},
                          with("post_transform", I{4}, with("leaf_weights", vec<float>({0, 0, 0, 0.975f}))));
  EXPECT_NEAR(normal.data<float>()[0], 1.96, 0.01);
}

TEST(TreeEnsemble, TakesDoubles) {
  const Tensor rows = Tensor::of<double>({1, 2}, {2, 0});
  const auto given = with("leaf_weights", vec<double>({0, 0.1, 0, 0}), with("nodes_splits", vec<double>({3, 1, 0})));
  EXPECT_THAT(elements<double>(run("TreeEnsemble", {rows}, given)), ElementsAre(0, 0.1));
}

TEST(TreeEnsemble, RefusesTreesThatAreNone) {
  using Ints = std::vector<I>;
  const auto verdict = [](const tensor::Attributes& given) {
    return reason_of([&] { run("TreeEnsemble", {kRows}, given); });
  };
  EXPECT_EQ(verdict(tree()), "");
  EXPECT_EQ(verdict(with("nodes_truenodeids", Ints{0, 0, 2})), "op.attribute");   // a node below itself
  EXPECT_EQ(verdict(with("nodes_truenodeids", Ints{3, 0, 2})), "op.attribute");   // no such node
  EXPECT_EQ(verdict(with("nodes_falsenodeids", Ints{2, 4, 3})), "op.attribute");  // no such leaf
  EXPECT_EQ(verdict(with("nodes_falsenodeids", Ints{2, -1, 3})), "op.attribute");
  EXPECT_EQ(verdict(with("nodes_falsenodeids", Ints{2, 1})), "op.attribute");
  EXPECT_EQ(verdict(with("nodes_modes", vec<std::uint8_t>({0, 0, 7}))), "op.attribute");
  EXPECT_EQ(verdict(with("nodes_modes", vec<std::uint8_t>({0, 6, 6}))), "op.attribute");  // two sets, one is given
  EXPECT_EQ(verdict(with("membership_values", vec<float>({7, 9}))), "op.attribute");
  EXPECT_EQ(verdict(with("nodes_featureids", Ints{0, 0, -1})), "op.attribute");
  EXPECT_EQ(verdict(with("nodes_featureids", Ints{0, 0, 2})), "op.shape");
  EXPECT_EQ(verdict(with("nodes_featureids", Ints{0, 0, INT64_MAX})), "op.shape");
  EXPECT_EQ(verdict(with("tree_roots", Ints{3})), "op.attribute");
  EXPECT_EQ(verdict(with("leaf_targetids", Ints{0, 1, 0, 2})), "op.attribute");
  EXPECT_EQ(verdict(with("n_targets", I{1} << 60)), "op.attribute");
  EXPECT_EQ(verdict(with("post_transform", I{5})), "op.attribute");
  EXPECT_EQ(reason_of([] { run("TreeEnsemble", {vec<float>({1, 2})}, tree()); }), "op.rank");
  EXPECT_EQ(reason_of([] { run("TreeEnsemble", {Tensor::of<I>({1, 2}, {1, 2})}, tree()); }), "op.type");
}

}  // namespace
}  // namespace lanner::kernels::testing
