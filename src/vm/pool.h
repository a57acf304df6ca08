// The memory of values whose size is only known at run time, and of what subgraphs need while they run: freed memory is
// kept and handed out again, so that a session that has run once asks the system for nothing.
#pragma once

#include <cstddef>
#include <memory>

#include "lanner/tensor.h"

namespace lanner::vm {

// Thread-safe. Blocks may outlive the allocator; the last one to go releases the pool.
//
// Small blocks are rounded up by at most a quarter and kept by size. Large ones are cut from segments and grow together
// again when they come back, so that a request of many sizes, one after another, lives in the same pages. Before a
// new segment is made, free ones are let go as long as all would exceed `slack` times what was in use at once.
class PooledAllocator final : public Allocator {
 public:
  explicit PooledAllocator(double slack = 1.5);
  std::shared_ptr<void> allocate(std::size_t byte_count) override;

  std::size_t used_bytes() const;      // by blocks that somebody holds
  std::size_t reserved_bytes() const;  // from the system, in use or not
  std::size_t peak_bytes() const;      // the most that was reserved at once

 private:
  struct Pool;
  std::shared_ptr<Pool> pool_;
};

}  // namespace lanner::vm
