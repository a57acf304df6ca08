#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::ElementsAre;

tensor::Attributes axis(I value) {
  return attributes({{"axis", value}});
}

TEST(Concat, JoinsAlongAnyAxis) {
  const Tensor a = Tensor::of<float>({2, 2}, {1, 2, 3, 4});
  const Tensor b = Tensor::of<float>({2, 1}, {5, 6});
  const Tensor out = run("Concat", {a, b, a}, axis(-1));
  EXPECT_EQ(out.shape(), Shape({2, 5}));
  EXPECT_THAT(elements<float>(out), ElementsAre(1, 2, 5, 1, 2, 3, 4, 6, 3, 4));
  EXPECT_THAT(elements<float>(run("Concat", {a, a}, axis(0))), ElementsAre(1, 2, 3, 4, 1, 2, 3, 4));
}

TEST(Concat, JoinsColumnsOfOneElement) {
  const Tensor column = Tensor::of<I>({3, 1}, {1, 2, 3});
  EXPECT_THAT(elements<I>(run("Concat", {column, column}, axis(1))), ElementsAre(1, 1, 2, 2, 3, 3));
}

TEST(Concat, TakesEmptyPartsAndStrings) {
  const Tensor none = Tensor::allocate(ElementType::kString, {0});
  const Tensor words = Tensor::of<std::string>({2}, {"a", "b"});
  EXPECT_THAT(elements<std::string>(run("Concat", {none, words, words}, axis(0))), ElementsAre("a", "b", "a", "b"));
  EXPECT_EQ(run("Concat", {none, none}, axis(0)).shape(), Shape({0}));
}

TEST(Concat, DoesNotDependOnThreads) {
  Tensor big = Tensor::allocate(ElementType::kInt32, {100, 300});
  for (I i = 0; i < 30000; ++i) big.data<std::int32_t>()[i] = static_cast<std::int32_t>(i);
  EXPECT_EQ(elements<std::int32_t>(run("Concat", {big, big}, axis(1), 1)),
            elements<std::int32_t>(run("Concat", {big, big}, axis(1), 4)));
}

TEST(Concat, RefusesInputsThatDoNotMatch) {
  const Tensor a = Tensor::allocate(ElementType::kFloat32, {2, 2});
  EXPECT_EQ(reason_of([&] {
              run("Concat", {a, Tensor::allocate(ElementType::kFloat32, {3, 2})}, axis(1));
            }),
            "op.shape");
  EXPECT_EQ(reason_of([&] { run("Concat", {a, Tensor::allocate(ElementType::kFloat32, {2})}, axis(0)); }), "op.rank");
  EXPECT_EQ(reason_of([&] { run("Concat", {a, Tensor::allocate(ElementType::kInt32, {2, 2})}, axis(0)); }), "op.type");
  EXPECT_EQ(reason_of([&] { run("Concat", {a}, axis(2)); }), "op.axis");
  EXPECT_EQ(reason_of([&] { run("Concat", {a, Tensor()}, axis(0)); }), "op.input");
}

TEST(Split, CutsBySizes) {
  const Tensor in = Tensor::of<float>({2, 4}, {1, 2, 3, 4, 5, 6, 7, 8});
  const auto parts = run_operator("Split", axis(1), std::vector{in, Tensor::of<I>({3}, {1, 0, 3})}, 3);
  EXPECT_THAT(elements<float>(parts[0].tensor()), ElementsAre(1, 5));
  EXPECT_EQ(parts[1].tensor().shape(), Shape({2, 0}));
  EXPECT_THAT(elements<float>(parts[2].tensor()), ElementsAre(2, 3, 4, 6, 7, 8));
}

TEST(Split, CutsEvenlyWithASmallerLastPart) {
  const Tensor in = Tensor::of<I>({7}, {1, 2, 3, 4, 5, 6, 7});
  const auto parts = run_operator("Split", attributes({{"num_outputs", I{3}}}), std::vector{in}, 3);
  EXPECT_THAT(elements<I>(parts[0].tensor()), ElementsAre(1, 2, 3));
  EXPECT_THAT(elements<I>(parts[1].tensor()), ElementsAre(4, 5, 6));
  EXPECT_THAT(elements<I>(parts[2].tensor()), ElementsAre(7));
}

TEST(Split, RefusesSizesThatDoNotAddUp) {
  const Tensor in = Tensor::of<I>({3}, {1, 2, 3});
  for (const Tensor& sizes : {Tensor::of<I>({2}, {1, 1}), Tensor::of<I>({2}, {4, -1}), Tensor::of<I>({1}, {3}),
                              Tensor::of<I>({2}, {INT64_MAX, 4})}) {
    EXPECT_EQ(reason_of([&] { run_operator("Split", {}, std::vector{in, sizes}, 2); }), "op.shape");
  }
  EXPECT_EQ(reason_of([&] {
              run_operator("Split", attributes({{"num_outputs", I{3}}}), std::vector{in}, 2);
            }),
            "op.attribute");
}

}  // namespace
}  // namespace lanner::kernels::testing
