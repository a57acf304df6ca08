#include "kernels/head_loops.h"

#include <set>

#include "kernels/head_testing.h"
#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

// Without this, the tests that run every instruction set would not notice if they all ran one.
TEST(HeadLoops, HaveAVersionForEachInstructionSet) {
  std::set<const HeadLoops*> versions;
  std::size_t count = 0;
  for_each_instruction_set([&] {
    versions.insert(&head_loops());
    ++count;
  });
  EXPECT_EQ(versions.size(), count);
  EXPECT_GE(count, 1u);
#if defined(__x86_64__)
  EXPECT_EQ(count, 1u + (__builtin_cpu_supports("avx2") ? 1 : 0) + (__builtin_cpu_supports("avx512vl") ? 1 : 0));
#endif
}

}  // namespace
}  // namespace lanner::kernels::testing
