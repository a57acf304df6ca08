#include "base/memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "base/error_testing.h"
#include "lanner/error.h"

namespace lanner::base {
namespace {

TEST(Memory, IsAlignedAndWritable) {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{65}, (std::size_t{3} << 19) - 64,
                                  std::size_t{3} << 19, std::size_t{4} << 20, (std::size_t{9} << 20) + 1}) {
    const std::shared_ptr<void> memory = allocate_shared_memory(bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory.get()) % kMemoryAlignment, 0u) << bytes;
    std::memset(memory.get(), 1, bytes);
  }
}

TEST(Memory, SaysWhenThereIsNone) {
  constexpr std::size_t kMost = std::numeric_limits<std::size_t>::max();
  for (const std::size_t bytes : {kMost, kMost - 100'000, kMost - (std::size_t{3} << 20), kMost / 2}) {
    EXPECT_EQ(allocate_memory(bytes), nullptr);
    try {
      allocate_shared_memory(bytes);
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.reason(), "memory.exhausted");
    }
  }
}

TEST(Memory, ContainersThatCannotHaveItAreAnError) {
  const auto reason = [](std::size_t size) {
    return testing::reason_of([&] { with_memory_errors([&] { return std::vector<char>(size).size(); }); });
  };
  EXPECT_EQ(reason(3), "");
  EXPECT_EQ(reason(std::numeric_limits<std::size_t>::max()), "memory.exhausted");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_EQ(reason(std::numeric_limits<std::size_t>::max() / 4), "memory.exhausted");
#endif
}

}  // namespace
}  // namespace lanner::base
