// Memory for tensors, weights and arenas.
#pragma once

#include <cstddef>
#include <memory>

namespace lanner::base {

inline constexpr std::size_t kMemoryAlignment = 64;  // a cache line, and the widest vector register

// Uninitialised memory, aligned to kMemoryAlignment, that free() releases; null when there is none. Large blocks ask the
// kernel for huge pages: a convolution walks tens of megabytes, and with 4 KiB pages address translation is a good part
// of its time.
void* allocate_memory(std::size_t byte_count);

// The same with an owner. Throws `memory.exhausted`.
std::shared_ptr<void> allocate_shared_memory(std::size_t byte_count);

}  // namespace lanner::base
