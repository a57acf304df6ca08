#include "kernels/softmax.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::FloatNear;
using ::testing::IsNan;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
const float kNaN = std::nanf("");

TEST(Softmax, SubtractsTheMaximum) {
  const Tensor x = Tensor::of<float>({2, 4}, {0, 1, 2, 3, 10000, 10001, 10002, 10003});
  EXPECT_THAT(elements<float>(run("Softmax", {x})),
              ElementsAre(FloatNear(0.032058604f, 1e-7f), FloatNear(0.08714432f, 1e-7f), FloatNear(0.23688284f, 1e-7f),
                          FloatNear(0.6439143f, 1e-7f), FloatNear(0.032058604f, 1e-7f), FloatNear(0.08714432f, 1e-7f),
                          FloatNear(0.23688284f, 1e-7f), FloatNear(0.6439143f, 1e-7f)));
  EXPECT_THAT(elements<float>(run("LogSoftmax", {vec<float>({0, 1, 2, 3})})),
              ElementsAre(FloatEq(-3.4401896f), FloatEq(-2.4401896f), FloatEq(-1.4401897f), FloatEq(-0.44018969f)));
}

TEST(Softmax, DefinesSpecialLines) {
  EXPECT_THAT(elements<float>(run("Softmax", {vec<float>({-kInfinity, 1, 1})})), ElementsAre(0, 0.5f, 0.5f));
  EXPECT_THAT(elements<float>(run("Softmax", {vec<float>({kNaN, 1})})), ElementsAre(IsNan(), IsNan()));
  EXPECT_THAT(elements<float>(run("Softmax", {vec<float>({-kInfinity, -kInfinity})})), ElementsAre(IsNan(), IsNan()));
  EXPECT_EQ(run("Softmax", {Tensor::allocate(ElementType::kFloat32, {3, 0})}).shape(), Shape({3, 0}));
  EXPECT_EQ(run("Softmax", {Tensor::allocate(ElementType::kFloat32, {0, 3})}).shape(), Shape({0, 3}));
  EXPECT_EQ(reason_of([] { run("Softmax", {vec<float>({1})}, attributes({{"axis", I{1}}})); }), "op.axis");
  EXPECT_EQ(reason_of([] { run("Softmax", {Tensor::scalar<float>(1)}); }), "op.axis");
  EXPECT_EQ(reason_of([] { run("Softmax", {vec<I>({1})}); }), "op.type");
}

TEST(Softmax, WorksAlongAnyAxis) {
  // Also longer than the partial sums and wider than one block of lines.
  const Shape shape{3, 37, 150};
  const Tensor x = noise(shape);
  for (int axis = 0; axis < 3; ++axis) {
    const auto soft = elements<float>(run("Softmax", {x}, attributes({{"axis", I{axis - 3}}})));
    const auto logs = elements<float>(run("LogSoftmax", {x}, attributes({{"axis", I{axis}}})));
    const I inner = shape.element_count(axis + 1, 3);
    const I length = shape[axis];
    for (I line = 0; line < x.element_count() / length; ++line) {
      const I at = line / inner * length * inner + line % inner;
      double sum = 0;
      for (I i = 0; i < length; ++i) sum += std::exp(static_cast<double>(x.data<float>()[at + i * inner]));
      for (I i = 0; i < length; ++i) {
        const auto index = static_cast<std::size_t>(at + i * inner);
        const double exact = std::exp(static_cast<double>(x.data<float>()[index])) / sum;
        ASSERT_NEAR(soft[index], exact, 2e-6 * exact) << axis << " " << line << " " << i;
        ASSERT_NEAR(logs[index], std::log(exact), 1e-5) << axis << " " << line << " " << i;
      }
    }
  }
}

TEST(Hardmax, TakesTheFirstMaximum) {
  const Tensor x = Tensor::of<float>({2, 3}, {3, 3, 1, 2, kNaN, 9});
  EXPECT_THAT(elements<float>(run("Hardmax", {x})), ElementsAre(1, 0, 0, 0, 1, 0));
  EXPECT_THAT(elements<float>(run("Hardmax", {x}, attributes({{"axis", I{0}}}))), ElementsAre(1, 0, 0, 0, 1, 1));
  EXPECT_EQ(run("Hardmax", {Tensor::allocate(ElementType::kFloat32, {2, 0})}).shape(), Shape({2, 0}));
}

TEST(Softmax, IsTheSameOnAnyNumberOfThreads) {
  const Tensor x = noise({5, 91, 333});
  for (const char* name : {"Softmax", "LogSoftmax", "Hardmax"}) {
    for (const I axis : {0, 1, 2}) {
      const Tensor one = run(name, {x}, attributes({{"axis", axis}}), 1);
      const Tensor four = run(name, {x}, attributes({{"axis", axis}}), 4);
      EXPECT_EQ(std::memcmp(one.raw_data(), four.raw_data(), one.byte_count()), 0) << name << " " << axis;
    }
  }
}

// Row by row or all at once, in place or not.
TEST(Softmax, OfRowsIsTheOperators) {
  const Tensor x = noise({70, 91});
  const Tensor all = run("Softmax", {x});
  Tensor rows = Tensor::allocate(ElementType::kFloat32, x.shape());
  std::memcpy(rows.raw_data(), x.raw_data(), x.byte_count());
  for (I row = 0; row < 70; ++row) softmax_rows(rows.data<float>() + 91 * row, rows.data<float>() + 91 * row, 91, 1);
  EXPECT_EQ(std::memcmp(rows.raw_data(), all.raw_data(), all.byte_count()), 0);
}

}  // namespace
}  // namespace lanner::kernels::testing
