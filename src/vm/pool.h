// The memory of values whose size is only known at run time: freed blocks are kept by size class and handed out again.
#pragma once

#include <cstddef>
#include <memory>

#include "lanner/tensor.h"

namespace lanner::vm {

// Thread-safe. Blocks may outlive the allocator; the last one to go releases the pool. Sizes are rounded up by at most
// a quarter, so requests of alternating sizes meet the same few classes; what is cached never exceeds the largest
// amount that was in use at once.
class PooledAllocator final : public Allocator {
 public:
  PooledAllocator();
  std::shared_ptr<void> allocate(std::size_t byte_count) override;

  std::size_t used_bytes() const;
  std::size_t cached_bytes() const;

 private:
  struct Pool;
  std::shared_ptr<Pool> pool_;
};

}  // namespace lanner::vm
