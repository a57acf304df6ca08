// Which slots of a block live at which offset of the session's arena. Slots whose value is made by an operator are
// planned where their size is known, from their shape or from earlier runs; block inputs, constants and block outputs
// (which outlive the arena) are not, nor is anything that may share memory with one of these.
#pragma once

#include <cstddef>
#include <limits>
#include <vector>

#include "program/program.h"
#include "vm/schedule.h"

namespace lanner::vm {

inline constexpr std::size_t kNotPlanned = std::numeric_limits<std::size_t>::max();

struct MemoryPlan {
  struct Place {
    std::size_t offset = kNotPlanned;
    std::size_t byte_count = 0;  // reserved at the offset
    bool of_lane = false;        // in the arena of the lane that runs the task, not in the one they share
  };
  std::vector<Place> slots;
  std::size_t arena_bytes = 0;       // of the arena that all share
  std::size_t lane_arena_bytes = 0;  // of each lane's own
  // Slots whose memory may be outside the arena, and then goes back to the pool: per instruction those that nobody
  // reads after it, and per stage those that several of its tasks touch.
  std::vector<std::vector<program::SlotIndex>> last_uses;
  std::vector<std::vector<program::SlotIndex>> stage_last_uses;
};

// Bytes to reserve for each slot of unknown size; 0, or no entry, for none. A value that turns out to be larger lives
// in the pool.
using LearnedSizes = std::vector<std::size_t>;

// Two slots share bytes only when the lives of both, and of every slot that views them, do not overlap however the
// schedule's tasks run. What only one task touches lives in the arena of its lane, which tasks after it use again while
// its lines are in the lane's cache.
MemoryPlan plan_memory(const program::Block& block, const Schedule& schedule, const LearnedSizes& learned = {});

}  // namespace lanner::vm
