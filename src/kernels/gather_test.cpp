#include <numeric>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::ElementsAre;

tensor::Attributes axis(I value) {
  return attributes({{"axis", value}});
}

Tensor counting(const Shape& shape) {
  Tensor tensor = Tensor::allocate(ElementType::kFloat32, shape);
  const auto values = tensor.values<float>();
  std::iota(values.begin(), values.end(), 0.0f);
  return tensor;
}

TEST(Gather, TakesSlicesAlongTheAxis) {
  const Tensor data = counting({3, 2});
  const Tensor rows = run("Gather", {data, Tensor::of<I>({2, 2}, {0, 1, -1, 2})});
  EXPECT_EQ(rows.shape(), Shape({2, 2, 2}));
  EXPECT_THAT(elements<float>(rows), ElementsAre(0, 1, 2, 3, 4, 5, 4, 5));
  const Tensor column = run("Gather", {data, Tensor::scalar<std::int32_t>(1)}, axis(1));
  EXPECT_EQ(column.shape(), Shape({3}));
  EXPECT_THAT(elements<float>(column), ElementsAre(1, 3, 5));
}

TEST(Gather, MovesRunsOfEveryLength) {
  const Tensor indices = Tensor::of<I>({3}, {3, 0, -2});
  for (const I run_length : {1, 2, 3, 4, 5, 17}) {
    const Tensor data = counting({2, 4, run_length});
    const Tensor out = run("Gather", {data, indices}, axis(1));
    const float* at = out.data<float>();
    for (const I outer : {0, 1}) {
      for (const I index : {3, 0, 2}) {
        for (I i = 0; i < run_length; ++i) {
          EXPECT_EQ(*at++, static_cast<float>((outer * 4 + index) * run_length + i));
        }
      }
    }
  }
}

TEST(Gather, TakesStringsAndEmptyIndices) {
  const Tensor words = Tensor::of<std::string>({3}, {"a", "b", "c"});
  EXPECT_THAT(elements<std::string>(run("Gather", {words, Tensor::of<I>({2}, {2, 0})})), ElementsAre("c", "a"));
  EXPECT_EQ(run("Gather", {counting({0, 3}), Tensor::allocate(ElementType::kInt64, {0})}).shape(), Shape({0, 3}));
}

TEST(Gather, DoesNotDependOnThreads) {
  Tensor indices = Tensor::allocate(ElementType::kInt64, {5000});
  for (I i = 0; i < 5000; ++i) indices.data<I>()[i] = i * 7 % 100;
  const Tensor data = counting({3, 100, 4});
  EXPECT_EQ(elements<float>(run("Gather", {data, indices}, axis(1), 1)),
            elements<float>(run("Gather", {data, indices}, axis(1), 4)));
}

TEST(Gather, RefusesIndicesOutOfRange) {
  const Tensor data = counting({3, 2});
  for (const I index : {I{3}, I{-4}, INT64_MAX, INT64_MIN}) {
    EXPECT_EQ(reason_of([&] { run("Gather", {data, Tensor::scalar(index)}); }), "op.index");
    EXPECT_EQ(reason_of([&] { run("GatherElements", {data, Tensor::of<I>({1, 1}, {index})}); }), "op.index");
    EXPECT_EQ(reason_of([&] { run("GatherND", {data, Tensor::of<I>({1}, {index})}); }), "op.index");
  }
  EXPECT_EQ(reason_of([&] { run("Gather", {counting({0, 2}), Tensor::scalar(I{0})}); }), "op.index");
  EXPECT_EQ(reason_of([&] { run("Gather", {data, Tensor::scalar(0.0f)}); }), "op.type");
  EXPECT_EQ(reason_of([&] { run("Gather", {Tensor::scalar(0.0f), Tensor::scalar(I{0})}); }), "op.axis");
}

TEST(GatherElements, TakesAnElementForEachIndex) {
  const Tensor data = Tensor::of<float>({3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  const Tensor indices = Tensor::of<I>({2, 3}, {1, 2, 0, 2, 0, -3});
  EXPECT_THAT(elements<float>(run("GatherElements", {data, indices})), ElementsAre(4, 8, 3, 7, 2, 3));
  const Tensor across = Tensor::of<std::int32_t>({2, 2}, {0, 0, -2, 0});
  EXPECT_THAT(elements<float>(run("GatherElements", {data, across}, axis(1))), ElementsAre(1, 1, 5, 4));
}

TEST(GatherElements, RefusesShapesThatReachOut) {
  const Tensor data = counting({2, 2});
  EXPECT_EQ(reason_of([&] { run("GatherElements", {data, Tensor::of<I>({1, 3}, {0, 0, 0})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("GatherElements", {data, Tensor::of<I>({1}, {0})}); }), "op.rank");
  EXPECT_EQ(reason_of([&] { run("GatherElements", {counting({0, 2}), Tensor::of<I>({1, 2}, {0, 0})}); }), "op.index");
}

TEST(GatherND, TakesTuplesAndBatches) {
  const Tensor data = Tensor::of<I>({2, 2}, {0, 1, 2, 3});
  EXPECT_THAT(elements<I>(run("GatherND", {data, Tensor::of<I>({2, 2}, {0, 0, 1, 1})})), ElementsAre(0, 3));
  EXPECT_THAT(elements<I>(run("GatherND", {data, Tensor::of<I>({2, 1}, {1, -2})})), ElementsAre(2, 3, 0, 1));
  const Tensor cube = Tensor::of<I>({2, 2, 2}, {0, 1, 2, 3, 4, 5, 6, 7});
  const Tensor out = run("GatherND", {cube, Tensor::of<I>({2, 1}, {1, 0})}, attributes({{"batch_dims", I{1}}}));
  EXPECT_EQ(out.shape(), Shape({2, 2}));
  EXPECT_THAT(elements<I>(out), ElementsAre(2, 3, 4, 5));
}

TEST(GatherND, RefusesTuplesAndBatchesThatDoNotFit) {
  const Tensor data = counting({2, 2});
  EXPECT_EQ(reason_of([&] { run("GatherND", {data, Tensor::of<I>({3}, {0, 0, 0})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("GatherND", {data, Tensor::allocate(ElementType::kInt64, {2, 0})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] {
              run("GatherND", {data, Tensor::of<I>({1}, {0})}, attributes({{"batch_dims", I{1}}}));
            }),
            "op.rank");
  EXPECT_EQ(reason_of([&] {
              run("GatherND", {data, Tensor::of<I>({1, 1}, {0})}, attributes({{"batch_dims", I{1}}}));
            }),
            "op.shape");
}

}  // namespace
}  // namespace lanner::kernels::testing
