// Which numbers a program may compute with. Instructions with the attribute `precision` "bf16" may multiply bfloat16, a
// permission that a backend uses where it is faster and the CPU can; elsewhere they run in float32.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "program/program.h"

namespace lanner::compiler {

// A convolution or product of a subgraph that other precisions than float32 were considered for.
struct PrecisionDecision {
  std::string value;  // that it makes
  bool bf16;
  std::string reason;
};

struct JudgedValue {
  std::string value;
  double error;
};

struct PrecisionReport {
  std::string wanted = "f32";
  std::vector<PrecisionDecision> decisions;
  // Of "auto": what the values that were compared may differ by, and differ by in the end.
  std::optional<double> tolerance;
  std::vector<JudgedValue> judged;
  std::vector<std::string> warnings;
};

// The instructions in a subgraph that may gain from bfloat16, in their order; none of any other instruction.
std::vector<program::Instruction*> bf16_candidates(program::Instruction& subgraph);

bool allows_bf16(const program::Instruction& instruction);
void allow_bf16(program::Instruction& instruction, bool allowed);
// Makes it use bfloat16 even where that is slower, on a CPU that can.
void force_bf16(program::Instruction& instruction);

// Allows bfloat16 wherever it may gain, nested blocks included. The reasons are why not.
PrecisionReport allow_bf16_everywhere(program::Program& program);

// The convolutions and products of the program's subgraphs that are no decisions of `report` yet get one, as they are,
// for `reason` where nothing speaks against bfloat16.
void report_rest(program::Program& program, const std::string& reason, PrecisionReport& report);

// Whether this CPU computes with bfloat16 where a program allows it.
bool cpu_computes_bf16();

}  // namespace lanner::compiler
