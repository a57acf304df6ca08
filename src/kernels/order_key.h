// Numbers as unsigned keys of the same order, so that sorting by value and index is sorting integers.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace lanner::kernels {

template <typename T>
using OrderKey = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;

// a < b is order_key(a) < order_key(b). Both zeros have one key; every NaN has the greatest.
template <typename T>
OrderKey<T> order_key(T value) {
  using Key = OrderKey<T>;
  constexpr Key kSign = Key{1} << (8 * sizeof(Key) - 1);
  if constexpr (std::is_floating_point_v<T>) {
    if (value != value) return std::numeric_limits<Key>::max();
    const Key bits = std::bit_cast<Key>(value + T{0});  // -0 + 0 is +0
    return (bits & kSign) != 0 ? ~bits : bits | kSign;
  } else if constexpr (std::is_signed_v<T>) {
    return static_cast<Key>(value) ^ kSign;
  } else {
    return static_cast<Key>(value);
  }
}

}  // namespace lanner::kernels
