#include "base/cpu.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace lanner::base {
namespace {

TEST(Cpu, HasANameThatFitsOneLineOfText) {
  const std::string& name = cpu_name();
  ASSERT_FALSE(name.empty());
  EXPECT_TRUE(std::ranges::all_of(name, [](unsigned char letter) { return letter >= ' ' && letter <= '~'; })) << name;
  EXPECT_NE(name.front(), ' ');
  EXPECT_EQ(&cpu_name(), &name);
}

}  // namespace
}  // namespace lanner::base
