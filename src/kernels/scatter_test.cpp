#include <cmath>
#include <limits>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::ElementsAre;

tensor::Attributes reduction(const char* name, I axis = 0) {
  return attributes({{"reduction", std::string(name)}, {"axis", axis}});
}

TEST(ScatterElements, ReplacesElements) {
  const Tensor data = Tensor::of<float>({1, 5}, {1, 2, 3, 4, 5});
  const Tensor indices = Tensor::of<I>({1, 2}, {1, -2});
  const Tensor updates = Tensor::of<float>({1, 2}, {1.5f, 2.5f});
  EXPECT_THAT(elements<float>(run("ScatterElements", {data, indices, updates}, attributes({{"axis", I{1}}}))),
              ElementsAre(1, 1.5f, 3, 2.5f, 5));
  EXPECT_THAT(elements<float>(data), ElementsAre(1, 2, 3, 4, 5));
}

TEST(ScatterElements, CombinesRepeatedIndicesInOrder) {
  const Tensor data = Tensor::of<std::int32_t>({3}, {1, 2, 3});
  const Tensor indices = Tensor::of<std::int32_t>({3}, {1, 1, 0});
  const Tensor updates = Tensor::of<std::int32_t>({3}, {5, 4, -2});
  const auto with = [&](const char* name) {
    return elements<std::int32_t>(run("ScatterElements", {data, indices, updates}, reduction(name)));
  };
  EXPECT_THAT(with("none"), ElementsAre(-2, 4, 3));
  EXPECT_THAT(with("add"), ElementsAre(-1, 11, 3));
  EXPECT_THAT(with("mul"), ElementsAre(-2, 40, 3));
  EXPECT_THAT(with("max"), ElementsAre(1, 5, 3));
  EXPECT_THAT(with("min"), ElementsAre(-2, 2, 3));
  EXPECT_EQ(reason_of([&] { with("mean"); }), "op.attribute");
}

TEST(ScatterElements, WrapsIntegersAndKeepsNaN) {
  const Tensor zero = Tensor::of<I>({1}, {0});
  const Tensor big = Tensor::of<I>({1}, {INT64_MAX});
  EXPECT_THAT(elements<I>(run("ScatterElements", {big, zero, big}, reduction("add"))), ElementsAre(-2));
  const Tensor small = Tensor::of<std::uint16_t>({1}, {65535});
  EXPECT_THAT(elements<std::uint16_t>(run("ScatterElements", {small, zero, small}, reduction("mul"))), ElementsAre(1));
  const Tensor nan = Tensor::of<float>({1}, {std::numeric_limits<float>::quiet_NaN()});
  const Tensor one = Tensor::of<float>({1}, {1});
  for (const char* name : {"max", "min"}) {
    EXPECT_TRUE(std::isnan(*run("ScatterElements", {one, zero, nan}, reduction(name)).data<float>()));
    EXPECT_TRUE(std::isnan(*run("ScatterElements", {nan, zero, one}, reduction(name)).data<float>()));
  }
  const Tensor yes = Tensor::of<bool>({1}, {true});
  EXPECT_THAT(elements<bool>(run("ScatterElements", {yes, zero, yes}, reduction("add"))), ElementsAre(true));
}

TEST(ScatterElements, RefusesWhatDoesNotMatch) {
  const Tensor data = Tensor::of<float>({2, 2}, {1, 2, 3, 4});
  const Tensor index = Tensor::of<I>({1, 1}, {0});
  const Tensor update = Tensor::of<float>({1, 1}, {0});
  const auto reason = [&](const Tensor& indices, const Tensor& updates) {
    return reason_of([&] { run("ScatterElements", {data, indices, updates}); });
  };
  EXPECT_EQ(reason(index, update), "");
  EXPECT_EQ(reason(Tensor::of<I>({1, 1}, {2}), update), "op.index");
  EXPECT_EQ(reason(Tensor::of<I>({1, 1}, {INT64_MIN}), update), "op.index");
  EXPECT_EQ(reason(Tensor::of<I>({1}, {0}), Tensor::of<float>({1}, {0})), "op.rank");
  EXPECT_EQ(reason(index, Tensor::of<float>({1}, {0})), "op.shape");
  EXPECT_EQ(reason(Tensor::of<I>({1, 3}, {0, 0, 0}), Tensor::of<float>({1, 3}, {0, 0, 0})), "op.shape");
  EXPECT_EQ(reason(index, Tensor::of<I>({1, 1}, {0})), "op.type");
  EXPECT_EQ(reason(update, update), "op.type");
  const Tensor words = Tensor::of<std::string>({1}, {"a"});
  EXPECT_EQ(reason_of([&] {
              run("ScatterElements", {words, Tensor::of<I>({1}, {0}), words}, reduction("add"));
            }),
            "op.type");
}

TEST(ScatterND, ReplacesElementsAndSlices) {
  const Tensor data = Tensor::of<I>({8}, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_THAT(
      elements<I>(run("ScatterND", {data, Tensor::of<I>({4, 1}, {4, 3, 1, -1}), Tensor::of<I>({4}, {9, 10, 11, 12})})),
      ElementsAre(1, 11, 3, 10, 9, 6, 7, 12));
  const Tensor square = Tensor::of<std::string>({2, 2}, {"a", "b", "c", "d"});
  const Tensor row = Tensor::of<std::string>({1, 2}, {"x", "y"});
  EXPECT_THAT(elements<std::string>(run("ScatterND", {square, Tensor::of<I>({1, 1}, {1}), row})),
              ElementsAre("a", "b", "x", "y"));
}

TEST(ScatterND, CombinesSlices) {
  const Tensor data = Tensor::of<float>({2, 2}, {1, 2, 3, 4});
  const Tensor twice = Tensor::of<I>({2, 1}, {1, 1});
  const Tensor updates = Tensor::of<float>({2, 2}, {1, 10, 100, 1000});
  EXPECT_THAT(elements<float>(run("ScatterND", {data, twice, updates}, reduction("add"))),
              ElementsAre(1, 2, 104, 1014));
  EXPECT_THAT(elements<float>(run("ScatterND", {data, twice, updates})), ElementsAre(1, 2, 100, 1000));
}

// The data's memory is taken over only where the VM allows it and nothing else holds it.
TEST(ScatterND, WritesInPlaceWhereNobodyElseReads) {
  class Heap final : public OutputMemory {
   public:
    Tensor allocate(int, ElementType type, const Shape& shape) override { return Tensor::allocate(type, shape); }
  } heap;
  const auto kernel = find_operator("ScatterND")->make({tensor::Attributes(), 3, 1});
  const Value at = Tensor::of<I>({1, 1}, {1});
  const Value update = Tensor::of<float>({1}, {9});
  for (const bool allowed : {false, true}) {
    for (const bool held : {false, true}) {
      const Value data = Tensor::of<float>({2}, {1, 2});
      const Value other = held ? data : Value();
      Value out;
      const Value* inputs[] = {&data, &at, &update};
      Value* outputs[] = {&out};
      KernelContext context(inputs, outputs, heap, heap_allocator(), 1);
      if (allowed) context.allow_reuse();
      kernel->run(context);
      EXPECT_THAT(elements<float>(out.tensor()), ElementsAre(1, 9));
      EXPECT_EQ(out.tensor().raw_data() == data.tensor().raw_data(), allowed && !held);
    }
  }
}

TEST(ScatterND, RefusesWhatDoesNotMatch) {
  const Tensor data = Tensor::of<float>({2}, {1, 2});
  const Tensor one = Tensor::of<float>({1}, {1});
  EXPECT_EQ(reason_of([&] { run("ScatterND", {data, Tensor::of<I>({1, 1}, {2}), one}); }), "op.index");
  EXPECT_EQ(reason_of([&] { run("ScatterND", {data, Tensor::of<I>({1, 2}, {0, 0}), one}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("ScatterND", {data, Tensor::of<I>({2, 1}, {0, 0}), one}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("ScatterND", {data, Tensor::scalar(I{0}), one}); }), "op.rank");
}

TEST(TensorScatter, WritesAtEachItemsIndex) {
  const Tensor cache = run("ConstantOfShape", {vec<std::int64_t>({2, 2, 3, 2})});
  const Tensor update = Tensor::of<float>({2, 2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16});
  const auto scatter = [&](const Tensor& indices, const std::string& mode) {
    return elements<float>(run("TensorScatter", {cache, update, indices}, attributes({{"mode", mode}})));
  };
  EXPECT_THAT(scatter(vec<std::int64_t>({1, 0}), "linear"),
              ::testing::ElementsAre(0, 0, 1, 2, 3, 4, 0, 0, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0, 13, 14, 15, 16, 0, 0));
  EXPECT_EQ(scatter({}, "linear"), scatter(vec<std::int64_t>({0, 0}), "linear"));
  EXPECT_THAT(scatter(vec<std::int64_t>({2, -2}), "circular"),
              ::testing::ElementsAre(3, 4, 0, 0, 1, 2, 7, 8, 0, 0, 5, 6, 0, 0, 9, 10, 11, 12, 0, 0, 13, 14, 15, 16));
  EXPECT_EQ(reason_of([&] { scatter(vec<std::int64_t>({2, 0}), "linear"); }), "op.index");
  EXPECT_EQ(reason_of([&] { scatter(vec<std::int64_t>({-1, 0}), "linear"); }), "op.index");
  EXPECT_EQ(reason_of([&] { scatter(vec<std::int64_t>({INT64_MAX, 0}), "linear"); }), "op.index");
  EXPECT_EQ(reason_of([&] { scatter(vec<std::int64_t>({0}), "linear"); }), "op.shape");
  EXPECT_EQ(reason_of([&] { scatter({}, "spiral"); }), "op.attribute");
  const auto reason = [&](const Tensor& written, std::int64_t axis) {
    return reason_of([&] { run("TensorScatter", {cache, written}, attributes({{"axis", axis}})); });
  };
  EXPECT_EQ(reason(update, 0), "op.axis");
  EXPECT_EQ(reason(update, 4), "op.axis");
  EXPECT_EQ(reason(update, 1), "op.shape");
  EXPECT_EQ(reason(update.reshaped({2, 4, 2}), 2), "op.shape");
  EXPECT_EQ(reason(run("ConstantOfShape", {vec<std::int64_t>({2, 2, 4, 2})}), 2), "op.shape");
}

}  // namespace
}  // namespace lanner::kernels::testing
