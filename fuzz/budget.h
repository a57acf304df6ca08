// What one input of a fuzz target may use. A program may ask for any amount of work, so that it asks for much is no
// finding; that it takes more than a limit allows would be.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "lanner/tensor.h"

namespace lanner::fuzz {

// No block of memory is larger, whoever asks for it: operator new throws std::bad_alloc, and under AddressSanitizer
// malloc returns null.
inline constexpr std::size_t kLargestBlock = std::size_t{64} << 20;

// Hands out exactly as many bytes as are asked for, which lets AddressSanitizer see what is read or written behind
// them. Thread-safe.
class ExactMemory : public Allocator {
 public:
  // Blocks are filled with `fill`, so that what depends on memory that nobody wrote differs from run to run.
  explicit ExactMemory(unsigned char fill = 0) : fill_(fill) {}
  std::shared_ptr<void> allocate(std::size_t byte_count) override;

 private:
  unsigned char fill_;
};

// The same until `bytes` bytes or `blocks` blocks have been handed out, and then throws `memory.exhausted`. Every
// iteration of a Loop takes a block.
class Budget final : public ExactMemory {
 public:
  Budget(std::size_t bytes, std::size_t blocks, unsigned char fill)
      : ExactMemory(fill), bytes_(bytes), blocks_(blocks) {}
  std::shared_ptr<void> allocate(std::size_t byte_count) override;

 private:
  std::atomic<std::size_t> bytes_;
  std::atomic<std::size_t> blocks_;
};

}  // namespace lanner::fuzz
