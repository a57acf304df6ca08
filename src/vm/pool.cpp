#include "vm/pool.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>

#include "base/fail.h"

namespace lanner::vm {

namespace {

constexpr std::size_t kMinimum = 64;

// The next of four steps per power of two.
std::size_t size_class(std::size_t byte_count) {
  if (byte_count <= kMinimum) return kMinimum;
  const std::size_t step = std::max<std::size_t>(std::bit_floor(byte_count - 1) / 4, kMinimum);
  const std::size_t rounded = (byte_count + step - 1) / step * step;
  if (rounded < byte_count) {
    base::fail(ErrorCode::kResourceExhausted, "memory.exhausted", "cannot allocate {} bytes", byte_count);
  }
  return rounded;
}

}  // namespace

// Shared by the allocator and every block, so that blocks can come back after the allocator has gone.
struct PooledAllocator::Pool {
  mutable std::mutex mutex;
  std::map<std::size_t, std::vector<void*>> free;  // by size class
  std::size_t used = 0;
  std::size_t peak = 0;
  std::size_t cached = 0;

  ~Pool() {
    for (auto& [size, blocks] : free) {
      for (void* block : blocks) std::free(block);
    }
  }

  void* take(std::size_t size) {
    {
      const std::lock_guard lock(mutex);
      used += size;
      peak = std::max(peak, used);
      const auto at = free.find(size);
      if (at != free.end() && !at->second.empty()) {
        void* block = at->second.back();
        at->second.pop_back();
        cached -= size;
        return block;
      }
    }
    void* block = std::aligned_alloc(kMinimum, size);
    if (block == nullptr) {
      const std::lock_guard lock(mutex);
      used -= size;
    }
    return block;
  }

  void give(void* block, std::size_t size) {
    std::vector<void*> dropped;
    {
      const std::lock_guard lock(mutex);
      used -= size;
      free[size].push_back(block);
      cached += size;
      // The largest blocks go first: they are the fewest and the cheapest to get again, per byte.
      while (cached > peak) {
        auto& [largest, blocks] = *std::prev(free.end());
        if (!blocks.empty()) {
          dropped.push_back(blocks.back());
          blocks.pop_back();
          cached -= largest;
        }
        if (blocks.empty()) free.erase(std::prev(free.end()));
      }
    }
    for (void* block_to_free : dropped) std::free(block_to_free);
  }
};

PooledAllocator::PooledAllocator() : pool_(std::make_shared<Pool>()) {}

std::shared_ptr<void> PooledAllocator::allocate(std::size_t byte_count) {
  const std::size_t size = size_class(byte_count);
  void* block = pool_->take(size);
  if (block == nullptr) {
    base::fail(ErrorCode::kResourceExhausted, "memory.exhausted", "cannot allocate {} bytes", byte_count);
  }
  return {block, [pool = pool_, size](void* memory) { pool->give(memory, size); }};
}

std::size_t PooledAllocator::used_bytes() const {
  const std::lock_guard lock(pool_->mutex);
  return pool_->used;
}

std::size_t PooledAllocator::cached_bytes() const {
  const std::lock_guard lock(pool_->mutex);
  return pool_->cached;
}

}  // namespace lanner::vm
