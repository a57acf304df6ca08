// Element-wise operators on every instruction set that the CPU has, against one element after another.
#include "kernels/element_loops.h"

#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "kernels/head_testing.h"
#include "kernels/kernel_testing.h"

namespace lanner::kernels {
namespace {

using testing::attributes;
using testing::for_each_instruction_set;
using testing::Random;
using testing::run;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

constexpr float kOdd[] = {0.0f,    -0.0f,    kInfinity, -kInfinity, kNaN,    1e-40f, -1e-40f,       3e38f,
                          -3e38f,  8388609,  -8388607,  0.5f,       -2.5f,   1.5f,   2147483648.0f, -2147483648.0f,
                          9.3e18f, -9.3e18f, 88.8f,     -104.0f,    -0.625f, -1.0f,  2147483520.0f, -3.0f};

float random_float(Random& random) {
  return random.one_in(3) ? kOdd[random.below(std::size(kOdd))] : 12 * random.unit() - 6;
}

// Of few different values, so that some are equal, where the type is no float.
template <typename T>
Tensor random_tensor(Random& random, const Shape& shape) {
  Tensor tensor = Tensor::allocate(element_type_of<T>(), shape);
  for (T& value : tensor.values<T>()) {
    if constexpr (std::is_same_v<T, float>) {
      value = random_float(random);
    } else if constexpr (std::is_same_v<T, bool>) {
      value = random.one_in(2);
    } else {
      value = static_cast<T>(random.below(5) - 2);
      if (random.one_in(4)) {
        value = static_cast<T>((static_cast<std::uint64_t>(random.bits()) << 33) ^ random.bits());
      }
    }
  }
  return tensor;
}

template <typename T>
bool same(T a, T b) {
  if constexpr (std::is_same_v<T, float>) {
    return (std::isnan(a) && std::isnan(b)) || std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
  } else {
    return a == b;
  }
}

template <typename T>
void expect_same(const Tensor& actual, const Tensor& expected, const std::string& what) {
  ASSERT_EQ(actual.shape(), expected.shape()) << what;
  for (std::int64_t i = 0; i < expected.element_count(); ++i) {
    ASSERT_TRUE(same(actual.data<T>()[i], expected.data<T>()[i]))
        << what << ", element " << i << ": " << actual.data<T>()[i] << " for " << expected.data<T>()[i];
  }
}

// The element of a tensor that broadcasts to `shape` at the position of the shape's element `index`.
std::int64_t broadcast_index(const Shape& from, const Shape& shape, std::int64_t index) {
  std::int64_t result = 0;
  std::int64_t stride = 1;
  for (int back = 1; back <= shape.rank(); ++back) {
    const std::int64_t dim = shape[shape.rank() - back];
    if (back <= from.rank()) {
      const std::int64_t own = from[from.rank() - back];
      result += own == 1 ? 0 : index % dim * stride;
      stride *= own;
    }
    index /= dim;
  }
  return result;
}

Shape random_shape(Random& random) {
  constexpr std::int64_t kDims[] = {1, 2, 3, 5, 15, 16, 17, 33, 70};
  Shape shape;
  for (std::int64_t rank = random.below(4); rank > 0; --rank) {
    shape.push_back(random.one_in(25) ? 0 : kDims[random.below(std::size(kDims))]);
  }
  return shape;
}

// A shape that broadcasts to `shape`.
Shape part_of(Random& random, const Shape& shape) {
  Shape part;
  const auto skipped = static_cast<int>(random.one_in(2) ? 0 : random.below(shape.rank() + 1));
  for (int i = skipped; i < shape.rank(); ++i) part.push_back(random.one_in(3) ? 1 : shape[i]);
  return part;
}

// Of two or three inputs one has the whole shape.
template <typename T, typename R, typename Function>
void check_binary(const char* name, Function function) {
  Random random(7);
  for (int round = 0; round < 60; ++round) {
    // Large ones of one shape and, with rows of another length each time, of a short row that repeats.
    const std::int64_t row = 2 + round;
    const bool repeats = round > 0 && round < 16;
    const Shape shape = round == 0 ? Shape{3, 16'411} : repeats ? Shape{50'021 / row, row} : random_shape(random);
    const bool swapped = random.one_in(2);
    Tensor a = random_tensor<T>(random, shape);
    Tensor b = random_tensor<T>(random, round == 0 ? shape : repeats ? Shape{row} : part_of(random, shape));
    if (swapped) std::swap(a, b);
    Tensor expected = Tensor::allocate(element_type_of<R>(), shape);
    for (std::int64_t i = 0; i < shape.element_count(); ++i) {
      expected.data<R>()[i] = function(a.data<T>()[broadcast_index(a.shape(), shape, i)],
                                       b.data<T>()[broadcast_index(b.shape(), shape, i)]);
    }
    for_each_instruction_set(element_loops_of_cpu(), [&] {
      for (const int threads : {1, 2, 3}) {
        expect_same<R>(run(name, {a, b}, {}, threads), expected,
                       std::string(name) + " " + a.shape().to_string() + " " + b.shape().to_string());
      }
    });
  }
}

template <typename T, typename R, typename Function>
void check_unary(const char* name, std::vector<Tensor> more, const tensor::Attributes& attributes, Function function) {
  Random random(11);
  for (std::int64_t count = 0; count <= 72; ++count) {
    const Shape shape = count == 72 ? Shape{3, 16'411} : Shape{count};
    const Tensor x = random_tensor<T>(random, shape);
    Tensor expected = Tensor::allocate(element_type_of<R>(), shape);
    for (std::int64_t i = 0; i < shape.element_count(); ++i) expected.data<R>()[i] = function(x.data<T>()[i]);
    std::vector<Tensor> inputs{x};
    inputs.insert(inputs.end(), more.begin(), more.end());
    for_each_instruction_set(element_loops_of_cpu(), [&] {
      for (const int threads : {1, 2, 3}) {
        expect_same<R>(run(name, inputs, attributes, threads), expected, std::string(name) + " " + shape.to_string());
      }
    });
  }
}

TEST(ElementLoops, ArithmeticOfTwo) {
  check_binary<float, float>("Add", [](float a, float b) { return a + b; });
  check_binary<float, float>("Sub", [](float a, float b) { return a - b; });
  check_binary<float, float>("Mul", [](float a, float b) { return a * b; });
  check_binary<float, float>("Div", [](float a, float b) { return a / b; });
  check_binary<std::int64_t, std::int64_t>("Sub", [](std::int64_t a, std::int64_t b) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
  });
}

TEST(ElementLoops, TheExtremeOfTwoIsNaNWhereEitherIs) {
  check_binary<float, float>("Max", [](float a, float b) {
    if (std::isnan(a) || std::isnan(b)) return kNaN;
    return a > b ? a : b;
  });
  check_binary<float, float>("Min", [](float a, float b) {
    if (std::isnan(a) || std::isnan(b)) return kNaN;
    return a < b ? a : b;
  });
}

TEST(ElementLoops, Comparisons) {
  check_binary<float, bool>("Greater", [](float a, float b) { return a > b; });
  check_binary<float, bool>("GreaterOrEqual", [](float a, float b) { return a >= b; });
  check_binary<float, bool>("Less", [](float a, float b) { return a < b; });
  check_binary<float, bool>("LessOrEqual", [](float a, float b) { return a <= b; });
  check_binary<float, bool>("Equal", [](float a, float b) { return a == b; });
  check_binary<std::int64_t, bool>("Equal", [](std::int64_t a, std::int64_t b) { return a == b; });
}

TEST(ElementLoops, FunctionsOfOne) {
  const auto check = [](const char* name, float (*function)(float), const tensor::Attributes& attributes = {}) {
    check_unary<float, float>(name, {}, attributes, function);
  };
  check("Abs", [](float x) { return std::fabs(x); });
  check("Neg", [](float x) { return std::copysign(x, std::signbit(x) ? 1.0f : -1.0f); });
  check("Sign", [](float x) { return x > 0 ? 1.0f : x < 0 ? -1.0f : std::isnan(x) ? x : 0.0f; });
  check("Reciprocal", [](float x) { return 1 / x; });
  check("Sqrt", [](float x) { return static_cast<float>(std::sqrt(static_cast<double>(x))); });
  check("Floor", [](float x) { return std::floor(x); });
  check("Ceil", [](float x) { return std::ceil(x); });
  check("Round", [](float x) { return std::nearbyint(x); });
  check("Exp", [](float x) { return math::exp(x); });
  check("Tanh", [](float x) { return math::tanh(x); });
  check("Sigmoid", [](float x) { return math::sigmoid(x); });
  check("Relu", [](float x) { return std::isnan(x) || x >= 0 ? x : 0.0f; });
  check(
      "LeakyRelu", [](float x) { return x < 0 ? 0.1f * x : x; }, attributes({{"alpha", 0.1f}}));
  check(
      "ThresholdedRelu", [](float x) { return x > 0.5f ? x : 0.0f; }, attributes({{"alpha", 0.5f}}));
  check("HardSigmoid", [](float x) {
    const float y = 0.2f * x + 0.5f;
    return std::isnan(y) ? y : y < 0 ? 0.0f : y > 1 ? 1.0f : y;
  });
  check("HardSwish", [](float x) {
    const float y = (1.0f / 6) * x + 0.5f;
    return x * (std::isnan(y) ? y : y < 0 ? 0.0f : y > 1 ? 1.0f : y);
  });
  check(
      "Swish", [](float x) { return x * math::sigmoid(2 * x); }, attributes({{"alpha", 2.0f}}));
  check("Elu", [](float x) { return x < 0 ? math::expm1(x) : x; });
  check(
      "Celu",
      [](float x) {
        if (std::isnan(x)) return x;
        return (x < 0 ? 0.0f : x) + (x > 0 ? 0.0f : 2 * math::expm1(x / 2));
      },
      attributes({{"alpha", 2.0f}}));
  check("Softsign", [](float x) { return x / (1 + std::fabs(x)); });
}

TEST(ElementLoops, FunctionsOfOneGiveTheSameBitsOnEveryInstructionSet) {
  Random random(5);
  const Tensor x = random_tensor<float>(random, {1001});
  for (const char* name : {"Mish", "Selu", "Gelu"}) {
    const auto tanh = attributes({{"approximate", std::string("tanh")}});
    const auto run_it = [&] { return run(name, {x}, name[0] == 'G' ? tanh : tensor::Attributes{}); };
    const Tensor expected = run_it();
    for_each_instruction_set(element_loops_of_cpu(), [&] { expect_same<float>(run_it(), expected, name); });
  }
}

TEST(ElementLoops, Clip) {
  const auto number = [](float value) { return Tensor::of<float>({}, {value}); };
  check_unary<float, float>("Clip", {number(-1), number(1.5f)}, {}, [](float x) {
    return x < -1 ? -1 : x > 1.5f ? 1.5f : x;
  });
  check_unary<float, float>("Clip", {number(0.0f), {}}, {}, [](float x) { return x < 0 ? 0.0f : x; });
}

TEST(ElementLoops, PowersByConstants) {
  const auto check = [](float exponent, float (*function)(float)) {
    check_unary<float, float>("Pow", {Tensor::of<float>({}, {exponent})}, {}, function);
  };
  check(2, [](float x) { return x * x; });
  check(3, [](float x) { return x * x * x; });
  check(0.5f, [](float x) {
    if (std::isinf(x)) return kInfinity;
    return x == 0 ? 0.0f : std::sqrt(x);
  });
}

TEST(ElementLoops, TestsOfFloats) {
  check_unary<float, bool>("IsNaN", {}, {}, [](float x) { return std::isnan(x); });
  check_unary<float, bool>("IsInf", {}, {}, [](float x) { return std::isinf(x); });
  check_unary<float, bool>("IsInf", {}, attributes({{"detect_negative", std::int64_t{0}}}),
                           [](float x) { return x == kInfinity; });
}

template <typename From, typename To>
void check_cast() {
  check_unary<From, To>("Cast", {}, attributes({{"to", static_cast<std::int64_t>(element_type_of<To>())}}), [](From x) {
    if constexpr (std::is_same_v<From, float> && std::is_integral_v<To> && !std::is_same_v<To, bool>) {
      if (std::isnan(x)) return To{0};
      if (x >= std::ldexp(1.0f, std::numeric_limits<To>::digits)) return std::numeric_limits<To>::max();
      if (x < -std::ldexp(1.0f, std::numeric_limits<To>::digits)) return std::numeric_limits<To>::min();
    }
    if constexpr (std::is_same_v<To, bool>) return x != 0;
    return static_cast<To>(x);
  });
}

TEST(ElementLoops, Casts) {
  check_cast<float, std::int64_t>();
  check_cast<float, std::int32_t>();
  check_cast<float, bool>();
  check_cast<std::int64_t, float>();
  check_cast<std::int64_t, std::int32_t>();
  check_cast<std::int64_t, bool>();
  check_cast<std::int32_t, float>();
  check_cast<std::int32_t, std::int64_t>();
  check_cast<std::int32_t, bool>();
  check_cast<bool, float>();
  check_cast<bool, std::int64_t>();
  check_cast<bool, std::int32_t>();
}

template <typename T>
void check_where() {
  Random random(3);
  for (int round = 0; round < 60; ++round) {
    const Shape shape = round == 0 ? Shape{3, 16'411} : random_shape(random);
    const auto part = [&] { return round == 0 || random.one_in(2) ? shape : part_of(random, shape); };
    Tensor condition = random_tensor<bool>(random, shape);
    // Any byte but 0 is true.
    if (condition.element_count() > 0) static_cast<std::uint8_t*>(condition.raw_data())[0] = 2;
    const Tensor a = random_tensor<T>(random, part());
    const Tensor b = random_tensor<T>(random, part());
    Tensor expected = Tensor::allocate(element_type_of<T>(), shape);
    for (std::int64_t i = 0; i < shape.element_count(); ++i) {
      const Tensor& from = static_cast<const std::uint8_t*>(condition.raw_data())[i] != 0 ? a : b;
      expected.data<T>()[i] = from.data<T>()[broadcast_index(from.shape(), shape, i)];
    }
    for_each_instruction_set(element_loops_of_cpu(), [&] {
      for (const int threads : {1, 2, 3}) {
        expect_same<T>(run("Where", {condition, a, b}, {}, threads), expected, shape.to_string());
      }
    });
  }
}

TEST(ElementLoops, Where) {
  check_where<float>();
  check_where<std::int64_t>();
  check_where<std::int16_t>();
  check_where<bool>();
}

}  // namespace
}  // namespace lanner::kernels
