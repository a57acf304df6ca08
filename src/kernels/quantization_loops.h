// The loops of quantising and dequantising in float32, compiled once per instruction set; every version gives the same
// bits. Which integers they know is listed here; quantization.h uses them for whatever is listed.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/element_loops.h"
#include "kernels/loops_of_cpu.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

// Integers that numbers are quantised to, and those that are read.
using QuantizedIntegers = decltype(tensor::TypeList<std::int8_t, std::uint8_t, std::int16_t, std::uint16_t>{} +
                                   tensor::TinyIntegerTypes{});
using ReadIntegers = decltype(QuantizedIntegers{} + tensor::TypeList<std::int32_t>{});

template <typename T>
inline constexpr int kLowestInteger = std::numeric_limits<T>::min();
template <typename T>
inline constexpr int kHighestInteger = std::numeric_limits<T>::max();
template <>
inline constexpr int kLowestInteger<tensor::Int4> = -8;
template <>
inline constexpr int kHighestInteger<tensor::Int4> = 7;
template <>
inline constexpr int kLowestInteger<tensor::Uint4> = 0;
template <>
inline constexpr int kHighestInteger<tensor::Uint4> = 15;
template <>
inline constexpr int kLowestInteger<tensor::Int2> = -2;
template <>
inline constexpr int kHighestInteger<tensor::Int2> = 1;
template <>
inline constexpr int kLowestInteger<tensor::Uint2> = 0;
template <>
inline constexpr int kHighestInteger<tensor::Uint2> = 3;

// The integer nearest to x (ties to even), plus the zero point, bounded; for NaN the lowest. Bounded before it is
// rounded, which gives the same as the bounds are whole. Wide is float or double.
template <typename T, typename Wide>
[[gnu::always_inline]] inline T quantized(Wide x, Wide zero_point) {
  // Adding it leaves no bits for fractions of numbers below 2^17, so that the sum is rounded to whole numbers.
  constexpr Wide kWholeNumbers = std::is_same_v<Wide, float> ? Wide{0x1.8p23} : Wide{0x1.8p52};
  const Wide low = static_cast<Wide>(kLowestInteger<T>) - zero_point;
  const Wide high = static_cast<Wide>(kHighestInteger<T>) - zero_point;
  x = x > low ? x : low;  // NaN becomes `low`
  x = x < high ? x : high;
  const Wide whole = (x + kWholeNumbers) - kWholeNumbers;
  return static_cast<T>(static_cast<int>(whole + zero_point));
}

// Arrays that belong to numbers have one element for each, or with a step of 0 one for all.
struct QuantizationLoops {
  using Read = void (*)(const void* data, std::int64_t begin, std::int64_t count, float* to);
  using Write = void (*)(const float* x, const float* zero_points, std::int64_t step, std::int64_t count, void* to,
                         std::int64_t begin);

  // In the order of the lists.
  std::array<Read, internal::size_of(ReadIntegers{})> read;
  std::array<Write, internal::size_of(QuantizedIntegers{})> write;
  // The least and the greatest of at least one number; both are NaN where one is.
  void (*range)(const float* numbers, std::int64_t count, float* least, float* greatest);
  // numbers[i] /= divisors[i]
  void (*divide)(float* numbers, const float* divisors, std::int64_t step, std::int64_t count);
  // out[i] = (numbers[i] - zero_points[i]) * factors[i]
  void (*dequantize)(const float* numbers, const float* zero_points, const float* factors, std::int64_t step,
                     std::int64_t count, float* out);
};

LoopsOfCpu<QuantizationLoops>& quantization_loops_of_cpu();

}  // namespace lanner::kernels
