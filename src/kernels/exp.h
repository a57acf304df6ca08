// Exponential functions of float that g++ vectorises: no branches, no table, no library call. They give the same bits
// on every CPU (the build turns off contraction into fused operations). The double forms are the standard library's.
//
// Error bounds against the exact result, in units in the last place of float: exp 1, expm1 2, tanh 2, sigmoid 3.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace lanner::kernels::math {

namespace internal {

// exp(x) = (1 + fraction) * scale_a * scale_b for x in [-104, 89]; two scales, because 2^n may be subnormal or 2^128.
struct ExpParts {
  float fraction;
  float scale_a;
  float scale_b;
};

[[gnu::always_inline]] inline float power_of_two(std::int32_t exponent) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(exponent + 127) << 23);
}

// x = n ln 2 + r with |r| <= ln(2) / 2; fraction = exp(r) - 1 by a minimax polynomial (Cephes, expf). NaN passes
// through r; its n is meaningless, but harmless.
[[gnu::always_inline]] inline ExpParts exp_parts(float x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, found in the low bits
  const float shifted = x * 1.44269504088896341f + kRound;
  const auto n =
      static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(shifted) - std::bit_cast<std::uint32_t>(kRound));
  const float whole = shifted - kRound;
  // ln 2 in two parts; products of the first with n are exact.
  const float r = (x - whole * 0.693359375f) - whole * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const std::int32_t half = n >> 1;
  return {p * (r * r) + r, power_of_two(half), power_of_two(n - half)};
}

// Beyond these limits exp is 0 or infinite. NaN stays.
[[gnu::always_inline]] inline float clamp_exponent(float x) {
  x = x < -104.0f ? -104.0f : x;
  return x > 89.0f ? 89.0f : x;
}

}  // namespace internal

// Infinite above 88.72, subnormal below -87.34, zero below -103.97.
[[gnu::always_inline]] inline float exp(float x) {
  const internal::ExpParts parts = internal::exp_parts(internal::clamp_exponent(x));
  return (1.0f + parts.fraction) * parts.scale_a * parts.scale_b;
}
inline double exp(double x) {
  return std::exp(x);
}

// exp(x) - 1, accurate near 0.
inline float expm1(float x) {
  const internal::ExpParts parts = internal::exp_parts(internal::clamp_exponent(x));
  const float large = (1.0f + parts.fraction) * parts.scale_a * parts.scale_b;
  const float scale = parts.scale_a * parts.scale_b;
  const float small = parts.fraction * scale + (scale - 1.0f);
  return x > 20.0f ? large : small;
}
inline double expm1(double x) {
  return std::expm1(x);
}

// 1 / (1 + exp(-x)), accurate in both tails.
template <typename T>
[[gnu::always_inline]] inline T sigmoid(T x) {
  const T e = exp(-std::fabs(x));
  return (x < 0 ? e : T{1}) / (T{1} + e);
}

// A polynomial (Cephes, tanhf) near 0, exp elsewhere.
inline float tanh(float x) {
  const float a = std::fabs(x);
  const float z = x * x;
  float p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const float small = p * z * a + a;
  const float large = 1.0f - 2.0f / (exp(2.0f * a) + 1.0f);
  return std::copysign(a < 0.625f ? small : large, x);
}
inline double tanh(double x) {
  return std::tanh(x);
}

}  // namespace lanner::kernels::math
