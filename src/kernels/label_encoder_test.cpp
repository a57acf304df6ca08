#include <limits>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::ElementsAre;

TEST(LabelEncoder, MapsKeysOfEveryKindToValuesOfEveryKind) {
  const auto names = attributes({{"keys_strings", std::vector<std::string>{"Amy", "Sally"}},
                                 {"values_int64s", std::vector<I>{5, 6}},
                                 {"default_int64", I{42}}});
  EXPECT_THAT(elements<I>(run("LabelEncoder", {vec<std::string>({"Dori", "Amy", "Sally"})}, names)),
              ElementsAre(42, 5, 6));
  const auto numbers = attributes(
      {{"keys_int64s", std::vector<I>{1, 2, 1}}, {"values_strings", std::vector<std::string>{"one", "two", "uno"}}});
  EXPECT_THAT(elements<std::string>(run("LabelEncoder", {vec<I>({1, 2, 3})}, numbers)),
              ElementsAre("uno", "two", "_Unused"));
  const auto tensors = attributes({{"keys_tensor", vec<std::int16_t>({7})},
                                   {"values_tensor", vec<double>({0.5})},
                                   {"default_tensor", vec<double>({-2})}});
  const Tensor in = Tensor::of<std::int16_t>({2, 1}, {7, 8});
  EXPECT_EQ(run("LabelEncoder", {in}, tensors).shape(), Shape({2, 1}));
  EXPECT_THAT(elements<double>(run("LabelEncoder", {in}, tensors)), ElementsAre(0.5, -2));
}

TEST(LabelEncoder, KnowsOneNaN) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto given =
      attributes({{"keys_floats", std::vector<float>{1, nan}}, {"values_floats", std::vector<float>{2, 3}}});
  EXPECT_THAT(elements<float>(run("LabelEncoder", {vec<float>({-nan, 1, 0, -0.0f})}, given)), ElementsAre(3, 2, 0, 0));
}

TEST(LabelEncoder, RefusesAttributesThatDoNotMatch) {
  const auto verdict = [](const tensor::Attributes& given) {
    return reason_of([&] { run("LabelEncoder", {vec<I>({1})}, given); });
  };
  EXPECT_EQ(verdict(attributes({{"keys_int64s", std::vector<I>{1}}})), "op.attribute");
  EXPECT_EQ(verdict(attributes({{"keys_int64s", std::vector<I>{1}}, {"values_int64s", std::vector<I>{1, 2}}})),
            "op.attribute");
  EXPECT_EQ(verdict(attributes({{"keys_tensor", I{1}}, {"values_int64s", std::vector<I>{1}}})), "op.attribute");
  EXPECT_EQ(verdict(attributes({{"keys_floats", std::vector<float>{1}}, {"values_int64s", std::vector<I>{1}}})),
            "op.type");
  EXPECT_EQ(verdict(attributes({{"keys_int64s", std::vector<I>{1}},
                                {"values_int64s", std::vector<I>{1}},
                                {"default_tensor", vec<float>({1})}})),
            "op.attribute");
  EXPECT_EQ(verdict(attributes({{"classes_strings", std::vector<std::string>{"a"}}})), "op.attribute");
}

TEST(ArrayFeatureExtractor, PicksColumns) {
  const Tensor data = Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  const Tensor out = run("ArrayFeatureExtractor", {data, vec<I>({2, 0})});
  EXPECT_EQ(out.shape(), Shape({2, 2}));
  EXPECT_THAT(elements<float>(out), ElementsAre(3, 1, 6, 4));
  EXPECT_EQ(run("ArrayFeatureExtractor", {vec<float>({1, 2}), Tensor::of<I>({1, 2}, {1, 1})}).shape(), Shape({1, 2}));
  EXPECT_EQ(reason_of([&] { run("ArrayFeatureExtractor", {data, vec<I>({3})}); }), "op.index");
  EXPECT_EQ(reason_of([&] { run("ArrayFeatureExtractor", {data, vec<float>({0})}); }), "op.type");
  EXPECT_EQ(reason_of([&] { run("ArrayFeatureExtractor", {Tensor::scalar(1.0f), vec<I>({0})}); }), "op.rank");
}

TEST(Binarizer, ComparesWithTheThreshold) {
  const auto at = attributes({{"threshold", 1.0f}});
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(elements<float>(run("Binarizer", {vec<float>({0.5f, 1, 1.5f, nan})}, at)), ElementsAre(0, 0, 1, 0));
  EXPECT_THAT(elements<I>(run("Binarizer", {vec<I>({-1, 0, 1})})), ElementsAre(0, 0, 1));
}

}  // namespace
}  // namespace lanner::kernels::testing
