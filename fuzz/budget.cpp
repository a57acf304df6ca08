#include "fuzz/budget.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "base/fail.h"
#include "base/memory.h"

// Both are found by name.
extern "C" __attribute__((visibility("default"))) const char* __asan_default_options() {
  return "allocator_may_return_null=1:max_allocation_size_mb=64:detect_leaks=0:detect_stack_use_after_return=0:"
         "malloc_context_size=10:quarantine_size_mb=64";
}

// Highway's assertions, which the sanitizers turn on, ask for this; the rest of its library is not linked.
namespace hwy {
[[noreturn]] __attribute__((visibility("default"))) void Abort(const char* file, int line, const char* format, ...);
void Abort(const char* file, int line, const char* format, ...) {
  std::fprintf(stderr, "FINDING: %s:%d: %s\n", file, line, format);
  std::abort();
}
}  // namespace hwy

void* operator new(std::size_t byte_count) {
  void* const memory = operator new(byte_count, std::nothrow);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void* operator new(std::size_t byte_count, const std::nothrow_t&) noexcept {
  return byte_count <= lanner::fuzz::kLargestBlock ? std::malloc(byte_count != 0 ? byte_count : 1) : nullptr;
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace lanner::fuzz {

namespace {

[[noreturn]] void exhausted(std::size_t byte_count) {
  base::fail(ErrorCode::kResourceExhausted, "memory.exhausted", "the budget does not allow {} bytes", byte_count);
}

}  // namespace

std::shared_ptr<void> ExactMemory::allocate(std::size_t byte_count) {
  void* memory = nullptr;
  if (byte_count > kLargestBlock ||
      posix_memalign(&memory, base::kMemoryAlignment, byte_count != 0 ? byte_count : 1) != 0) {
    exhausted(byte_count);
  }
  std::memset(memory, fill_, byte_count);
  return {memory, std::free};
}

std::shared_ptr<void> Budget::allocate(std::size_t byte_count) {
  if (byte_count > bytes_ || blocks_ == 0) exhausted(byte_count);
  bytes_ -= byte_count;
  --blocks_;
  return ExactMemory::allocate(byte_count);
}

}  // namespace lanner::fuzz
