// A program made ready to run: kernels made from attributes, subgraphs built by their backends, the order and the
// memory planned. Immutable and shared by every session; what a request changes is in Frames (frame.h).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backends/backend.h"
#include "kernels/kernel.h"
#include "profile/recorder.h"
#include "program/program.h"
#include "vm/memory_plan.h"
#include "vm/schedule.h"

namespace lanner::vm {

struct ReadyBlock;

// What the attributes of a Scan say. Axes may be negative still.
struct ScanAxes {
  struct Axis {
    std::int64_t axis = 0;
    bool reverse = false;
  };
  std::vector<Axis> inputs;   // one for each scan input
  std::vector<Axis> outputs;  // one for each scan output
};

// One instruction, ready. Exactly one of kernel and subgraph is set, or neither for If, Loop, Scan and ForEach.
struct Step {
  enum class Kind : std::uint8_t { kKernel, kSubgraph, kIf, kLoop, kScan, kForEach };

  const program::Instruction* instruction = nullptr;
  Kind kind = Kind::kKernel;
  std::unique_ptr<kernels::Kernel> kernel;
  std::unique_ptr<backends::CompiledSubgraph> subgraph;
  std::vector<ReadyBlock> blocks;                       // of If: then, else; of Loop, Scan and ForEach: body
  ScanAxes scan;                                        // of Scan
  std::size_t iteration_count = 0;                      // of ForEach
  std::vector<std::unique_ptr<kernels::Kernel>> joins;  // of ForEach: what makes each output of the iterations' results
  bool reuses_input = false;                            // the kernel can take over the memory of its first input
  profile::Label label;
};

// The order in which a block's instructions run, and where their values are meanwhile.
struct Layout {
  Layout(const program::Block& block, Schedule order, LearnedSizes sizes = {})
      : schedule(std::move(order)), learned(std::move(sizes)), plan(plan_memory(block, schedule, learned)) {}
  Schedule schedule;
  LearnedSizes learned;
  MemoryPlan plan;
};

struct ReadyBlock {
  const program::Block* block = nullptr;
  std::vector<Step> steps;
  std::shared_ptr<const Layout> serial;  // one instruction after another
};

// `program` outlives the result. Throws what kernels and backends throw, with the instruction as context.
ReadyBlock make_ready(const program::Program& program, const program::Block& block,
                      const backends::BuildOptions& options);

}  // namespace lanner::vm
