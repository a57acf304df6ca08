#include <limits>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::ElementsAre;

TEST(Shape, TakesAPartOfTheDimensions) {
  const Tensor data = Tensor::allocate(ElementType::kFloat32, {2, 3, 4});
  const auto between = [&](I start, I end) {
    return elements<I>(run("Shape", {data}, attributes({{"start", start}, {"end", end}})));
  };
  EXPECT_THAT(elements<I>(run("Shape", {data})), ElementsAre(2, 3, 4));
  EXPECT_THAT(elements<I>(run("Shape", {data}, attributes({{"start", I{-1}}}))), ElementsAre(4));
  EXPECT_THAT(between(1, -1), ElementsAre(3));
  EXPECT_THAT(between(INT64_MIN, INT64_MAX), ElementsAre(2, 3, 4));
  EXPECT_THAT(between(2, 1), ElementsAre());
  EXPECT_EQ(run("Shape", {Tensor::scalar(1.0f)}).shape(), Shape({0}));
}

TEST(Size, CountsElements) {
  EXPECT_THAT(elements<I>(run("Size", {Tensor::allocate(ElementType::kBool, {2, 3})})), ElementsAre(6));
  EXPECT_THAT(elements<I>(run("Size", {Tensor::scalar(1.0f)})), ElementsAre(1));
}

template <typename T>
Tensor range(T start, T limit, T delta, int threads = 1) {
  return run("Range", {Tensor::scalar(start), Tensor::scalar(limit), Tensor::scalar(delta)}, {}, threads);
}

TEST(Range, StopsBeforeTheLimit) {
  EXPECT_THAT(elements<I>(range<I>(3, 9, 3)), ElementsAre(3, 6));
  EXPECT_THAT(elements<std::int32_t>(range<std::int32_t>(10, 4, -2)), ElementsAre(10, 8, 6));
  EXPECT_THAT(elements<float>(range<float>(1, 2.1f, 0.5f)), ElementsAre(1, 1.5f, 2));
  EXPECT_THAT(elements<I>(range<I>(3, 3, 1)), ElementsAre());
  EXPECT_THAT(elements<double>(range<double>(3, 9, -1)), ElementsAre());
}

TEST(Range, WorksAtTheEndsOfItsType) {
  EXPECT_THAT(elements<I>(range<I>(INT64_MIN, INT64_MAX, INT64_MAX)), ElementsAre(INT64_MIN, -1, INT64_MAX - 1));
  EXPECT_THAT(elements<I>(range<I>(INT64_MAX, INT64_MIN, INT64_MIN)), ElementsAre(INT64_MAX, -1));
  EXPECT_THAT(elements<std::int16_t>(range<std::int16_t>(-32768, 32767, 32767)), ElementsAre(-32768, -1, 32766));
}

TEST(Range, RefusesHostileBounds) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(reason_of([&] { range<I>(0, 1, 0); }), "op.value");
  EXPECT_EQ(reason_of([&] { range<float>(0, 1, 0); }), "op.value");
  EXPECT_EQ(reason_of([&] { range<float>(0, nan, 1); }), "op.value");
  EXPECT_EQ(reason_of([&] { range<float>(0, infinity, 1); }), "op.size");
  EXPECT_EQ(reason_of([&] { range<I>(INT64_MIN, INT64_MAX, 1); }), "op.size");
  EXPECT_EQ(reason_of([&] { range<I>(0, INT64_MAX, 1); }), "op.size");
  EXPECT_EQ(reason_of([&] { range<std::uint8_t>(0, 1, 1); }), "op.type");
  EXPECT_EQ(reason_of([&] {
              run("Range", {Tensor::scalar(I{0}), Tensor::scalar(1.0f), Tensor::scalar(I{1})});
            }),
            "op.type");
  EXPECT_EQ(reason_of([&] {
              run("Range", {Tensor::scalar(I{0}), Tensor::of<I>({2}, {1, 2}), Tensor::scalar(I{1})});
            }),
            "op.shape");
}

TEST(Range, DoesNotDependOnThreads) {
  EXPECT_EQ(elements<float>(range<float>(0, 100000, 1.5f, 1)), elements<float>(range<float>(0, 100000, 1.5f, 4)));
}

TEST(ConstantOfShape, RepeatsItsValue) {
  const Tensor shape = Tensor::of<I>({2}, {2, 1});
  EXPECT_THAT(elements<float>(run("ConstantOfShape", {shape})), ElementsAre(0, 0));
  const auto seven = attributes({{"value", Tensor::of<I>({1}, {7})}});
  EXPECT_THAT(elements<I>(run("ConstantOfShape", {shape}, seven)), ElementsAre(7, 7));
  EXPECT_THAT(elements<I>(run("ConstantOfShape", {Tensor::allocate(ElementType::kInt64, {0})}, seven)), ElementsAre(7));
  constexpr I kMany = I{1} << 50;
  EXPECT_EQ(run("ConstantOfShape", {Tensor::of<I>({2}, {0, kMany})}).shape(), Shape({0, kMany}));
}

TEST(ConstantOfShape, RefusesImpossibleShapes) {
  EXPECT_EQ(reason_of([&] { run("ConstantOfShape", {Tensor::of<I>({1}, {-1})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("ConstantOfShape", {Tensor::of<I>({2}, {INT64_MAX, 2})}); }), "op.size");
  EXPECT_EQ(reason_of([&] { run("ConstantOfShape", {Tensor::of<I>({2}, {0, INT64_MAX})}); }), "op.size");
  EXPECT_EQ(reason_of([&] { run("ConstantOfShape", {Tensor::of<I>({9}, {1, 1, 1, 1, 1, 1, 1, 1, 1})}); }), "op.rank");
  const auto two = attributes({{"value", Tensor::of<I>({2}, {7, 8})}});
  EXPECT_EQ(reason_of([&] { run("ConstantOfShape", {Tensor::of<I>({1}, {1})}, two); }), "op.attribute");
}

TEST(Constant, TakesEveryKindOfValue) {
  const auto made = [](const char* name, tensor::Attribute value) {
    return run("Constant", {}, attributes({{name, std::move(value)}}));
  };
  EXPECT_THAT(elements<bool>(made("value", Tensor::of<bool>({2}, {true, false}))), ElementsAre(true, false));
  EXPECT_THAT(elements<I>(made("value_int", I{5})), ElementsAre(5));
  EXPECT_EQ(made("value_int", I{5}).rank(), 0);
  EXPECT_THAT(elements<I>(made("value_ints", std::vector<I>{5, 6})), ElementsAre(5, 6));
  EXPECT_THAT(elements<float>(made("value_float", 5.5f)), ElementsAre(5.5f));
  EXPECT_THAT(elements<float>(made("value_floats", std::vector<float>{5.5f})), ElementsAre(5.5f));
  EXPECT_THAT(elements<std::string>(made("value_string", std::string("a"))), ElementsAre("a"));
  EXPECT_THAT(elements<std::string>(made("value_strings", std::vector<std::string>{"a"})), ElementsAre("a"));
  EXPECT_EQ(reason_of([] { run("Constant", {}); }), "op.attribute");
  EXPECT_EQ(reason_of([&] { made("value", I{5}); }), "op.attribute");
}

}  // namespace
}  // namespace lanner::kernels::testing
