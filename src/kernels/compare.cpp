// Comparisons, logic, bits and selection: Equal, Greater, GreaterOrEqual, Less, LessOrEqual, And, Or, Xor, Not, Where,
// IsNaN, IsInf, BitwiseAnd, BitwiseOr, BitwiseXor, BitwiseNot, BitShift.
//
// Booleans are read as bytes: any byte but 0 is true.
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>

#include "base/fail.h"
#include "kernels/elementwise.h"
#include "kernels/kernel.h"
#include "kernels/strided.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

using tensor::FloatTypes;
using tensor::IntegerTypes;
using tensor::NumericTypes;
using tensor::TypeList;

// Throws `op.type` unless the tensor holds booleans.
void require_bool(const Tensor& tensor, std::string_view name) {
  if (tensor.element_type() != ElementType::kBool) {
    base::invalid("op.type", "{} needs bool, but has {}", name, element_type_name(tensor.element_type()));
  }
}

// op(a, b), or op(b, a) with `swapped`.
template <typename Op>
std::unique_ptr<Kernel> compare_kernel(std::string_view name, bool swapped, Op op) {
  return make_kernel([name, swapped, op](KernelContext& context) {
    const Tensor& a = context.input(swapped ? 1 : 0);
    const Tensor& b = context.input(swapped ? 0 : 1);
    require_same_type(name, a, b);
    run_binary<NumericTypes, bool>(context, name, a, b, a.element_type(), ElementType::kBool, op);
  });
}

// op takes and gives 0 or 1.
template <typename Op>
std::unique_ptr<Kernel> logic_kernel(std::string_view name, Op op) {
  return make_kernel([name, op](KernelContext& context) {
    const Tensor& a = context.input(0);
    const Tensor& b = context.input(1);
    require_bool(a, name);
    require_bool(b, name);
    run_binary<TypeList<std::uint8_t>>(
        context, name, a, b, ElementType::kUint8, ElementType::kBool,
        [op](std::uint8_t x, std::uint8_t y) { return static_cast<std::uint8_t>(op(x != 0, y != 0)); });
  });
}

void run_equal(KernelContext& context) {
  const Tensor& a = context.input(0);
  const Tensor& b = context.input(1);
  require_same_type("Equal", a, b);
  if (a.element_type() == ElementType::kBool) {
    run_binary<TypeList<std::uint8_t>, bool>(context, "Equal", a, b, ElementType::kUint8, ElementType::kBool,
                                             [](std::uint8_t x, std::uint8_t y) { return (x != 0) == (y != 0); });
  } else {
    using Types = TypeList<float, double, std::uint8_t, std::uint16_t, std::uint32_t, std::uint64_t, std::string>;
    run_binary<Types, bool>(context, "Equal", a, b, unsigned_counterpart(a.element_type()), ElementType::kBool,
                            EqualTo{});
  }
}

// The shift of BitShift: an amount that is negative or not below the width leaves copies of the sign bit (shifting
// right) or zeros.
template <bool kLeft>
struct Shift {
  template <typename T>
  T operator()(T x, T amount) const {
    using Bits = std::make_unsigned_t<T>;
    constexpr unsigned kWidth = std::numeric_limits<Bits>::digits;
    const bool inside = static_cast<Bits>(amount) < kWidth;
    const unsigned by = inside ? static_cast<unsigned>(amount) : 0u;
    if constexpr (kLeft) {
      return inside ? static_cast<T>(static_cast<std::uint64_t>(x) << by) : T{0};
    } else {
      return inside ? static_cast<T>(x >> by) : static_cast<T>(x < T{0} ? -1 : 0);
    }
  }
};

template <typename T>
void select(KernelContext& context, const Tensor& condition, const Tensor& a, const Tensor& b) {
  const Shape shape = broadcast_shape(broadcast_shape(condition.shape(), a.shape()), b.shape());
  const BroadcastPlan plan = plan_broadcast(shape, {&condition.shape(), &a.shape(), &b.shape()});
  Tensor& output = context.allocate_output(0, a.element_type(), shape);
  select_broadcast(context.threads(), plan, static_cast<const std::uint8_t*>(condition.raw_data()),
                   static_cast<const T*>(a.raw_data()), static_cast<const T*>(b.raw_data()),
                   static_cast<T*>(output.raw_data()));
}

// Only moves elements, so a type is handled by its size.
void run_where(KernelContext& context) {
  const Tensor& condition = context.input(0);
  const Tensor& a = context.input(1);
  const Tensor& b = context.input(2);
  require_bool(condition, "Where's condition");
  require_same_type("Where", a, b);
  dispatch_moved(a.element_type(), [&]<typename T>() { select<T>(context, condition, a, b); });
}

// Element-wise operator of one float input with boolean output.
template <typename Op>
std::unique_ptr<Kernel> float_test_kernel(std::string_view name, Op op) {
  return make_kernel([name, op](KernelContext& context) {
    const Tensor& input = context.input(0);
    using Float8Types =
        tensor::TypeList<tensor::Float8E4M3FN, tensor::Float8E4M3FNUZ, tensor::Float8E5M2, tensor::Float8E5M2FNUZ>;
    using Types = decltype(FloatTypes{} + Float8Types{});
    tensor::dispatch(Types{}, input.element_type(), name, [&]<typename T>() {
      using Number = std::conditional_t<std::is_arithmetic_v<T>, T, float>;
      Tensor& output = context.allocate_output(0, ElementType::kBool, input.shape());
      map_elements(context.threads(), input.element_count(), input.data<T>(), output.data<bool>(),
                   [op](T x) { return op(static_cast<Number>(x)); });
    });
  });
}

}  // namespace

std::unique_ptr<Kernel> make_Equal(const KernelInfo&) {
  return make_kernel([](KernelContext& context) { run_equal(context); });
}

std::unique_ptr<Kernel> make_Greater(const KernelInfo&) {
  return compare_kernel("Greater", false, GreaterThan{});
}
std::unique_ptr<Kernel> make_Less(const KernelInfo&) {
  return compare_kernel("Less", true, GreaterThan{});
}
std::unique_ptr<Kernel> make_GreaterOrEqual(const KernelInfo&) {
  return compare_kernel("GreaterOrEqual", false, AtLeast{});
}
std::unique_ptr<Kernel> make_LessOrEqual(const KernelInfo&) {
  return compare_kernel("LessOrEqual", true, AtLeast{});
}

std::unique_ptr<Kernel> make_And(const KernelInfo&) {
  return logic_kernel("And", [](int a, int b) { return a & b; });
}
std::unique_ptr<Kernel> make_Or(const KernelInfo&) {
  return logic_kernel("Or", [](int a, int b) { return a | b; });
}
std::unique_ptr<Kernel> make_Xor(const KernelInfo&) {
  return logic_kernel("Xor", [](int a, int b) { return a ^ b; });
}

std::unique_ptr<Kernel> make_Not(const KernelInfo&) {
  return make_kernel([](KernelContext& context) {
    const Tensor& input = context.input(0);
    require_bool(input, "Not");
    Tensor& output = context.allocate_output(0, ElementType::kBool, input.shape());
    map_elements(context.threads(), input.element_count(), static_cast<const std::uint8_t*>(input.raw_data()),
                 output.data<bool>(), [](std::uint8_t x) { return x == 0; });
  });
}

std::unique_ptr<Kernel> make_Where(const KernelInfo&) {
  return make_kernel([](KernelContext& context) { run_where(context); });
}

std::unique_ptr<Kernel> make_IsNaN(const KernelInfo&) {
  return float_test_kernel("IsNaN", IsNotANumber{});
}

std::unique_ptr<Kernel> make_IsInf(const KernelInfo& info) {
  const bool positive = info.attributes.get_int("detect_positive", 1) != 0;
  const bool negative = info.attributes.get_int("detect_negative", 1) != 0;
  return float_test_kernel("IsInf", IsInfinite{positive, negative});
}

std::unique_ptr<Kernel> make_BitwiseAnd(const KernelInfo&) {
  return wrapping_kernel<UnsignedTypes>("BitwiseAnd", []<typename T>(T a, T b) { return static_cast<T>(a & b); });
}
std::unique_ptr<Kernel> make_BitwiseOr(const KernelInfo&) {
  return wrapping_kernel<UnsignedTypes>("BitwiseOr", []<typename T>(T a, T b) { return static_cast<T>(a | b); });
}
std::unique_ptr<Kernel> make_BitwiseXor(const KernelInfo&) {
  return wrapping_kernel<UnsignedTypes>("BitwiseXor", []<typename T>(T a, T b) { return static_cast<T>(a ^ b); });
}
std::unique_ptr<Kernel> make_BitwiseNot(const KernelInfo&) {
  return unary_kernel<IntegerTypes>("BitwiseNot", []<typename T>(T x) { return static_cast<T>(~x); });
}

std::unique_ptr<Kernel> make_BitShift(const KernelInfo& info) {
  const std::string direction = info.attributes.get_string("direction", "");
  if (direction == "LEFT") return binary_kernel<IntegerTypes>("BitShift", Shift<true>{});
  if (direction == "RIGHT") return binary_kernel<IntegerTypes>("BitShift", Shift<false>{});
  base::invalid("op.attribute", "attribute 'direction' must be LEFT or RIGHT, but is '{}'", direction);
}

}  // namespace lanner::kernels
