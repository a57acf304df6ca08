// The monotonic clock of every duration in Lanner.
#pragma once

#include <chrono>
#include <cstdint>

namespace lanner::base {

// Nanoseconds on a clock that never goes back; only differences mean anything.
inline std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace lanner::base
