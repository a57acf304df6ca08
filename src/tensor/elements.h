// C++ types for the element types that the language lacks: 16-, 8- and 4-bit floats, 4- and 2-bit integers. Each is one
// element as it lies in memory. A float converts to float without loss, and is made of a float by rounding to the
// nearest, ties to even, so that `T(a + b)` computes in float32 and rounds once; the formats are those of ONNX's documents.
//
// Elements below 8 bits take a byte each: its low bits, whose other bits are not read and are written as 0.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "lanner/tensor.h"

namespace lanner::tensor {

// A binary floating-point format of a sign, exponent and mantissa.
struct FloatFormat {
  enum class Specials : std::uint8_t {
    kIeee,      // infinities and NaN under the largest exponent
    kOneNan,    // NaN where all bits but the sign are ones, no infinities
    kUnsigned,  // NaN in the place of -0, no infinities
    kNone
  };

  int exponent_bits;
  int mantissa_bits;
  int bias;
  Specials specials;

  constexpr std::uint32_t sign_bit() const { return 1u << (exponent_bits + mantissa_bits); }
  constexpr std::uint32_t infinity() const { return ((1u << exponent_bits) - 1) << mantissa_bits; }
  // The bits of the largest number.
  constexpr std::uint32_t largest() const {
    if (specials == Specials::kIeee) return infinity() - 1;
    return specials == Specials::kOneNan ? sign_bit() - 2 : sign_bit() - 1;
  }
  // The bits of NaN; of -0, which there is, where there is none.
  constexpr std::uint32_t nan() const {
    if (specials == Specials::kIeee) return infinity() | 1u << (mantissa_bits - 1);
    return specials == Specials::kOneNan ? sign_bit() - 1 : sign_bit();
  }
};

// What becomes of numbers too large for a format: the largest number, or infinity (NaN where there is none).
enum class Overflow : std::uint8_t { kSaturate, kInfinity };

// The nearest element to x, ties to even.
inline std::uint32_t encode_float(const FloatFormat& format, double x, Overflow overflow) {
  using Specials = FloatFormat::Specials;
  const bool unsigned_zero = format.specials == Specials::kUnsigned;
  const std::uint32_t sign = std::signbit(x) ? format.sign_bit() : 0;
  if (std::isnan(x)) return format.nan() | (format.specials == Specials::kNone ? 0 : sign);
  const double size = std::fabs(x);
  std::uint32_t bits = format.largest() + 1;
  // Far above every format's range the exponent below would not fit.
  if (size < 0x1p200) {
    const int exponent = std::max(size == 0 ? -2000 : std::ilogb(size), 1 - format.bias);
    const auto steps = static_cast<std::uint32_t>(std::nearbyint(std::ldexp(size, format.mantissa_bits - exponent)));
    bits = (static_cast<std::uint32_t>(exponent + format.bias - 1) << format.mantissa_bits) + steps;
  }
  if (bits > format.largest()) {
    const bool saturates = overflow == Overflow::kSaturate || format.specials == Specials::kNone;
    if (!saturates && format.specials != Specials::kIeee) return format.nan() | sign;
    bits = saturates ? format.largest() : format.infinity();
  }
  return bits == 0 && unsigned_zero ? 0 : bits | sign;
}

// The number that an element is; exact.
inline float decode_float(const FloatFormat& format, std::uint32_t bits) {
  using Specials = FloatFormat::Specials;
  const bool negative = (bits & format.sign_bit()) != 0;
  const std::uint32_t size = bits & (format.sign_bit() - 1);
  float x = 0;
  if (format.specials == Specials::kIeee && size >= format.infinity()) {
    x = size == format.infinity() ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
  } else if ((format.specials == Specials::kOneNan && size == format.nan()) ||
             (format.specials == Specials::kUnsigned && bits == format.nan())) {
    x = std::numeric_limits<float>::quiet_NaN();
  } else {
    const auto exponent = static_cast<int>(size >> format.mantissa_bits);
    const std::uint32_t mantissa = size & ((1u << format.mantissa_bits) - 1);
    const std::uint32_t steps = exponent == 0 ? mantissa : mantissa | 1u << format.mantissa_bits;
    x = std::ldexp(static_cast<float>(steps), std::max(exponent, 1) - format.bias - format.mantissa_bits);
  }
  return negative ? -x : x;
}

// Bits of `Stored` that mean a float of `Self::kFormat`.
template <typename Self, typename Stored>
struct SmallFloat {
  Stored bits;

  SmallFloat() = default;
  template <typename Number>
    requires std::is_arithmetic_v<Number>
  SmallFloat(Number x)  // NOLINT: an element is a number
      : bits(static_cast<Stored>(encode_float(Self::kFormat, static_cast<double>(x), Overflow::kInfinity))) {}
  operator float() const { return decode_float(Self::kFormat, bits); }  // NOLINT: an element is a number
};

struct Float8E4M3FN : SmallFloat<Float8E4M3FN, std::uint8_t> {
  static constexpr ElementType kElementType = ElementType::kFloat8E4M3FN;
  static constexpr FloatFormat kFormat{4, 3, 7, FloatFormat::Specials::kOneNan};
  using SmallFloat::SmallFloat;
};
struct Float8E4M3FNUZ : SmallFloat<Float8E4M3FNUZ, std::uint8_t> {
  static constexpr ElementType kElementType = ElementType::kFloat8E4M3FNUZ;
  static constexpr FloatFormat kFormat{4, 3, 8, FloatFormat::Specials::kUnsigned};
  using SmallFloat::SmallFloat;
};
struct Float8E5M2 : SmallFloat<Float8E5M2, std::uint8_t> {
  static constexpr ElementType kElementType = ElementType::kFloat8E5M2;
  static constexpr FloatFormat kFormat{5, 2, 15, FloatFormat::Specials::kIeee};
  using SmallFloat::SmallFloat;
};
struct Float8E5M2FNUZ : SmallFloat<Float8E5M2FNUZ, std::uint8_t> {
  static constexpr ElementType kElementType = ElementType::kFloat8E5M2FNUZ;
  static constexpr FloatFormat kFormat{5, 2, 16, FloatFormat::Specials::kUnsigned};
  using SmallFloat::SmallFloat;
};
struct Float4E2M1 : SmallFloat<Float4E2M1, std::uint8_t> {
  static constexpr ElementType kElementType = ElementType::kFloat4E2M1;
  static constexpr FloatFormat kFormat{2, 1, 1, FloatFormat::Specials::kNone};
  using SmallFloat::SmallFloat;
};

// The two that are computed with have conversions without branches, which loops of them are vectorised with.
struct Float16 {
  static constexpr ElementType kElementType = ElementType::kFloat16;
  static constexpr FloatFormat kFormat{5, 10, 15, FloatFormat::Specials::kIeee};
  std::uint16_t bits;

  Float16() = default;
  Float16(float x) {  // NOLINT: an element is a number
    const auto all = std::bit_cast<std::uint32_t>(x);
    const std::uint32_t size = all & 0x7fffffffu;
    // Below 2^-14 adding one half lets float arithmetic round at the last bit of a subnormal.
    const std::uint32_t small = std::bit_cast<std::uint32_t>(std::bit_cast<float>(size) + 0.5f) - 0x3f000000u;
    const std::uint32_t normal = (size - 0x38000000u + 0xfffu + (size >> 13 & 1u)) >> 13;
    const std::uint32_t large = size > 0x7f800000u ? 0x7e00u : 0x7c00u;
    const std::uint32_t rounded = size < 0x38800000u ? small : size >= 0x47800000u ? large : normal;
    bits = static_cast<std::uint16_t>(rounded | (all >> 16 & 0x8000u));
  }
  // Through float it would be rounded twice.
  Float16(double x)  // NOLINT: an element is a number
      : bits(static_cast<std::uint16_t>(encode_float(kFormat, x, Overflow::kInfinity))) {}
  template <typename Integer>
    requires std::is_integral_v<Integer>
  Float16(Integer x) : Float16(static_cast<double>(x)) {}  // NOLINT: an element is a number
  operator float() const {                                 // NOLINT: an element is a number
    const std::uint32_t size = (bits & 0x7fffu) << 13;
    const std::uint32_t exponent = size & 0x0f800000u;
    const std::uint32_t normal = size + 0x38000000u + (exponent == 0x0f800000u ? 0x38000000u : 0u);
    const float small = std::bit_cast<float>(size + 0x38800000u) - std::bit_cast<float>(0x38800000u);
    const std::uint32_t result = exponent == 0 ? std::bit_cast<std::uint32_t>(small) : normal;
    return std::bit_cast<float>(result | static_cast<std::uint32_t>(bits & 0x8000u) << 16);
  }
};

struct Bfloat16 {
  static constexpr ElementType kElementType = ElementType::kBfloat16;
  static constexpr FloatFormat kFormat{8, 7, 127, FloatFormat::Specials::kIeee};
  std::uint16_t bits;

  Bfloat16() = default;
  Bfloat16(float x) {  // NOLINT: an element is a number
    const auto all = std::bit_cast<std::uint32_t>(x);
    const std::uint32_t rounded = (all + 0x7fffu + (all >> 16 & 1u)) >> 16;
    bits = static_cast<std::uint16_t>((all & 0x7fffffffu) > 0x7f800000u ? all >> 16 | 0x40u : rounded);
  }
  Bfloat16(double x)  // NOLINT: an element is a number
      : bits(static_cast<std::uint16_t>(encode_float(kFormat, x, Overflow::kInfinity))) {}
  template <typename Integer>
    requires std::is_integral_v<Integer>
  Bfloat16(Integer x) : Bfloat16(static_cast<double>(x)) {}  // NOLINT: an element is a number
  operator float() const {                                   // NOLINT: an element is a number
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
};

// A power of two from 2^-127 to 2^127, or NaN: the scales of microscaling formats. There is no sign and no zero.
struct Float8E8M0 {
  enum class Round : std::uint8_t { kUp, kDown, kNearest };
  static constexpr ElementType kElementType = ElementType::kFloat8E8M0;
  static constexpr std::uint8_t kNan = 255;
  static constexpr std::uint8_t kLargest = 254;
  std::uint8_t bits;

  Float8E8M0() = default;
  template <typename Number>
    requires std::is_arithmetic_v<Number>
  Float8E8M0(Number x)  // NOLINT: an element is a number
      : Float8E8M0(from(static_cast<double>(x), Round::kNearest, Overflow::kInfinity)) {}
  // Of a negative number, which ONNX leaves open, NaN.
  static Float8E8M0 from(double x, Round round, Overflow overflow) {
    const bool saturates = overflow == Overflow::kSaturate;
    Float8E8M0 result;
    result.bits = kNan;
    if (std::isnan(x) || x < 0) return result;
    if (x < 0x1p-127 || x > 0x1p127) {
      const bool fits = round == Round::kUp ? x > 0 && x < 1 : round == Round::kDown && x > 1 && x < 0x1p128;
      if (saturates || fits) result.bits = x < 1 ? 0 : kLargest;
      return result;
    }
    int exponent = 0;
    const double mantissa = std::frexp(x, &exponent) * 2;  // from 1 to below 2
    const bool up = (round == Round::kUp && mantissa > 1) || (round == Round::kNearest && mantissa >= 1.5);
    result.bits = static_cast<std::uint8_t>(exponent - 1 + 127 + (up ? 1 : 0));
    return result;
  }
  operator float() const {  // NOLINT: an element is a number
    return bits == kNan ? std::numeric_limits<float>::quiet_NaN() : std::ldexp(1.0f, bits - 127);
  }
};

// An integer of `kBits` bits in a byte; larger ones lose their high bits.
template <typename Self, bool kSigned, int kBits>
struct SmallInt {
  std::uint8_t bits;

  SmallInt() = default;
  template <typename Integer>
    requires std::is_integral_v<Integer>
  SmallInt(Integer x)  // NOLINT: an element is a number
      : bits(static_cast<std::uint8_t>(static_cast<std::uint64_t>(x) & ((1u << kBits) - 1))) {}
  operator int() const {  // NOLINT: an element is a number
    const int value = bits & ((1 << kBits) - 1);
    return kSigned && value >= 1 << (kBits - 1) ? value - (1 << kBits) : value;
  }
};

struct Int4 : SmallInt<Int4, true, 4> {
  static constexpr ElementType kElementType = ElementType::kInt4;
  using SmallInt::SmallInt;
};
struct Uint4 : SmallInt<Uint4, false, 4> {
  static constexpr ElementType kElementType = ElementType::kUint4;
  using SmallInt::SmallInt;
};
struct Int2 : SmallInt<Int2, true, 2> {
  static constexpr ElementType kElementType = ElementType::kInt2;
  using SmallInt::SmallInt;
};
struct Uint2 : SmallInt<Uint2, false, 2> {
  static constexpr ElementType kElementType = ElementType::kUint2;
  using SmallInt::SmallInt;
};

}  // namespace lanner::tensor
