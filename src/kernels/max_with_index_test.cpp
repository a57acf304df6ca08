#include <cmath>
#include <limits>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::pair<Tensor, Tensor> best(const Tensor& data, const tensor::Attributes& attributes, int threads = 1) {
  auto outputs = run_operator("MaxWithIndex", attributes, {&data, 1}, 2, threads);
  return {outputs[0].tensor(), outputs[1].tensor()};
}

// The same from the operators that it stands for.
void expect_as_separate(const Tensor& data, I axis, bool sigmoid, int threads = 1) {
  tensor::Attributes settings = attributes({{"axis", axis}, {"keepdims", I{0}}});
  const Tensor scores = sigmoid ? run("Sigmoid", {data}) : data;
  const Tensor greatest = run("ReduceMax", {scores, vec<I>({axis})}, attributes({{"keepdims", I{0}}}));
  const Tensor places = run("ArgMax", {scores}, settings);
  if (sigmoid) settings.set("activation", std::string("Sigmoid"));
  const auto [values, indices] = best(data, settings, threads);
  ASSERT_EQ(values.shape(), greatest.shape());
  ASSERT_EQ(indices.shape(), places.shape());
  EXPECT_EQ(elements<I>(indices), elements<I>(places));
  for (I i = 0; i < values.element_count(); ++i) {
    const float a = values.data<float>()[i];
    const float b = greatest.data<float>()[i];
    EXPECT_TRUE(a == b || (std::isnan(a) && std::isnan(b))) << i << ": " << a << " " << b;
  }
}

TEST(MaxWithIndex, FirstOfEqualsAndNaN) {
  const Tensor data = Tensor::of<float>({3, 4}, {1, kNaN, 2, -1, 5, 7, 2, kNaN, 5, kNaN, 2, kNaN});
  const auto [values, indices] = best(data, attributes({{"axis", I{0}}}));
  EXPECT_EQ(values.shape(), (Shape{1, 4}));
  EXPECT_EQ(elements<I>(indices), (std::vector<I>{1, 0, 0, 1}));
  EXPECT_EQ(values.data<float>()[0], 5);
  EXPECT_TRUE(std::isnan(values.data<float>()[1]));
  expect_as_separate(data, 0, false);
  expect_as_separate(data, 1, false);
  expect_as_separate(data, 0, true);
  expect_as_separate(data, 1, true);
}

TEST(MaxWithIndex, IsReduceMaxAndArgMax) {
  for (const Shape& shape : {Shape{2, 7, 300}, Shape{3, 80, 17}, Shape{40, 80}, Shape{1, 1, 5}, Shape{4, 3, 2, 5}}) {
    for (I axis = 0; axis < shape.rank(); ++axis) {
      expect_as_separate(noise(shape), axis, false, 3);
      expect_as_separate(noise(shape), axis, true, 3);
    }
  }
}

TEST(MaxWithIndex, ScoresThatRoundToTheSame) {
  // Logits one unit in the last place apart, of all magnitudes: near 1 and near 0 many have one Sigmoid.
  for (const float middle :
       {-110.0f, -95.0f, -87.5f, -81.0f, -79.0f, -20.0f, -1.0f, 0.0f, 0.5f, 3.9999f, 4.0f, 9.0f, 17.0f, 40.0f}) {
    Tensor data = Tensor::allocate(ElementType::kFloat32, {64, 33});
    std::uint32_t state = 7;
    for (float& x : data.values<float>()) {
      state = state * 1664525u + 1013904223u;
      x = middle;
      for (std::uint32_t step = 0; step < state >> 28; ++step) x = std::nextafter(x, 1000.0f);
      if ((state >> 20 & 3u) == 0) x -= 1e-4f * static_cast<float>(state >> 16 & 15u);
    }
    expect_as_separate(data, 0, true);
    expect_as_separate(data, 1, true);
  }
}

TEST(MaxWithIndex, ComputedSigmoidsBelowTheBoundAreSmaller) {
  // Just below what the kernel takes for certain, from the steepest part of the function to its flattest.
  for (float greatest = -80.0f; greatest < 12.0f; greatest += 0.00137f) {
    const float gap = greatest > 0 ? 1e-4f : 4e-6f - 2.5e-7f * greatest;
    const float other = std::nextafter(std::min(greatest, 4.0f) - gap, -1000.0f);
    const Tensor scores = run("Sigmoid", {vec<float>({greatest, other})});
    EXPECT_GT(scores.data<float>()[0], scores.data<float>()[1]) << greatest;
  }
}

TEST(MaxWithIndex, EmptyTensors) {
  const auto [values, indices] = best(Tensor::allocate(ElementType::kFloat32, {0, 4}), attributes({{"axis", I{1}}}));
  EXPECT_EQ(values.shape(), (Shape{0, 1}));
  EXPECT_EQ(indices.shape(), (Shape{0, 1}));
  EXPECT_EQ(reason_of([] {
              best(Tensor::allocate(ElementType::kFloat32, {0, 4}), attributes({{"axis", I{0}}}));
            }),
            "op.shape");
}

TEST(MaxWithIndex, RefusesWhatItIsNot) {
  EXPECT_EQ(reason_of([] { best(vec<I>({1}), attributes({{"axis", I{0}}})); }), "op.type");
  EXPECT_EQ(reason_of([] { best(vec<float>({1}), attributes({{"axis", I{1}}})); }), "op.axis");
  EXPECT_EQ(reason_of([] {
              best(vec<float>({1}), attributes({{"axis", I{0}}, {"activation", std::string("Softmax")}}));
            }),
            "op.attribute");
}

}  // namespace
}  // namespace lanner::kernels::testing
