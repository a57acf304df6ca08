#include "base/memory.h"

#include <sys/mman.h>

#include <cstdlib>

#include "base/fail.h"

namespace lanner::base {

namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

}  // namespace

void* allocate_memory(std::size_t byte_count) {
  const std::size_t rounded = (byte_count + kMemoryAlignment - 1) / kMemoryAlignment * kMemoryAlignment;
  // A last page of which three quarters are used is worth being a huge one, too: small ones would be some 400 faults.
  const std::size_t tail = rounded % kHugePage;
  const std::size_t size = tail < kHugePage / 4 * 3 ? rounded : rounded - tail + kHugePage;
  if (size < byte_count) return nullptr;  // beyond what can be counted
  if (size < kHugePage) return std::aligned_alloc(kMemoryAlignment, size == 0 ? kMemoryAlignment : size);
  void* memory = nullptr;
  if (posix_memalign(&memory, kHugePage, size) != 0) return nullptr;
  // A wish: without it everything works, more slowly. Only whole huge pages, so that no neighbour's memory is meant.
  madvise(memory, size / kHugePage * kHugePage, MADV_HUGEPAGE);
  return memory;
}

void fail_exhausted() {
  fail(ErrorCode::kResourceExhausted, "memory.exhausted", "out of memory");
}

std::shared_ptr<void> allocate_shared_memory(std::size_t byte_count) {
  void* memory = allocate_memory(byte_count);
  if (memory == nullptr) {
    fail(ErrorCode::kResourceExhausted, "memory.exhausted", "cannot allocate {} bytes", byte_count);
  }
  return std::shared_ptr<void>(memory, std::free);
}

}  // namespace lanner::base
