// What element-wise operators do to one element or to two: function objects over any element type, each defined once
// for the kernels' general loops and for those of each instruction set (element_loops.h). NaN, signed zeros and
// wrapping integers are part of each definition. They have no branches where there are no integers to check, so that
// compilers can vectorise the loops around them.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/convert.h"
#include "kernels/exp.h"

namespace lanner::kernels {

// Arithmetic of two.

struct Plus {
  template <typename T>
  T operator()(T a, T b) const {
    return static_cast<T>(a + b);
  }
};
struct Minus {
  template <typename T>
  T operator()(T a, T b) const {
    return static_cast<T>(a - b);
  }
};

// The product, wrapping for integers.
struct Multiply {
  template <typename T>
  T operator()(T a, T b) const {
    if constexpr (std::is_integral_v<T>) {
      using Unsigned = std::make_unsigned_t<decltype(a * b)>;
      return static_cast<T>(static_cast<Unsigned>(a) * static_cast<Unsigned>(b));
    } else {
      return a * b;
    }
  }
};

// -x, wrapping.
struct Negate {
  template <typename T>
  T operator()(T x) const {
    if constexpr (std::is_integral_v<T>) {
      return static_cast<T>(std::uint64_t{0} - static_cast<std::uint64_t>(x));
    } else {
      return -x;
    }
  }
};

// Division rounds towards zero for integers, whose divisor must not be 0.
struct Divide {
  template <typename T>
  T operator()(T a, T b) const {
    if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {
      // The smallest integer divided by -1 does not fit.
      return b == T{-1} ? Negate{}(a) : static_cast<T>(a / b);
    } else {
      return static_cast<T>(a / b);
    }
  }
};

// The larger or smaller of two; NaN when either is.
struct Maximum {
  template <typename T>
  T operator()(T a, T b) const {
    return static_cast<int>(a > b) | static_cast<int>(a != a) ? a : b;
  }
};
struct Minimum {
  template <typename T>
  T operator()(T a, T b) const {
    return static_cast<int>(a < b) | static_cast<int>(a != a) ? a : b;
  }
};

// PRelu.
struct ScaleNegative {
  template <typename T>
  T operator()(T value, T factor) const {
    const T product = Multiply{}(value, factor);
    return value < T{0} ? product : value;
  }
};

// Comparisons.

struct EqualTo {
  template <typename T>
  bool operator()(const T& a, const T& b) const {
    return a == b;
  }
};
struct GreaterThan {
  template <typename T>
  bool operator()(T a, T b) const {
    return a > b;
  }
};
struct AtLeast {
  template <typename T>
  bool operator()(T a, T b) const {
    return a >= b;
  }
};

// Functions of one.

struct Absolute {
  template <typename T>
  T operator()(T x) const {
    if constexpr (std::is_floating_point_v<T>)
      return std::fabs(x);
    else
      return x < T{0} ? Negate{}(x) : x;
  }
};
// NaN stays NaN.
struct SignOf {
  template <typename T>
  T operator()(T x) const {
    if constexpr (std::is_floating_point_v<T>)
      return x > 0 ? T{1} : x < 0 ? T{-1} : x == 0 ? T{0} : x;
    else
      return static_cast<T>(static_cast<int>(x > 0) - static_cast<int>(x < 0));
  }
};
struct Invert {
  template <typename T>
  T operator()(T x) const {
    return T{1} / x;
  }
};
struct SquareRoot {
  template <typename T>
  T operator()(T x) const {
    return std::sqrt(x);
  }
};
struct RoundDown {
  template <typename T>
  T operator()(T x) const {
    return std::floor(x);
  }
};
struct RoundUp {
  template <typename T>
  T operator()(T x) const {
    return std::ceil(x);
  }
};
// Halves go to the even neighbour, the default rounding mode.
struct RoundToEven {
  template <typename T>
  T operator()(T x) const {
    return std::nearbyint(x);
  }
};
struct Square {
  template <typename T>
  T operator()(T x) const {
    return x * x;
  }
};
struct Cube {
  template <typename T>
  T operator()(T x) const {
    return x * x * x;
  }
};
// x to the power of 0.5. Unlike sqrt, pow gives +0 for -0 and +infinity for -infinity.
struct HalfPower {
  template <typename T>
  T operator()(T x) const {
    constexpr T kInfinity = std::numeric_limits<T>::infinity();
    const T root = std::sqrt(x + T{0});
    return x == -kInfinity ? kInfinity : root;
  }
};
struct Exponential {
  template <typename T>
  T operator()(T x) const {
    return math::exp(x);
  }
};
struct HyperbolicTangent {
  template <typename T>
  T operator()(T x) const {
    return math::tanh(x);
  }
};
struct IsNotANumber {
  template <typename T>
  bool operator()(T x) const {
    return x != x;
  }
};
struct IsInfinite {
  bool positive;
  bool negative;
  template <typename T>
  bool operator()(T x) const {
    constexpr T kInfinity = std::numeric_limits<T>::infinity();
    return (static_cast<int>(positive) & static_cast<int>(x == kInfinity)) |
           (static_cast<int>(negative) & static_cast<int>(x == -kInfinity));
  }
};

// Activations.

struct Rectify {
  template <typename T>
  T operator()(T x) const {
    return x < T{0} ? T{0} : x;
  }
};
struct LeakyRectify {
  float alpha;
  template <typename T>
  T operator()(T x) const {
    const T product = static_cast<T>(alpha) * x;
    return x < T{0} ? product : x;
  }
};
struct ThresholdedRectify {
  float alpha;
  template <typename T>
  T operator()(T x) const {
    return x > static_cast<T>(alpha) ? x : T{0};
  }
};
// The upper limit counts where the two cross. The limits are no NaN.
template <typename T>
struct Limit {
  T low;
  T high;
  T operator()(T x) const {
    const T y = x < low ? low : x;
    return y > high ? high : y;
  }
};
struct LogisticSigmoid {
  template <typename T>
  T operator()(T x) const {
    return math::sigmoid(x);
  }
};
struct HardSigmoidOf {
  float alpha;
  float beta;
  template <typename T>
  T operator()(T x) const {
    const T y = static_cast<T>(alpha) * x + static_cast<T>(beta);
    return y < T{0} ? T{0} : (y > T{1} ? T{1} : y);
  }
};
struct HardSwishOf {
  template <typename T>
  T operator()(T x) const {
    const T y = (T{1} / 6) * x + T{0.5};
    return x * (y < T{0} ? T{0} : (y > T{1} ? T{1} : y));
  }
};
struct SwishOf {
  float alpha;
  template <typename T>
  T operator()(T x) const {
    return x * math::sigmoid(static_cast<T>(alpha) * x);
  }
};
// x tanh(log(1 + exp(x))) without the logarithm: with e = exp(-|x|) no term cancels or overflows.
struct MishOf {
  template <typename T>
  T operator()(T x) const {
    const T e = math::exp(-std::fabs(x));
    const T top = x < 0 ? e * (e + 2) : 1 + 2 * e;
    return x * (top / (top + (x < 0 ? T{2} : 2 * e * e)));
  }
};
struct ExponentialLinear {
  float alpha;
  template <typename T>
  T operator()(T x) const {
    const T curve = static_cast<T>(alpha) * math::expm1(x);
    return x < T{0} ? curve : x;
  }
};
struct ScaledExponentialLinear {
  float alpha;
  float gamma;
  template <typename T>
  T operator()(T x) const {
    const T curve = static_cast<T>(alpha) * math::expm1(x);
    return static_cast<T>(gamma) * (x > T{0} ? x : curve);
  }
};
struct ContinuousExponentialLinear {
  float alpha;
  template <typename T>
  T operator()(T x) const {
    const T curve = static_cast<T>(alpha) * math::expm1(x / static_cast<T>(alpha));
    return (x < T{0} ? T{0} : x) + (curve > T{0} ? T{0} : curve);
  }
};
struct SoftsignOf {
  template <typename T>
  T operator()(T x) const {
    return x / (1 + std::fabs(x));
  }
};
struct TanhGelu {
  template <typename T>
  T operator()(T x) const {
    constexpr T kRootTwoOverPi = static_cast<T>(0.79788456080286535588);
    const T inner = kRootTwoOverPi * (x + static_cast<T>(0.044715) * (x * x * x));
    return static_cast<T>(0.5) * x * (1 + math::tanh(inner));
  }
};

// Casts: convert() of convert.h.
template <typename To>
struct Convert {
  template <typename From>
  To operator()(From x) const {
    return convert<To>(x);
  }
};
// From a boolean's byte, any of which but 0 is true.
template <typename To>
struct ConvertBoolean {
  To operator()(std::uint8_t x) const { return static_cast<To>(x != 0); }
};

}  // namespace lanner::kernels
