#include <cmath>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;
using I = std::int64_t;
using Ints = std::vector<I>;

const Tensor kData = Tensor::of<float>({2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8});

std::vector<float> reduce(std::string_view name, Ints axes, const Tensor& data = kData) {
  const I count = static_cast<I>(axes.size());
  return elements<float>(run(name, {data, Tensor::of<I>({count}, std::span<const I>(axes))}));
}

TEST(Reduce, FoldsAnyAxes) {
  EXPECT_THAT(reduce("ReduceSum", {-1}), ElementsAre(3, 7, 11, 15));
  EXPECT_THAT(reduce("ReduceSum", {1}), ElementsAre(4, 6, 12, 14));
  EXPECT_THAT(reduce("ReduceSum", {0, 2}), ElementsAre(14, 22));
  EXPECT_THAT(reduce("ReduceSum", {}), ElementsAre(36));
  EXPECT_THAT(reduce("ReduceMean", {0, 2}), ElementsAre(3.5f, 5.5f));
  EXPECT_THAT(reduce("ReduceProd", {2}), ElementsAre(2, 12, 30, 56));
  EXPECT_THAT(reduce("ReduceSumSquare", {2}), ElementsAre(5, 25, 61, 113));
  EXPECT_THAT(reduce("ReduceL2", {1}), ElementsAre(std::sqrt(10.f), std::sqrt(20.f), std::sqrt(74.f), 10));
  EXPECT_THAT(reduce("ReduceL1", {0}), ElementsAre(6, 8, 10, 12));
  EXPECT_THAT(reduce("ReduceMax", {0, 2}), ElementsAre(6, 8));
  EXPECT_THAT(reduce("ReduceMin", {0, 2}), ElementsAre(1, 3));
  EXPECT_THAT(reduce("ReduceLogSum", {2}), ElementsAre(FloatEq(std::log(3.f)), FloatEq(std::log(7.f)),
                                                       FloatEq(std::log(11.f)), FloatEq(std::log(15.f))));
}

TEST(Reduce, KeepsDimensionsOrNot) {
  const Tensor axes = Tensor::of<I>({1}, {1});
  EXPECT_EQ(run("ReduceSum", {kData, axes}).shape(), Shape({2, 1, 2}));
  EXPECT_EQ(run("ReduceSum", {kData, axes}, attributes({{"keepdims", I{0}}})).shape(), Shape({2, 2}));
  EXPECT_EQ(run("ReduceSum", {kData}, attributes({{"keepdims", I{0}}})).shape(), Shape({}));
  EXPECT_THAT(elements<float>(run("ReduceSumSquare", {Tensor::of<float>({2}, {3, 4})},
                                  attributes({{"noop_with_empty_axes", I{1}}}))),
              ElementsAre(9, 16));
}

TEST(Reduce, HasIdentitiesForNothing) {
  const Tensor empty = Tensor::allocate(ElementType::kFloat32, {2, 0});
  EXPECT_THAT(reduce("ReduceSum", {1}, empty), ElementsAre(0, 0));
  EXPECT_THAT(reduce("ReduceProd", {1}, empty), ElementsAre(1, 1));
  EXPECT_THAT(reduce("ReduceMax", {1}, empty), ElementsAre(-INFINITY, -INFINITY));
  EXPECT_THAT(reduce("ReduceMin", {1}, empty), ElementsAre(INFINITY, INFINITY));
  EXPECT_THAT(reduce("ReduceLogSumExp", {1}, empty), ElementsAre(-INFINITY, -INFINITY));
  const Tensor none = Tensor::allocate(ElementType::kInt32, {0});
  EXPECT_THAT(elements<std::int32_t>(run("ReduceMax", {none})), ElementsAre(INT32_MIN));
  EXPECT_EQ(reason_of([&] { run("ReduceMean", {none}); }), "op.value");
}

TEST(Reduce, StaysExactAndStable) {
  EXPECT_THAT(reduce("ReduceLogSumExp", {0}, Tensor::of<float>({2}, {1000, 1000})), ElementsAre(FloatEq(1000.6931f)));
  EXPECT_THAT(reduce("ReduceLogSumExp", {0}, Tensor::of<float>({2}, {-INFINITY, -INFINITY})), ElementsAre(-INFINITY));
  std::vector<float> many(100000, 0.1f);
  EXPECT_THAT(reduce("ReduceMean", {0}, Tensor::of<float>({100000}, std::span<const float>(many))), ElementsAre(0.1f));
  EXPECT_THAT(reduce("ReduceMean", {0}, Tensor::of<float>({50000, 2}, std::span<const float>(many))),
              ElementsAre(0.1f, 0.1f));
}

TEST(Reduce, DoesNotDependOnTheThreads) {
  Tensor data = Tensor::allocate(ElementType::kFloat32, {7, 33, 5, 300});
  I i = 0;
  for (float& value : data.values<float>()) value = 1.0f / static_cast<float>(++i);
  for (const Ints& axes : {Ints{3}, Ints{1}, Ints{0, 2}, Ints{1, 3}, Ints{0, 1, 2, 3}}) {
    const Tensor wanted = Tensor::of<I>({static_cast<I>(axes.size())}, std::span<const I>(axes));
    EXPECT_EQ(elements<float>(run("ReduceSum", {data, wanted})),
              elements<float>(run("ReduceSum", {data, wanted}, {}, 4)));
  }
}

TEST(Reduce, HandlesIntegersBoolsAndNan) {
  EXPECT_THAT(elements<std::int32_t>(run("ReduceMean", {Tensor::of<std::int32_t>({2}, {-3, -2})})), ElementsAre(-2));
  EXPECT_THAT(elements<std::int32_t>(run("ReduceSum", {Tensor::of<std::int32_t>({2}, {INT32_MAX, 1})})),
              ElementsAre(INT32_MIN));
  EXPECT_THAT(elements<bool>(run("ReduceMax", {Tensor::of<bool>({2}, {false, true})})), ElementsAre(true));
  EXPECT_THAT(elements<bool>(run("ReduceMin", {Tensor::of<bool>({2}, {false, true})})), ElementsAre(false));
  EXPECT_TRUE(std::isnan(reduce("ReduceMax", {0}, Tensor::of<float>({3}, {1, NAN, 2}))[0]));
  EXPECT_EQ(reason_of([] { run("ReduceSum", {Tensor::of<bool>({1}, {true})}); }), "op.type");
  EXPECT_EQ(reason_of([] { reduce("ReduceSum", {3}); }), "op.axis");
}

TEST(ArgMax, FindsTheFirstOrTheLast) {
  const Tensor x = Tensor::of<float>({2, 3}, {1, 3, 3, 4, 0, 4});
  const auto row = attributes({{"axis", I{1}}, {"keepdims", I{0}}});
  EXPECT_THAT(elements<I>(run("ArgMax", {x}, row)), ElementsAre(1, 0));
  EXPECT_THAT(elements<I>(run("ArgMin", {x}, row)), ElementsAre(0, 1));
  const auto last = attributes({{"axis", I{-1}}, {"select_last_index", I{1}}});
  EXPECT_THAT(elements<I>(run("ArgMax", {x}, last)), ElementsAre(2, 2));
  EXPECT_EQ(run("ArgMax", {x}, last).shape(), Shape({2, 1}));
  EXPECT_THAT(elements<I>(run("ArgMax", {x})), ElementsAre(1, 0, 1));
  EXPECT_THAT(elements<I>(run("ArgMax", {Tensor::of<float>({3}, {1, NAN, NAN})})), ElementsAre(1));
  EXPECT_EQ(reason_of([] { run("ArgMax", {Tensor::allocate(ElementType::kFloat32, {0})}); }), "op.shape");
}

}  // namespace
}  // namespace lanner::kernels::testing
