#include "compile/precision.h"

#include <gtest/gtest.h>

#include "compile/precision_testing.h"

namespace lanner::compiler {
namespace {

TEST(Precision, IsAllowedWhereItMayGain) {
  const program::Program program = program::parse(R"(program 1
constant 0 float32[8,2]{1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8}
constant 1 float32[2,2]{1, 2, 3, 4}
output "few"
output "changing"
main {
  slot 0 "x" float32[3,2]
  slot 1 "w" float32[2,8]
  slot 2 "few" float32[3,2]
  slot 3 "changing" float32[3,8]
  inputs(0, 1)
  2, 3 = Subgraph(0, 1) on onednn block body {
    slot 0 "x" float32[3,2]
    slot 1 "w" float32[2,8]
    slot 2 "a" float32[8,2]
    slot 3 "many" float32[3,8]
    slot 4 "b" float32[2,2]
    slot 5 "few" float32[3,2]
    slot 6 "changing" float32[3,8]
    inputs(0, 1)
    const 2 0
    const 4 1
    3 = Gemm(0, 2) with {transB=1}
    5 = MatMul(0, 4)
    6 = MatMul(0, 1)
    outputs(5, 6)
  }
  outputs(2, 3)
}
)");
  program::Program allowed = program;
  const PrecisionReport report = allow_bf16_everywhere(allowed);
  EXPECT_EQ(report.wanted, "bf16");
  ASSERT_EQ(report.decisions.size(), 3U);
  const auto expect = [&](std::size_t index, const char* value, bool bf16, const char* reason) {
    EXPECT_EQ(report.decisions[index].value, value);
    EXPECT_EQ(report.decisions[index].bf16, bf16);
    EXPECT_EQ(report.decisions[index].reason, reason);
    const program::Block& body = allowed.main.instructions[0].blocks[0].block;
    EXPECT_EQ(allows_bf16(body.instructions[index]), bf16);
  };
  expect(0, "many", true, "");
  expect(1, "few", false, "it has fewer than 8 outputs");
  expect(2, "changing", false, "its weights are not constant");

  allow_bf16(allowed.main.instructions[0].blocks[0].block.instructions[0], false);
  EXPECT_EQ(program::print(allowed), program::print(program));
}

TEST(Precision, IsNobodysElse) {
  program::Program program = testing::two_dense_parts(5);
  for (program::Instruction& instruction : program.main.instructions) {
    EXPECT_EQ(bf16_candidates(instruction).size(), instruction.op == program::kSubgraph ? 1U : 0U) << instruction.op;
    instruction.backend = "native";
    EXPECT_TRUE(bf16_candidates(instruction).empty());
  }
}

}  // namespace
}  // namespace lanner::compiler
