// Arithmetic and simple functions of one element: Add, Sub, Mul, Div, Mod, Pow, Min, Max, Sum, Mean, Neg, Abs, Sign,
// Reciprocal, Sqrt, Exp, Log, rounding, Erf, trigonometric and hyperbolic functions.
//
// Integer arithmetic wraps (two's complement), also INT_MIN / -1 and powers. An integer divided by zero, or a zero
// integer to a negative power, is an error (`op.value`). Min and Max are NaN where any input is.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <type_traits>

#include "base/fail.h"
#include "kernels/convert.h"
#include "kernels/elementwise.h"
#include "kernels/kernel.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

using tensor::FloatTypes;
using tensor::NumericTypes;
using tensor::SignedTypes;
using tensor::TypeList;

// The remainder with the dividend's sign, as in C.
struct TruncatedModulo {
  template <typename T>
  T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>) {
      return std::fmod(a, b);
    } else if constexpr (std::is_signed_v<T>) {
      return b == T{-1} ? T{0} : static_cast<T>(a % b);
    } else {
      return static_cast<T>(a % b);
    }
  }
};

// The remainder with the divisor's sign, as in Python.
struct FlooredModulo {
  template <typename T>
  T operator()(T a, T b) const {
    const T rest = TruncatedModulo{}(a, b);
    if constexpr (std::is_floating_point_v<T>) {
      if (rest == 0) return std::copysign(T{0}, b);
    }
    return rest != 0 && (rest < 0) != (b < 0) ? static_cast<T>(rest + b) : rest;
  }
};

// Integer divisors must not hold 0; when the output is empty nothing is divided.
void require_nonzero(const Tensor& divisor, std::string_view name) {
  tensor::dispatch(UnsignedTypes{}, unsigned_counterpart(divisor.element_type()), name, [&]<typename T>() {
    const T* values = static_cast<const T*>(divisor.raw_data());
    const std::int64_t count = divisor.element_count();
    bool zero = false;
    for (std::int64_t i = 0; i < count; ++i) zero |= values[i] == 0;
    if (zero) base::invalid("op.value", "{} divides an integer by zero", name);
  });
}

bool is_float(ElementType type) {
  return type == ElementType::kFloat32 || type == ElementType::kFloat64;
}

template <typename Op>
std::unique_ptr<Kernel> dividing_kernel(std::string_view name, Op op) {
  return make_kernel([name, op](KernelContext& context) {
    const Tensor& a = context.input(0);
    const Tensor& b = context.input(1);
    require_same_type(name, a, b);
    if (!is_float(a.element_type()) && a.element_count() != 0 && b.element_count() != 0) require_nonzero(b, name);
    run_binary<NumericTypes>(context, name, a, b, a.element_type(), a.element_type(), op);
  });
}

// Base to an integer power, wrapping.
template <typename T>
T integer_power(T base, std::int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) base::invalid("op.value", "Pow raises an integer zero to the negative power {}", exponent);
    if (base == 1) return 1;
    if (base == -1) return (exponent & 1) != 0 ? T{-1} : T{1};
    return 0;
  }
  std::uint64_t result = 1;
  std::uint64_t square = static_cast<std::uint64_t>(base);
  for (auto bits = static_cast<std::uint64_t>(exponent); bits != 0; bits >>= 1) {
    if ((bits & 1) != 0) result *= square;
    square *= square;
  }
  return static_cast<T>(result);
}

struct Power {
  template <typename T, typename E>
  T operator()(T base, E exponent) const {
    if constexpr (std::is_integral_v<T> && std::is_integral_v<E>) {
      return integer_power(base, exponent);
    } else if constexpr (std::is_integral_v<T>) {
      return convert<T>(std::pow(static_cast<double>(base), exponent));
    } else {
      return static_cast<T>(std::pow(static_cast<std::common_type_t<T, E>>(base), exponent));
    }
  }
};

// An exponent as an int64 whose power wraps to the same integer. Powers of odd numbers repeat with a period that
// divides 2^62, those of even numbers are 0 from 2^64 on, so larger exponents fold into [2^62, 2^63).
template <typename E>
std::int64_t folded_exponent(E exponent) {
  if constexpr (std::is_same_v<E, std::uint64_t>) {
    constexpr std::uint64_t kPeriod = std::uint64_t{1} << 62;
    if (exponent >= 2 * kPeriod) exponent = (exponent & (kPeriod - 1)) | kPeriod;
  }
  return static_cast<std::int64_t>(exponent);
}

// Small exponents that need no library call. True when it did the work.
template <typename T>
bool power_by_constant(int threads, const Tensor& base, const Tensor& exponent, T* out) {
  if (exponent.element_count() != 1) return false;
  double power = 0;
  tensor::dispatch(NumericTypes{}, exponent.element_type(), "Pow",
                   [&]<typename E>() { power = static_cast<double>(*exponent.data<E>()); });
  const T* in = base.data<T>();
  const std::int64_t count = base.element_count();
  if (power == 2) {
    map_elements(threads, count, in, out, Square{});
  } else if (power == 3) {
    map_elements(threads, count, in, out, Cube{});
  } else if (power == 0.5) {
    map_elements(threads, count, in, out, HalfPower{});
  } else {
    return false;
  }
  return true;
}

void run_pow(KernelContext& context) {
  const Tensor& base = context.input(0);
  const Tensor& exponent = context.input(1);
  const int threads = context.threads();
  const Shape shape = broadcast_shape(base.shape(), exponent.shape());
  tensor::dispatch(
      TypeList<float, double, std::int32_t, std::int64_t>{}, base.element_type(), "Pow", [&]<typename T>() {
        const BroadcastPlan plan = plan_broadcast(shape, {&base.shape(), &exponent.shape()});
        T* out = context.allocate_output(0, base.element_type(), shape).template data<T>();
        const T* x = base.data<T>();
        if constexpr (std::is_floating_point_v<T>) {
          if (power_by_constant(threads, base, exponent, out)) return;
          if (exponent.element_type() == base.element_type()) {
            return map_broadcast(threads, plan, x, exponent.data<T>(), out, Power{});
          }
        }
        // Other pairs: the exponent becomes double, or int64 where both are integers.
        tensor::dispatch(NumericTypes{}, exponent.element_type(), "Pow", [&]<typename E>() {
          using Wide = std::conditional_t<std::is_integral_v<T> && std::is_integral_v<E>, std::int64_t, double>;
          const E* from = exponent.data<E>();
          Tensor scratch;
          const Wide* wide = nullptr;
          if constexpr (std::is_same_v<E, Wide>) {
            wide = from;
          } else {
            scratch = context.allocate_scratch(element_type_of<Wide>(), exponent.shape());
            wide = scratch.data<Wide>();
            map_elements(threads, exponent.element_count(), from, scratch.data<Wide>(), [](E e) -> Wide {
              if constexpr (std::is_same_v<Wide, double>)
                return static_cast<double>(e);
              else
                return folded_exponent(e);
            });
          }
          map_broadcast(threads, plan, x, wide, out, Power{});
        });
      });
}

// An operator of any number of inputs: op folded over them from the left; the mean divides by their number.
template <typename Types, typename Op>
std::unique_ptr<Kernel> variadic_kernel(std::string_view name, Op op, bool mean = false) {
  return make_kernel([name, op, mean](KernelContext& context) {
    const Tensor& first = context.input(0);
    const int inputs = context.input_count();
    Shape shape = first.shape();
    for (int k = 1; k < inputs; ++k) {
      require_same_type(name, first, context.input(k));
      shape = broadcast_shape(shape, context.input(k).shape());
    }
    tensor::dispatch(Types{}, first.element_type(), name, [&]<typename T>() {
      Tensor& output = context.allocate_output(0, first.element_type(), shape);
      T* out = output.data<T>();
      const std::int64_t count = shape.element_count();
      if (inputs == 1) map_elements(context.threads(), count, first.data<T>(), out, [](T x) { return x; });
      for (int k = 1; k < inputs; ++k) {
        const Tensor& next = context.input(k);
        const Shape& left = k == 1 ? first.shape() : shape;
        const BroadcastPlan plan = plan_broadcast(shape, {&left, &next.shape()});
        map_broadcast(context.threads(), plan, k == 1 ? first.data<T>() : out, next.data<T>(), out, op);
      }
      if (mean) {
        const T number = static_cast<T>(inputs);
        map_elements(context.threads(), count, out, out, [number](T x) { return static_cast<T>(x / number); });
      }
    });
  });
}

}  // namespace

std::unique_ptr<Kernel> make_Add(const KernelInfo&) {
  return wrapping_kernel<WrappingTypes>("Add", Plus{});
}
std::unique_ptr<Kernel> make_Sub(const KernelInfo&) {
  return wrapping_kernel<WrappingTypes>("Sub", Minus{});
}
std::unique_ptr<Kernel> make_Mul(const KernelInfo&) {
  return wrapping_kernel<WrappingTypes>("Mul", Multiply{});
}
std::unique_ptr<Kernel> make_Div(const KernelInfo&) {
  return dividing_kernel("Div", Divide{});
}

std::unique_ptr<Kernel> make_Mod(const KernelInfo& info) {
  const std::int64_t fmod = info.attributes.get_int("fmod", 0);
  if (fmod != 0 && fmod != 1) base::invalid("op.attribute", "attribute 'fmod' must be 0 or 1, but is {}", fmod);
  return fmod != 0 ? dividing_kernel("Mod", TruncatedModulo{}) : dividing_kernel("Mod", FlooredModulo{});
}

std::unique_ptr<Kernel> make_Pow(const KernelInfo&) {
  return make_kernel([](KernelContext& context) { run_pow(context); });
}

std::unique_ptr<Kernel> make_Min(const KernelInfo&) {
  return variadic_kernel<NumericTypes>("Min", Minimum{});
}
std::unique_ptr<Kernel> make_Max(const KernelInfo&) {
  return variadic_kernel<NumericTypes>("Max", Maximum{});
}
std::unique_ptr<Kernel> make_Sum(const KernelInfo&) {
  return variadic_kernel<FloatTypes>("Sum", Plus{});
}
std::unique_ptr<Kernel> make_Mean(const KernelInfo&) {
  return variadic_kernel<FloatTypes>("Mean", Plus{}, true);
}

std::unique_ptr<Kernel> make_Neg(const KernelInfo&) {
  return unary_kernel<SignedTypes>("Neg", Negate{});
}
std::unique_ptr<Kernel> make_Abs(const KernelInfo&) {
  return unary_kernel<NumericTypes>("Abs", Absolute{});
}
std::unique_ptr<Kernel> make_Sign(const KernelInfo&) {
  return unary_kernel<NumericTypes>("Sign", SignOf{});
}
std::unique_ptr<Kernel> make_Reciprocal(const KernelInfo&) {
  return unary_kernel<FloatTypes>("Reciprocal", Invert{});
}
std::unique_ptr<Kernel> make_Sqrt(const KernelInfo&) {
  return unary_kernel<FloatTypes>("Sqrt", SquareRoot{});
}
std::unique_ptr<Kernel> make_Exp(const KernelInfo&) {
  return unary_kernel<FloatTypes>("Exp", Exponential{});
}
std::unique_ptr<Kernel> make_Tanh(const KernelInfo&) {
  return unary_kernel<FloatTypes>("Tanh", HyperbolicTangent{});
}
std::unique_ptr<Kernel> make_Floor(const KernelInfo&) {
  return unary_kernel<FloatTypes>("Floor", RoundDown{});
}
std::unique_ptr<Kernel> make_Ceil(const KernelInfo&) {
  return unary_kernel<FloatTypes>("Ceil", RoundUp{});
}
std::unique_ptr<Kernel> make_Round(const KernelInfo&) {
  return unary_kernel<FloatTypes>("Round", RoundToEven{});
}

#define LANNER_STANDARD_FUNCTION(name, function)                                     \
  std::unique_ptr<Kernel> make_##name(const KernelInfo&) {                           \
    return unary_kernel<FloatTypes>(#name, [](auto x) { return std::function(x); }); \
  }
LANNER_STANDARD_FUNCTION(Log, log)
LANNER_STANDARD_FUNCTION(Erf, erf)
LANNER_STANDARD_FUNCTION(Sin, sin)
LANNER_STANDARD_FUNCTION(Cos, cos)
LANNER_STANDARD_FUNCTION(Tan, tan)
LANNER_STANDARD_FUNCTION(Asin, asin)
LANNER_STANDARD_FUNCTION(Acos, acos)
LANNER_STANDARD_FUNCTION(Atan, atan)
LANNER_STANDARD_FUNCTION(Sinh, sinh)
LANNER_STANDARD_FUNCTION(Cosh, cosh)
LANNER_STANDARD_FUNCTION(Asinh, asinh)
LANNER_STANDARD_FUNCTION(Acosh, acosh)
LANNER_STANDARD_FUNCTION(Atanh, atanh)
#undef LANNER_STANDARD_FUNCTION

}  // namespace lanner::kernels
