#include "vm/pool.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>

#include "base/fail.h"
#include "base/memory.h"
#include "base/spin_mutex.h"

namespace lanner::vm {

namespace {

constexpr std::size_t kLarge = std::size_t{1} << 20;  // blocks from this size on are cut from segments

[[noreturn]] void exhausted(std::size_t byte_count) {
  base::fail(ErrorCode::kResourceExhausted, "memory.exhausted", "cannot allocate {} bytes", byte_count);
}

// Blocks by size; a size is the next of four steps per power of two.
class SmallBlocks {
 public:
  SmallBlocks() = default;
  SmallBlocks(const SmallBlocks&) = delete;
  SmallBlocks& operator=(const SmallBlocks&) = delete;
  ~SmallBlocks() {
    for (auto& [size, blocks] : free_) {
      for (void* block : blocks) std::free(block);
    }
  }

  static std::size_t rounded(std::size_t byte_count) {
    if (byte_count <= base::kMemoryAlignment) return base::kMemoryAlignment;
    const std::size_t step = std::max(std::bit_floor(byte_count - 1) / 4, base::kMemoryAlignment);
    return (byte_count + step - 1) / step * step;
  }

  void* take(std::size_t size) {
    std::vector<void*>& blocks = free_[size];
    if (blocks.empty()) {
      void* const block = base::allocate_memory(size);
      if (block != nullptr) reserved_ += size;
      return block;
    }
    void* const block = blocks.back();
    blocks.pop_back();
    return block;
  }

  void give(void* block, std::size_t size) { free_[size].push_back(block); }
  std::size_t reserved() const { return reserved_; }

 private:
  std::map<std::size_t, std::vector<void*>> free_;
  std::size_t reserved_ = 0;
};

// Blocks cut from segments of memory, best fit first.
class LargeBlocks {
 public:
  explicit LargeBlocks(double slack) : slack_(slack) {}
  LargeBlocks(const LargeBlocks&) = delete;
  LargeBlocks& operator=(const LargeBlocks&) = delete;
  ~LargeBlocks() {
    for (const auto& [begin, size] : segments_) std::free(begin);
  }

  // 0 when that is more than can be addressed.
  static std::size_t rounded(std::size_t byte_count) {
    constexpr std::size_t kStep = 64 * 1024;
    const std::size_t size = (byte_count + kStep - 1) / kStep * kStep;
    return size < byte_count ? 0 : size;
  }

  void* take(std::size_t size) {
    auto best = free_.end();
    for (auto range = free_.begin(); range != free_.end(); ++range) {
      if (range->second >= size && (best == free_.end() || range->second < best->second)) best = range;
    }
    if (best == free_.end()) {
      most_used_ = std::max(most_used_, used_ + size);
      release_segments(size);
      auto* const begin = static_cast<std::byte*>(base::allocate_memory(size));
      if (begin == nullptr) return nullptr;
      segments_.emplace(begin, size);
      reserved_ += size;
      best = free_.emplace(begin, size).first;
    }
    const auto [begin, available] = *best;
    free_.erase(best);
    if (available > size) free_.emplace(begin + size, available - size);
    used_ += size;
    most_used_ = std::max(most_used_, used_);
    return begin;
  }

  void give(void* block, std::size_t size) {
    auto* const begin = static_cast<std::byte*>(block);
    const auto range = free_.emplace(begin, size).first;
    used_ -= size;
    merge_with_next(range);
    if (range != free_.begin()) merge_with_next(std::prev(range));
  }

  std::size_t reserved() const { return reserved_; }

 private:
  using Ranges = std::map<std::byte*, std::size_t>;  // size by first byte

  // Segments may happen to touch; blocks of two of them never become one.
  void merge_with_next(Ranges::iterator range) {
    const auto next = std::next(range);
    if (next == free_.end() || range->first + range->second != next->first || segments_.contains(next->first)) return;
    range->second += next->second;
    free_.erase(next);
  }

  // Before `size` more are reserved: lets go of whole segments, the largest first, that would be too many then.
  void release_segments(std::size_t size) {
    while (reserved_ + size > static_cast<std::size_t>(slack_ * static_cast<double>(most_used_))) {
      auto largest = segments_.end();
      for (auto segment = segments_.begin(); segment != segments_.end(); ++segment) {
        const auto range = free_.find(segment->first);
        const bool whole = range != free_.end() && range->second == segment->second;
        if (whole && (largest == segments_.end() || segment->second > largest->second)) largest = segment;
      }
      if (largest == segments_.end()) return;
      free_.erase(largest->first);
      reserved_ -= largest->second;
      std::free(largest->first);
      segments_.erase(largest);
    }
  }

  double slack_;
  Ranges segments_;
  Ranges free_;
  std::size_t used_ = 0;
  std::size_t most_used_ = 0;
  std::size_t reserved_ = 0;
};

}  // namespace

// Shared by the allocator and every block, so that blocks can come back after the allocator has gone.
struct PooledAllocator::Pool {
  explicit Pool(double slack) : large(slack) {}

  mutable base::SpinMutex mutex;
  SmallBlocks small;
  LargeBlocks large;
  std::size_t used = 0;
  std::size_t peak = 0;  // of what was reserved

  void* take(std::size_t size) {
    const std::lock_guard lock(mutex);
    void* const block = size < kLarge ? small.take(size) : large.take(size);
    if (block != nullptr) used += size;
    peak = std::max(peak, small.reserved() + large.reserved());
    return block;
  }

  void give(void* block, std::size_t size) {
    const std::lock_guard lock(mutex);
    used -= size;
    if (size < kLarge)
      small.give(block, size);
    else
      large.give(block, size);
  }
};

PooledAllocator::PooledAllocator(double slack) : pool_(std::make_shared<Pool>(slack)) {}

std::shared_ptr<void> PooledAllocator::allocate(std::size_t byte_count) {
  const std::size_t size = byte_count < kLarge ? SmallBlocks::rounded(byte_count) : LargeBlocks::rounded(byte_count);
  if (size < byte_count) exhausted(byte_count);
  void* const block = pool_->take(size);
  if (block == nullptr) exhausted(byte_count);
  return {block, [pool = pool_, size](void* memory) { pool->give(memory, size); }};
}

std::size_t PooledAllocator::used_bytes() const {
  const std::lock_guard lock(pool_->mutex);
  return pool_->used;
}

std::size_t PooledAllocator::reserved_bytes() const {
  const std::lock_guard lock(pool_->mutex);
  return pool_->small.reserved() + pool_->large.reserved();
}

std::size_t PooledAllocator::peak_bytes() const {
  const std::lock_guard lock(pool_->mutex);
  return pool_->peak;
}

}  // namespace lanner::vm
