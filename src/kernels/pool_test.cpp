#include <cmath>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using ::testing::ElementsAre;
using I = std::int64_t;
using Ints = std::vector<I>;

const Tensor kImage = Tensor::of<float>({1, 1, 3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9});

TEST(MaxPool, FindsMaximaAndWhereTheyAre) {
  for (const auto& [order, first] : {std::pair<I, I>{0, 4}, {1, 4}}) {
    const auto options = attributes({{"kernel_shape", Ints{2, 2}}, {"storage_order", order}});
    const auto out = run_operator("MaxPool", options, std::vector<Tensor>{kImage}, 2, 4);
    EXPECT_THAT(elements<float>(out[0].tensor()), ElementsAre(5, 6, 8, 9));
    EXPECT_THAT(elements<I>(out[1].tensor()), order == 0 ? ElementsAre(first, 5, 7, 8) : ElementsAre(first, 7, 5, 8));
  }
}

TEST(MaxPool, CountsAHangingWindowWithCeilMode) {
  const auto options = attributes({{"kernel_shape", Ints{2, 2}}, {"strides", Ints{2, 2}}, {"ceil_mode", I{1}}});
  EXPECT_THAT(elements<float>(run("MaxPool", {kImage}, options)), ElementsAre(5, 6, 8, 9));
  const auto floor = attributes({{"kernel_shape", Ints{2, 2}}, {"strides", Ints{2, 2}}});
  EXPECT_THAT(elements<float>(run("MaxPool", {kImage}, floor)), ElementsAre(5));
}

TEST(MaxPool, DilatesPadsAndKeepsNan) {
  const auto options = attributes({{"kernel_shape", Ints{2}}, {"dilations", Ints{2}}, {"pads", Ints{1, 1}}});
  const Tensor x = Tensor::of<std::int8_t>({1, 1, 4}, {-5, -3, -4, -9});
  EXPECT_THAT(elements<std::int8_t>(run("MaxPool", {x}, options)), ElementsAre(-3, -4, -3, -4));
  const Tensor nan = Tensor::of<float>({1, 1, 3}, {1, NAN, 2});
  EXPECT_TRUE(std::isnan(elements<float>(run("MaxPool", {nan}, attributes({{"kernel_shape", Ints{3}}})))[0]));
}

TEST(AveragePool, CountsPaddingOnlyIfAsked) {
  const auto options = [](I include) {
    return attributes({{"kernel_shape", Ints{3}}, {"pads", Ints{1, 1}}, {"count_include_pad", include}});
  };
  const Tensor x = Tensor::of<float>({1, 1, 3}, {3, 6, 9});
  EXPECT_THAT(elements<float>(run("AveragePool", {x}, options(0))), ElementsAre(4.5f, 6, 7.5f));
  EXPECT_THAT(elements<float>(run("AveragePool", {x}, options(1))), ElementsAre(3, 6, 5));
}

TEST(Pool, NormsAndGlobalForms) {
  const Tensor x = Tensor::of<float>({1, 2, 2}, {3, 4, -6, 8});
  EXPECT_THAT(elements<float>(run("LpPool", {x}, attributes({{"kernel_shape", Ints{2}}}))), ElementsAre(5, 10));
  EXPECT_THAT(elements<float>(run("GlobalLpPool", {x}, attributes({{"p", I{1}}}))), ElementsAre(7, 14));
  EXPECT_THAT(elements<float>(run("GlobalAveragePool", {x})), ElementsAre(3.5f, 1));
  EXPECT_THAT(elements<float>(run("GlobalMaxPool", {x})), ElementsAre(4, 8));
  EXPECT_EQ(run("GlobalMaxPool", {kImage}).shape(), Shape({1, 1, 1, 1}));
}

// Only the taps inside the input take time.
TEST(Pool, ReadsFewTapsOfAnEnormousWindow) {
  constexpr I kSize = INT32_MAX;
  const Tensor x = Tensor::of<float>({1, 1, 1, 3}, {4, 8, 6});
  tensor::Attributes options = attributes({{"kernel_shape", Ints{1, kSize}},
                                           {"strides", Ints{1, kSize}},
                                           {"pads", Ints{0, kSize - 1, 0, kSize - 1}}});
  EXPECT_THAT(elements<float>(run("MaxPool", {x}, options)), ElementsAre(4, 8));
  const auto out = run_operator("MaxPool", options, std::vector<Tensor>{x}, 2);
  EXPECT_THAT(elements<I>(out[1].tensor()), ElementsAre(0, 1));
  EXPECT_THAT(elements<float>(run("AveragePool", {x}, options)), ElementsAre(4, 7));
  options.set("count_include_pad", I{1});
  EXPECT_THAT(elements<float>(run("AveragePool", {x}, options)), ElementsAre(4.0f / kSize, 14.0f / kSize));
  options.set("kernel_shape", Ints{kSize, kSize});
  options.set("pads", Ints{kSize - 1, kSize - 1, kSize - 1, kSize - 1});
  EXPECT_EQ(reason_of([&] { run("MaxPool", {x}, options); }), "op.size");
}

TEST(Pool, RefusesWhatDoesNotFit) {
  EXPECT_EQ(reason_of([] { run("MaxPool", {kImage}); }), "op.attribute");
  EXPECT_EQ(reason_of([] { run("MaxPool", {kImage}, attributes({{"kernel_shape", Ints{2}}})); }), "op.attribute");
  EXPECT_EQ(reason_of([] { run("MaxPool", {kImage}, attributes({{"kernel_shape", Ints{4, 4}}})); }), "op.shape");
  EXPECT_EQ(reason_of([] {
              run("AveragePool", {Tensor::of<I>({1, 1, 1}, {1})}, attributes({{"kernel_shape", Ints{1}}}));
            }),
            "op.type");
  EXPECT_EQ(reason_of([] {
              run("GlobalAveragePool", {Tensor::allocate(ElementType::kFloat32, {1, 1, 0})});
            }),
            "op.shape");
}

}  // namespace
}  // namespace lanner::kernels::testing
