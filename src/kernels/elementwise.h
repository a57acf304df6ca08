// Kernels from a function of one element or of two: what arithmetic, comparisons and activations share. A function
// object is templated on the element type; which types an operator takes is a TypeList of tensor/dispatch.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <type_traits>

#include "base/fail.h"
#include "kernels/broadcast.h"
#include "kernels/element_functions.h"
#include "kernels/kernel.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

// The unsigned integer of as many bits for an integer type, itself for any other. Arithmetic that wraps is the same on
// both, and a loop over the unsigned type serves the signed one too.
constexpr ElementType unsigned_counterpart(ElementType type) {
  switch (type) {
    case ElementType::kInt8:
      return ElementType::kUint8;
    case ElementType::kInt16:
      return ElementType::kUint16;
    case ElementType::kInt32:
      return ElementType::kUint32;
    case ElementType::kInt64:
      return ElementType::kUint64;
    default:
      return type;
  }
}

using UnsignedTypes = tensor::TypeList<std::uint8_t, std::uint16_t, std::uint32_t, std::uint64_t>;
// After unsigned_counterpart(): all numbers.
using WrappingTypes = tensor::TypeList<float, double, std::uint8_t, std::uint16_t, std::uint32_t, std::uint64_t>;

// Throws `op.type` unless both are of one element type.
inline void require_same_type(std::string_view name, const Tensor& a, const Tensor& b) {
  if (a.element_type() != b.element_type()) {
    base::invalid("op.type", "{} needs inputs of one element type, but has {} and {}", name,
                  element_type_name(a.element_type()), element_type_name(b.element_type()));
  }
}

// Element-wise operator `name` of one input whose output has the input's type.
template <typename Types, typename Op>
std::unique_ptr<Kernel> unary_kernel(std::string_view name, Op op) {
  return make_kernel([name, op](KernelContext& context) {
    const Tensor& input = context.input(0);
    tensor::dispatch(Types{}, input.element_type(), name, [&]<typename T>() {
      Tensor& output = context.allocate_output(0, input.element_type(), input.shape());
      map_elements(context.threads(), input.element_count(), input.data<T>(), output.data<T>(), op);
    });
  });
}

// Runs op over two tensors that broadcast. The loop is chosen by `loop_type`, which is the inputs' element type or its
// unsigned counterpart; the output is of `result_type`, whose C++ type has the size of R (T unless given).
template <typename Types, typename R = void, typename Op>
void run_binary(KernelContext& context, std::string_view name, const Tensor& a, const Tensor& b, ElementType loop_type,
                ElementType result_type, Op op) {
  tensor::dispatch(Types{}, loop_type, name, [&]<typename T>() {
    using Result = std::conditional_t<std::is_void_v<R>, T, R>;
    const Shape shape = broadcast_shape(a.shape(), b.shape());
    const BroadcastPlan plan = plan_broadcast(shape, {&a.shape(), &b.shape()});
    Tensor& output = context.allocate_output(0, result_type, shape);
    map_broadcast(context.threads(), plan, static_cast<const T*>(a.raw_data()), static_cast<const T*>(b.raw_data()),
                  static_cast<Result*>(output.raw_data()), op);
  });
}

// Element-wise operator `name` of two inputs of one type, which is the output's.
template <typename Types, typename Op>
std::unique_ptr<Kernel> binary_kernel(std::string_view name, Op op) {
  return make_kernel([name, op](KernelContext& context) {
    const Tensor& a = context.input(0);
    const Tensor& b = context.input(1);
    require_same_type(name, a, b);
    run_binary<Types>(context, name, a, b, a.element_type(), a.element_type(), op);
  });
}

// The same for wrapping arithmetic: signed integers use the loops of the unsigned ones.
template <typename Types, typename Op>
std::unique_ptr<Kernel> wrapping_kernel(std::string_view name, Op op) {
  return make_kernel([name, op](KernelContext& context) {
    const Tensor& a = context.input(0);
    const Tensor& b = context.input(1);
    require_same_type(name, a, b);
    run_binary<Types>(context, name, a, b, unsigned_counterpart(a.element_type()), a.element_type(), op);
  });
}

}  // namespace lanner::kernels
