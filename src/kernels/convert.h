// Conversion of one element to another type, defined for every value: integers wrap (two's complement), floating point
// to integer truncates and saturates with NaN becoming 0, anything to bool is "not zero" (NaN is true).
#pragma once

#include <limits>
#include <type_traits>

namespace lanner::kernels {

template <typename To, typename From>
To convert(From x) {
  if constexpr (std::is_same_v<To, bool>) {
    return x != From{0};
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    using Limits = std::numeric_limits<To>;
    constexpr From kLow = static_cast<From>(Limits::min());
    // The first value above the range; a power of two, thus exact.
    constexpr From kHigh = static_cast<From>(Limits::max() / 2 + 1) * From{2};
    const bool inside = static_cast<int>(x >= kLow) & static_cast<int>(x < kHigh);
    To result = static_cast<To>(inside ? x : From{0});
    result = x >= kHigh ? Limits::max() : result;
    return x < kLow ? Limits::min() : result;
  } else {
    return static_cast<To>(x);
  }
}

}  // namespace lanner::kernels
