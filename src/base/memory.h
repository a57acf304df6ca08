// Memory for tensors, weights and arenas.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>

namespace lanner::base {

inline constexpr std::size_t kMemoryAlignment = 64;  // a cache line, and the widest vector register

// Uninitialised memory, aligned to kMemoryAlignment, that free() releases; null when there is none. Large blocks ask
// the kernel for huge pages: a convolution walks tens of megabytes, and with 4 KiB pages address translation is a good
// part of its time.
void* allocate_memory(std::size_t byte_count);

// The same with an owner. Throws `memory.exhausted`.
std::shared_ptr<void> allocate_shared_memory(std::size_t byte_count);

// Throws `memory.exhausted`.
[[noreturn]] void fail_exhausted();

// Runs `body`; that the standard library's containers cannot have their memory becomes `memory.exhausted`.
template <typename Body>
decltype(auto) with_memory_errors(Body&& body) {
  try {
    return std::forward<Body>(body)();
  } catch (const std::bad_alloc&) {
    fail_exhausted();
  } catch (const std::length_error&) {
    fail_exhausted();
  }
}

}  // namespace lanner::base
