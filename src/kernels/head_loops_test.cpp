#include "kernels/head_loops.h"

#include <set>

#include "kernels/head_testing.h"
#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

// Without this, the tests that run every instruction set would not notice if they all ran one.
TEST(HeadLoops, HaveAVersionForEachInstructionSet) {
  std::set<const HeadLoops*> versions;
  std::set<decltype(HeadLoops::overlap_bits)> functions;
  std::size_t count = 0;
  for_each_instruction_set([&] {
    versions.insert(&head_loops());
    functions.insert(head_loops().overlap_bits);
    ++count;
  });
  EXPECT_EQ(versions.size(), count);
  EXPECT_EQ(functions.size(), count);
  EXPECT_TRUE(versions.contains(&head_loops()));
  EXPECT_TRUE(head_loops_of_cpu().rows().back().supported());
#if defined(__x86_64__)
  EXPECT_EQ(count, 1u + (__builtin_cpu_supports("avx2") ? 1 : 0) + (__builtin_cpu_supports("avx512bw") ? 1 : 0));
#endif
}

}  // namespace
}  // namespace lanner::kernels::testing
