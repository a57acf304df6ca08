// In which order, and on how many lanes at once, a block's instructions run. A schedule is a list of stages, one after
// another. A stage of one task runs on the whole team, instruction by instruction; the tasks of any other stage run
// concurrently, each on one lane with one thread. A task is a group of instructions that a lane runs through without
// asking anybody: a chain, or everything that depends on one instruction only, large enough to be worth handing out.
//
// The schedule is made once, from measured times: with the whole team and with one thread. An instruction that gains
// from the team and is long enough is *wide* and always has a stage to itself; all others are *narrow*.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "program/program.h"

namespace lanner::vm {

// What it costs to wake the lanes and to wait for the last.
inline constexpr std::int64_t kStageOverheadNs = 20'000;

// Nanoseconds that each instruction of a block takes.
struct Costs {
  std::vector<std::int64_t> team;    // with all threads
  std::vector<std::int64_t> single;  // with one
};

struct Task {
  std::vector<std::uint32_t> instructions;  // in the order they run
  std::vector<std::uint32_t> successors;    // tasks of the same stage that wait for this one
  std::uint32_t predecessor_count = 0;
  std::int64_t rank_ns =
      0;  // the longest way from its beginning to the stage's end; of ready tasks the highest goes first
};

struct Stage {
  std::vector<Task> tasks;
};

struct Schedule {
  int lanes = 1;  // that run at once, at most
  std::vector<Stage> stages;
  // Instructions that run on one thread also where they have the team, because they are no faster on it; empty for
  // none.
  std::vector<char> narrow;
  std::int64_t estimated_ns = 0;  // of all stages; 0 where nothing was measured

  bool concurrent() const {
    return std::ranges::any_of(stages, [](const Stage& stage) { return stage.tasks.size() > 1; });
  }
};

// Every instruction in the block's order, on the whole team; with costs, on one thread where that is as fast.
Schedule serial_schedule(const program::Block& block);
Schedule serial_schedule(const program::Block& block, const Costs& costs);

// The schedule that the costs say is fastest on `lanes` lanes; the serial one unless another is clearly faster.
Schedule make_schedule(const program::Block& block, const Costs& costs, int lanes);

}  // namespace lanner::vm
