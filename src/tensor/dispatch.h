// Choosing a template instance by element type.
#pragma once

#include <string_view>

#include "base/fail.h"
#include "lanner/tensor.h"
#include "tensor/elements.h"

namespace lanner::tensor {

template <typename... Ts>
struct TypeList {};

using SignedTypes = TypeList<std::int8_t, std::int16_t, std::int32_t, std::int64_t, float, double>;
using IntegerTypes = TypeList<std::int8_t, std::int16_t, std::int32_t, std::int64_t, std::uint8_t, std::uint16_t,
                              std::uint32_t, std::uint64_t>;
using FloatTypes = TypeList<float, double>;
using NumericTypes = TypeList<float, double, std::int8_t, std::int16_t, std::int32_t, std::int64_t, std::uint8_t,
                              std::uint16_t, std::uint32_t, std::uint64_t>;
using NumericAndBoolTypes = TypeList<float, double, std::int8_t, std::int16_t, std::int32_t, std::int64_t, std::uint8_t,
                                     std::uint16_t, std::uint32_t, std::uint64_t, bool>;
// Floats that are computed with in float32, and those that are only converted.
using HalfTypes = TypeList<Float16, Bfloat16>;
using TinyFloatTypes = TypeList<Float8E4M3FN, Float8E4M3FNUZ, Float8E5M2, Float8E5M2FNUZ, Float8E8M0, Float4E2M1>;
using TinyIntegerTypes = TypeList<Int4, Uint4, Int2, Uint2>;

// The types of several lists.
template <typename... As, typename... Bs>
TypeList<As..., Bs...> operator+(TypeList<As...>, TypeList<Bs...>);
using AllNumericTypes = decltype(NumericAndBoolTypes{} + HalfTypes{} + TinyFloatTypes{} + TinyIntegerTypes{});

// Calls function.operator()<T>() with the T of the list whose element type is `type`; throws `op.type`, naming `what`
// (such as "input 'data'" or an operator), for any other.
template <typename... Ts, typename Function>
void dispatch(TypeList<Ts...>, ElementType type, std::string_view what, Function&& function) {
  const bool found = ((type == element_type_of<Ts>() ? (function.template operator()<Ts>(), true) : false) || ...);
  if (!found) {
    base::fail(ErrorCode::kUnimplemented, "op.type", "{} does not support element type {}", what,
               element_type_name(type));
  }
}

}  // namespace lanner::tensor
