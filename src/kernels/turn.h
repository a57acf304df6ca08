// Turning a block of four-byte elements around, four rows of four at a time.
#pragma once

#include <cstdint>
#include <cstring>

namespace lanner::kernels {

// to[column * to_row + row] = from[row * from_row + column].
template <typename T>
[[gnu::always_inline]] inline void turn_block(const T* from, std::int64_t from_row, std::int64_t rows,
                                              std::int64_t columns, T* to, std::int64_t to_row) {
  static_assert(sizeof(T) == 4);
  using Four [[gnu::vector_size(16)]] = std::int32_t;
  std::int64_t row = 0;
  for (; row + 4 <= rows; row += 4) {
    std::int64_t column = 0;
    for (; column + 4 <= columns; column += 4) {
      const T* source = from + row * from_row + column;
      Four a, b, c, d;
      std::memcpy(&a, source, sizeof(a));
      std::memcpy(&b, source + from_row, sizeof(b));
      std::memcpy(&c, source + 2 * from_row, sizeof(c));
      std::memcpy(&d, source + 3 * from_row, sizeof(d));
      const Four ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
      const Four ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
      const Four cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
      const Four cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
      const Four turned[] = {
          __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5), __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7),
          __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5), __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7)};
      T* target = to + column * to_row + row;
      for (const Four& line : turned) {
        std::memcpy(target, &line, sizeof(line));
        target += to_row;
      }
    }
    for (; column < columns; ++column) {
      for (std::int64_t i = row; i < row + 4; ++i) to[column * to_row + i] = from[i * from_row + column];
    }
  }
  for (; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; ++column) {
      to[column * to_row + row] = from[row * from_row + column];
    }
  }
}

}  // namespace lanner::kernels
