#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/head_testing.h"
#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using ::testing::ElementsAre;
using I = std::int64_t;
using Ints = std::vector<I>;

std::vector<Value> top(const Tensor& x, I k, const tensor::Attributes& options = {}, int threads = 1) {
  return run_operator("TopK", options, std::vector<Tensor>{x, Tensor::of<I>({1}, {k})}, 2, threads);
}

TEST(TopK, SortsWithTheLowerIndexFirst) {
  const Tensor x = Tensor::of<float>({6}, {1, 3, 0, 3, -0.f, 2});
  auto out = top(x, 4);
  EXPECT_THAT(elements<float>(out[0].tensor()), ElementsAre(3, 3, 2, 1));
  EXPECT_THAT(elements<I>(out[1].tensor()), ElementsAre(1, 3, 5, 0));
  out = top(x, 3, attributes({{"largest", I{0}}}));
  EXPECT_THAT(elements<I>(out[1].tensor()), ElementsAre(2, 4, 0));
}

TEST(TopK, WorksAlongAnyAxisAndType) {
  const Tensor x = Tensor::of<std::int8_t>({3, 2}, {-1, 5, 7, -128, 7, 127});
  auto out = top(x, 2, attributes({{"axis", I{0}}}));
  EXPECT_THAT(elements<std::int8_t>(out[0].tensor()), ElementsAre(7, 127, 7, 5));
  EXPECT_THAT(elements<I>(out[1].tensor()), ElementsAre(1, 2, 2, 0));
  out = top(Tensor::of<I>({3}, {INT64_MIN, 0, INT64_MAX}), 3);
  EXPECT_THAT(elements<I>(out[1].tensor()), ElementsAre(2, 1, 0));
}

TEST(TopK, TakesNanForTheGreatest) {
  const Tensor x = Tensor::of<float>({4}, {1, -NAN, INFINITY, NAN});
  EXPECT_THAT(elements<I>(top(x, 4)[1].tensor()), ElementsAre(1, 3, 2, 0));
  EXPECT_THAT(elements<I>(top(x, 4, attributes({{"largest", I{0}}}))[1].tensor()), ElementsAre(0, 2, 1, 3));
}

TEST(TopK, AgreesWithAFullSortOfFloatsWithTiesAndNan) {
  Random random(31);
  for (int round = 0; round < 400; ++round) {
    const I count = 200 + random.below(round % 8 == 0 ? 20000 : 2000);
    Tensor x = Tensor::allocate(ElementType::kFloat32, {count});
    fill_scores(random, x, random.one_in(2), random.one_in(2));
    if (random.one_in(3)) std::sort(x.data<float>(), x.data<float>() + count / 2);  // each better than those before
    const I k = random.one_in(3) ? 1 + random.below(count) : 1 + random.below(std::min<I>(count, 120));
    Ints expected(static_cast<std::size_t>(count));
    std::iota(expected.begin(), expected.end(), 0);
    const auto* data = x.data<float>();
    std::stable_sort(expected.begin(), expected.end(),
                     [&](I a, I b) { return data[a] > data[b] || (std::isnan(data[a]) && !std::isnan(data[b])); });
    expected.resize(static_cast<std::size_t>(k));
    for_each_instruction_set([&] {
      const auto out = top(x, k);
      ASSERT_EQ(elements<I>(out[1].tensor()), expected) << "round " << round;
      for (I i = 0; i < k; ++i) {
        ASSERT_EQ(std::bit_cast<std::uint32_t>(out[0].tensor().data<float>()[i]),
                  std::bit_cast<std::uint32_t>(data[expected[static_cast<std::size_t>(i)]]));
      }
    });
  }
}

TEST(TopK, AgreesWithAFullSortOnLongRows) {
  constexpr I kRows = 3;
  constexpr I kCount = 20000;
  Tensor x = Tensor::allocate(ElementType::kFloat32, {kRows, kCount});
  std::uint32_t state = 7;
  for (float& value : x.values<float>()) value = static_cast<float>((state = state * 1664525u + 1013904223u) >> 20);
  for (const I k : {1, 100, 15000}) {
    Ints expected;
    for (I row = 0; row < kRows; ++row) {
      const float* data = x.data<float>() + row * kCount;
      Ints order(kCount);
      for (I i = 0; i < kCount; ++i) order[static_cast<std::size_t>(i)] = i;
      std::stable_sort(order.begin(), order.end(), [&](I a, I b) { return data[a] > data[b]; });
      expected.insert(expected.end(), order.begin(), order.begin() + k);
    }
    EXPECT_EQ(elements<I>(top(x, k)[1].tensor()), expected);
    EXPECT_EQ(elements<I>(top(x, k, {}, 4)[1].tensor()), expected);
  }
}

TEST(TopK, OneOfEachShortRowIsTheFirstOfTheSortedRow) {
  Random random(17);
  for (const I length : {1, 2, 7, 80, 255}) {
    Tensor x = Tensor::allocate(ElementType::kFloat32, {50, length});
    for (float& value : x.values<float>()) {
      value = random.one_in(20) ? std::nanf("") : random.one_in(9) ? -0.0f : static_cast<float>(random.below(5) - 2);
    }
    for (const I largest : {0, 1}) {
      const auto options = attributes({{"largest", largest}});
      const auto one = top(x, 1, options, 2);
      const auto all = top(x, length, options);
      for (I row = 0; row < 50; ++row) {
        EXPECT_EQ(one[1].tensor().data<I>()[row], all[1].tensor().data<I>()[row * length]);
      }
    }
  }
}

TEST(TopK, RefusesKOutsideTheAxis) {
  const Tensor x = Tensor::of<float>({2}, {1, 2});
  EXPECT_EQ(top(x, 0)[0].tensor().shape(), Shape({0}));
  EXPECT_EQ(reason_of([&] { top(x, 3); }), "op.value");
  EXPECT_EQ(reason_of([&] { top(x, -1); }), "op.value");
  EXPECT_EQ(reason_of([&] { top(x, 1, attributes({{"axis", I{1}}})); }), "op.axis");
  EXPECT_EQ(reason_of([&] { run("TopK", {x, Tensor::of<I>({2}, {1, 1})}); }), "op.input");
  EXPECT_EQ(reason_of([&] {
              run("TopK", {Tensor::of<bool>({2}, {true, false}), Tensor::of<I>({1}, {1})});
            }),
            "op.type");
}

}  // namespace
}  // namespace lanner::kernels::testing
