#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using Ints = std::vector<I>;
using ::testing::Each;
using ::testing::ElementsAre;

tensor::Attributes seeded(float seed, const Ints& shape, ElementType type) {
  return attributes({{"seed", seed}, {"shape", shape}, {"dtype", static_cast<I>(type)}});
}

TEST(Random, GivesTheReferencesNumbers) {
  EXPECT_THAT(elements<double>(run("RandomUniform", {}, seeded(0, {4}, ElementType::kFloat64))),
              ElementsAre(0.5488135039273248, 0.7151893663724195, 0.6027633760716439, 0.5448831829968969));
  EXPECT_THAT(elements<double>(run("RandomNormal", {}, seeded(5, {5}, ElementType::kFloat64))),
              ElementsAre(0.44122748688504143, -0.33087015189408764, 2.43077118700778, -0.2520921296030769,
                          0.10960984157818278));
}

TEST(Random, ScalesTypesAndShapes) {
  auto settings = seeded(1, {100, 20}, ElementType::kFloat32);
  settings.set("low", -3.0f);
  settings.set("high", -1.0f);
  const Tensor uniform = run("RandomUniform", {}, settings);
  EXPECT_EQ(uniform.shape(), Shape({100, 20}));
  const auto [least, most] = std::ranges::minmax(elements<float>(uniform));
  EXPECT_GE(least, -3);
  EXPECT_LT(least, -2.99f);
  EXPECT_LT(most, -1);
  EXPECT_GT(most, -1.01f);
  settings = seeded(1, {10000}, ElementType::kFloat32);
  settings.set("mean", 5.0f);
  settings.set("scale", 0.5f);
  const std::vector<float> normal = elements<float>(run("RandomNormal", {}, settings));
  const double mean = std::accumulate(normal.begin(), normal.end(), 0.0) / 10000;
  double variance = 0;
  for (const float x : normal) variance += (x - mean) * (x - mean) / 10000;
  EXPECT_NEAR(mean, 5, 0.02);
  EXPECT_NEAR(variance, 0.25, 0.02);
  EXPECT_EQ(run("RandomNormal", {}, seeded(1, {3}, ElementType::kBfloat16)).element_type(), ElementType::kBfloat16);
  const Tensor like = run("RandomUniformLike", {Tensor::allocate(ElementType::kFloat16, {2, 3})});
  EXPECT_EQ(like.type_string(), "float16[2,3]");
  EXPECT_EQ(run("RandomNormalLike", {vec<I>({1, 2})}, attributes({{"dtype", I{11}}})).type_string(), "float64[2]");
}

TEST(Random, RepeatsItselfOnlyWithASeed) {
  const auto twice = [](const tensor::Attributes& settings) {
    const auto kernel = find_operator("RandomUniform")->make({settings, 0, 1});
    std::vector<std::vector<float>> results;
    class Heap final : public OutputMemory {
      Tensor allocate(int, ElementType type, const Shape& shape) override { return Tensor::allocate(type, shape); }
    } memory;
    for (int i = 0; i < 2; ++i) {
      Value output;
      Value* const outputs[] = {&output};
      KernelContext context({}, outputs, memory, heap_allocator(), 1);
      kernel->run(context);
      results.push_back(elements<float>(output.tensor()));
    }
    return results[0] == results[1];
  };
  EXPECT_TRUE(twice(attributes({{"shape", Ints{8}}, {"seed", 3.0f}})));
  EXPECT_FALSE(twice(attributes({{"shape", Ints{8}}})));
  EXPECT_FALSE(twice(attributes({{"shape", Ints{8}}, {"seed", std::numeric_limits<float>::quiet_NaN()}})));
  EXPECT_NE(elements<float>(run("RandomUniform", {}, attributes({{"shape", Ints{8}}}))),
            elements<float>(run("RandomUniform", {}, attributes({{"shape", Ints{8}}}))));
}

TEST(Random, RefusesNonsense) {
  const auto reason = [](std::string_view name, const tensor::Attributes& attributes) {
    return reason_of([&] { run(name, {}, attributes); });
  };
  EXPECT_EQ(reason("RandomUniform", seeded(0, {-1}, ElementType::kFloat32)), "op.shape");
  EXPECT_EQ(reason("RandomUniform", seeded(0, {I{1} << 40, I{1} << 40}, ElementType::kFloat32)), "op.size");
  EXPECT_EQ(reason("RandomNormal", seeded(0, {1}, ElementType::kInt32)), "op.type");
  EXPECT_EQ(reason("RandomNormal", attributes({{"dtype", I{-1}}, {"shape", Ints{1}}})), "op.attribute");
  EXPECT_EQ(reason_of([] { run("RandomNormalLike", {vec<I>({1})}); }), "op.type");
}

TEST(Bernoulli, DrawsByProbability) {
  const Tensor p = vec<double>({0.3, 0.7, 0.5, 0.9, 0.1, 0.6, 0, 1});
  EXPECT_THAT(elements<double>(run("Bernoulli", {p}, attributes({{"seed", 0.0f}}))),
              ElementsAre(0, 0, 1, 1, 0, 0, 0, 1));
  Tensor half = Tensor::allocate(ElementType::kFloat32, {10000});
  std::ranges::fill(half.values<float>(), 0.2f);
  const Tensor drawn =
      run("Bernoulli", {half}, attributes({{"seed", 1.0f}, {"dtype", static_cast<I>(ElementType::kBool)}}));
  EXPECT_NEAR(std::ranges::count(elements<bool>(drawn), true), 2000, 200);
  EXPECT_EQ(run("Bernoulli", {run("Cast", {p}, attributes({{"to", I{10}}}))}).type_string(), "float16[8]");
  EXPECT_EQ(reason_of([] { run("Bernoulli", {vec<float>({1.5f})}); }), "op.value");
  EXPECT_EQ(reason_of([] { run("Bernoulli", {vec<float>({NAN})}); }), "op.value");
  EXPECT_EQ(reason_of([] { run("Bernoulli", {vec<I>({1})}); }), "op.type");
}

TEST(Multinomial, DrawsByProbability) {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  const Tensor logits =
      Tensor::of<float>({2, 3}, {std::log(0.2f) + 100, kNever, std::log(0.8f) + 100, kNever, 5, kNever});
  const Tensor y = run("Multinomial", {logits}, attributes({{"sample_size", I{5000}}, {"seed", 0.0f}}));
  ASSERT_EQ(y.type_string(), "int32[2,5000]");
  const std::vector<std::int32_t> drawn = elements<std::int32_t>(y);
  EXPECT_NEAR(std::count(drawn.begin(), drawn.begin() + 5000, 0), 1000, 100);
  EXPECT_EQ(std::count(drawn.begin(), drawn.begin() + 5000, 1), 0);
  EXPECT_THAT(std::vector(drawn.begin() + 5000, drawn.end()), Each(1));
  EXPECT_EQ(run("Multinomial", {logits}, attributes({{"dtype", I{7}}})).type_string(), "int64[2,1]");
  EXPECT_EQ(reason_of([&] { run("Multinomial", {Tensor::of<float>({1, 1}, {kNever})}); }), "op.value");
  EXPECT_EQ(reason_of([&] { run("Multinomial", {vec<float>({1})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("Multinomial", {Tensor::allocate(ElementType::kFloat32, {2, 0})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("Multinomial", {logits}, attributes({{"sample_size", I{-1}}})); }), "op.attribute");
  EXPECT_EQ(reason_of([&] { run("Multinomial", {logits}, attributes({{"dtype", I{1}}})); }), "op.type");
}

TEST(Dropout, IsNothingUnlessItTrains) {
  const Tensor x = noise({3, 4});
  const Tensor ratio = Tensor::scalar(0.75f);
  for (const Tensor& mode : {Tensor(), Tensor::scalar(false)}) {
    const std::vector<Value> outputs = run_operator("Dropout", {}, std::vector<Tensor>{x, ratio, mode}, 2);
    EXPECT_EQ(elements<float>(outputs[0].tensor()), elements<float>(x));
    EXPECT_EQ(outputs[0].tensor().raw_data(), x.raw_data());
    EXPECT_THAT(elements<bool>(outputs[1].tensor()), Each(true));
  }
  EXPECT_EQ(elements<float>(run("Dropout", {x, Tensor::scalar(0.0f), Tensor::scalar(true)})), elements<float>(x));
}

TEST(Dropout, DropsAndScales) {
  const Tensor x = noise({100, 100});
  const auto settings = attributes({{"seed", I{0}}});
  const std::vector<Value> outputs =
      run_operator("Dropout", settings, std::vector<Tensor>{x, Tensor::scalar(0.75), Tensor::scalar(true)}, 2);
  I kept = 0;
  for (I i = 0; i < 10000; ++i) {
    const bool mask = outputs[1].tensor().data<bool>()[i];
    kept += mask ? 1 : 0;
    ASSERT_EQ(outputs[0].tensor().data<float>()[i], mask ? x.data<float>()[i] * 4 : 0);
  }
  EXPECT_NEAR(kept, 2500, 200);
  // By default every second.
  const std::vector<float> half = elements<float>(run("Dropout", {x, Tensor(), Tensor::scalar(true)}, settings));
  EXPECT_NEAR(std::ranges::count(half, 0.0f), 5000, 200);
  EXPECT_EQ(reason_of([&] { run("Dropout", {x, Tensor::scalar(1.0f), Tensor::scalar(true)}); }), "op.value");
  EXPECT_EQ(reason_of([&] { run("Dropout", {x, Tensor::scalar(NAN), Tensor::scalar(true)}); }), "op.value");
  EXPECT_EQ(reason_of([&] { run("Dropout", {x, vec<float>({0.1f, 0.2f}), Tensor::scalar(true)}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("Dropout", {x, Tensor(), Tensor::scalar(1.0f)}); }), "op.type");
}

}  // namespace
}  // namespace lanner::kernels::testing
