// A program made ready to run: kernels made from attributes, subgraphs built by their backends, memory planned.
// Immutable and shared by every session; what a request changes is in Frames (frame.h).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backends/backend.h"
#include "kernels/kernel.h"
#include "profile/recorder.h"
#include "program/program.h"
#include "vm/memory_plan.h"

namespace lanner::vm {

struct ReadyBlock;

// One instruction, ready. Exactly one of kernel and subgraph is set, or neither for If and Loop.
struct Step {
  enum class Kind : std::uint8_t { kKernel, kSubgraph, kIf, kLoop };

  const program::Instruction* instruction = nullptr;
  Kind kind = Kind::kKernel;
  std::unique_ptr<kernels::Kernel> kernel;
  std::unique_ptr<backends::CompiledSubgraph> subgraph;
  std::vector<ReadyBlock> blocks;  // of If: then, else; of Loop: body
  profile::Label label;
};

struct ReadyBlock {
  const program::Block* block = nullptr;
  std::vector<Step> steps;
  MemoryPlan plan;
};

// `program` outlives the result. Throws what kernels and backends throw, with the instruction as context.
ReadyBlock make_ready(const program::Program& program, const program::Block& block,
                      const backends::BuildOptions& options);

// Of the block's arena and those of the blocks inside it: what one session reserves.
std::size_t arena_bytes(const ReadyBlock& ready);

}  // namespace lanner::vm
