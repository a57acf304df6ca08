// A lock for critical sections of some tens of nanoseconds, such as taking a block from a free list. Where it is held,
// std::mutex would put the waiting lane to sleep for longer than its whole task takes.
#pragma once

#include <atomic>
#include <thread>

namespace lanner::base {

// Lockable by std::lock_guard and the like. A waiter spins; after a microsecond or so it yields in between, in case the
// holder is not running.
class SpinMutex {
 public:
  void lock() {
    int spins = 0;
    while (locked_.exchange(true, std::memory_order_acquire)) {
      while (locked_.load(std::memory_order_relaxed)) {
        if (++spins > kSpins) std::this_thread::yield();
      }
    }
  }
  void unlock() { locked_.store(false, std::memory_order_release); }

 private:
  static constexpr int kSpins = 1000;
  std::atomic<bool> locked_ = false;
};

}  // namespace lanner::base
