#include <numeric>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::ElementsAre;

Tensor ints(std::initializer_list<I> values) {
  return Tensor::of<I>({static_cast<I>(values.size())}, values);
}

Tensor counting(const Shape& shape) {
  Tensor tensor = Tensor::allocate(ElementType::kInt64, shape);
  const auto values = tensor.values<I>();
  std::iota(values.begin(), values.end(), I{0});
  return tensor;
}

std::vector<I> sliced(I size, I start, I end, I step) {
  return elements<I>(run("Slice", {counting({size}), ints({start}), ints({end}), ints({0}), ints({step})}));
}

TEST(Slice, FollowsTheDocumentsExamples) {
  const Tensor data = Tensor::of<I>({2, 4}, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_THAT(elements<I>(run("Slice", {data, ints({1, 0}), ints({2, 3}), ints({0, 1}), ints({1, 2})})),
              ElementsAre(5, 7));
  EXPECT_THAT(elements<I>(run("Slice", {data, ints({0, 1}), ints({-1, 1000})})), ElementsAre(2, 3, 4));
}

TEST(Slice, ClampsAsDocumented) {
  EXPECT_THAT(sliced(5, -3, INT64_MAX, 1), ElementsAre(2, 3, 4));
  EXPECT_THAT(sliced(5, INT64_MIN, 2, 1), ElementsAre(0, 1));
  EXPECT_THAT(sliced(5, INT64_MAX, INT64_MIN, -1), ElementsAre(4, 3, 2, 1, 0));
  EXPECT_THAT(sliced(5, 3, 0, -2), ElementsAre(3, 1));
  EXPECT_THAT(sliced(5, -1, -4, -1), ElementsAre(4, 3, 2));
  EXPECT_THAT(sliced(5, INT64_MIN, INT64_MIN, -1), ElementsAre(0));  // a start is clamped to 0 when stepping back
  EXPECT_THAT(sliced(5, 1, 5, INT64_MAX), ElementsAre(1));
  EXPECT_THAT(sliced(5, 3, INT64_MIN, INT64_MIN), ElementsAre(3));
  EXPECT_THAT(sliced(5, 3, INT64_MIN, INT64_MIN + 1), ElementsAre(3));
  EXPECT_THAT(sliced(5, 3, 3, 1), ElementsAre());
  EXPECT_THAT(sliced(5, 4, 2, 1), ElementsAre());
  EXPECT_THAT(sliced(5, 2, 4, -1), ElementsAre());
  EXPECT_THAT(sliced(0, 0, 5, -1), ElementsAre());
}

TEST(Slice, TakesInt32IndicesAndStrings) {
  const Tensor words = Tensor::of<std::string>({3}, {"a", "b", "c"});
  const Tensor out = run("Slice", {words, Tensor::of<std::int32_t>({1}, {-2}), Tensor::of<std::int32_t>({1}, {9})});
  EXPECT_THAT(elements<std::string>(out), ElementsAre("b", "c"));
}

TEST(Slice, DoesNotDependOnThreads) {
  const std::vector<Tensor> inputs{counting({60, 70, 30}), ints({5, -1, 1}), ints({60, INT64_MIN, 29}), ints({0, 1, 2}),
                                   ints({1, -1, 2})};
  EXPECT_EQ(elements<I>(run("Slice", inputs, {}, 1)), elements<I>(run("Slice", inputs, {}, 4)));
}

TEST(Slice, RefusesNonsense) {
  const Tensor data = counting({2, 2});
  EXPECT_EQ(reason_of([&] { run("Slice", {data, ints({0}), ints({1}), ints({0}), ints({0})}); }), "op.value");
  EXPECT_EQ(reason_of([&] { run("Slice", {data, ints({0}), ints({1}), ints({2})}); }), "op.axis");
  EXPECT_EQ(reason_of([&] { run("Slice", {data, ints({0, 0}), ints({1, 1}), ints({0, -2})}); }), "op.axis");
  EXPECT_EQ(reason_of([&] { run("Slice", {data, ints({0, 0}), ints({1})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("Slice", {data, Tensor::of<float>({1}, {0}), ints({1})}); }), "op.type");
  EXPECT_EQ(reason_of([&] { run("Slice", {Tensor::scalar(1.0f), ints({0}), ints({1})}); }), "op.axis");
}

tensor::Attributes mode(const char* name) {
  return attributes({{"mode", std::string(name)}});
}

TEST(Pad, FillsWithTheConstant) {
  const Tensor data = counting({2, 2});
  const Tensor out = run("Pad", {data, ints({1, 0, 0, 2}), Tensor::scalar<I>(9)});
  EXPECT_EQ(out.shape(), Shape({3, 4}));
  EXPECT_THAT(elements<I>(out), ElementsAre(9, 9, 9, 9, 0, 1, 9, 9, 2, 3, 9, 9));
  EXPECT_THAT(elements<I>(run("Pad", {data, ints({0, 1}), Tensor(), ints({-1})})), ElementsAre(0, 1, 0, 2, 3, 0));
}

TEST(Pad, NegativePadsCrop) {
  const Tensor data = counting({5});
  EXPECT_THAT(elements<I>(run("Pad", {data, ints({-1, 2})})), ElementsAre(1, 2, 3, 4, 0, 0));
  EXPECT_THAT(elements<I>(run("Pad", {data, ints({-2, -2})})), ElementsAre(2));
  EXPECT_THAT(elements<I>(run("Pad", {data, ints({-5, 0})})), ElementsAre());
  EXPECT_THAT(elements<I>(run("Pad", {data, ints({3, -6}), Tensor::scalar<I>(7)})), ElementsAre(7, 7));
  EXPECT_THAT(elements<I>(run("Pad", {data, ints({-7, 3}), Tensor::scalar<I>(7)})), ElementsAre(7));
  EXPECT_EQ(reason_of([&] { run("Pad", {data, ints({-3, -3})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("Pad", {data, ints({INT64_MAX, INT64_MAX})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("Pad", {data, ints({INT64_MIN, INT64_MIN})}); }), "op.shape");
}

TEST(Pad, MirrorsRepeatsAndWraps) {
  const Tensor data = counting({3});
  EXPECT_THAT(elements<I>(run("Pad", {data, ints({4, 3})}, mode("reflect"))),
              ElementsAre(0, 1, 2, 1, 0, 1, 2, 1, 0, 1));
  EXPECT_THAT(elements<I>(run("Pad", {data, ints({2, 1})}, mode("edge"))), ElementsAre(0, 0, 0, 1, 2, 2));
  EXPECT_THAT(elements<I>(run("Pad", {data, ints({4, 2})}, mode("wrap"))), ElementsAre(2, 0, 1, 2, 0, 1, 2, 0, 1));
  EXPECT_THAT(elements<I>(run("Pad", {counting({1}), ints({1, 2})}, mode("reflect"))), ElementsAre(0, 0, 0, 0));
  const Tensor square = counting({2, 2});
  EXPECT_THAT(elements<I>(run("Pad", {square, ints({1, 1, 0, 0})}, mode("wrap"))),
              ElementsAre(3, 2, 3, 1, 0, 1, 3, 2, 3));
}

TEST(Pad, TakesEmptyTensorsScalarsAndStrings) {
  EXPECT_THAT(elements<I>(run("Pad", {counting({0}), ints({1, 1})})), ElementsAre(0, 0));
  EXPECT_THAT(elements<I>(run("Pad", {Tensor::scalar<I>(4), ints({})})), ElementsAre(4));
  EXPECT_THAT(elements<std::string>(run("Pad", {Tensor::of<std::string>({1}, {"a"}), ints({1, 0})})),
              ElementsAre("", "a"));
  EXPECT_EQ(reason_of([&] { run("Pad", {counting({0}), ints({1, 1})}, mode("edge")); }), "op.shape");
}

TEST(Pad, RefusesNonsense) {
  EXPECT_EQ(reason_of([&] { run("Pad", {counting({2}), ints({1})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("Pad", {counting({2}), ints({1, 1})}, mode("mirror")); }), "op.attribute");
  EXPECT_EQ(reason_of([&] { run("Pad", {counting({2}), ints({1, 1}), Tensor::scalar(1.0f)}); }), "op.type");
  EXPECT_EQ(reason_of([&] { run("Pad", {counting({2}), ints({1, 1}), Tensor(), ints({1})}); }), "op.axis");
}

}  // namespace
}  // namespace lanner::kernels::testing
