// Which slots of a block live at which offset of the session's arena. Slots with a static shape whose value is made by
// an operator are planned; block inputs, constants, block outputs (which outlive the arena) and slots of unknown size
// are not, nor is anything that may share memory with one of these.
#pragma once

#include <cstddef>
#include <limits>
#include <vector>

#include "program/program.h"

namespace lanner::vm {

inline constexpr std::size_t kNotPlanned = std::numeric_limits<std::size_t>::max();

struct MemoryPlan {
  struct Place {
    std::size_t offset = kNotPlanned;
    std::size_t byte_count = 0;  // reserved at the offset
  };
  std::vector<Place> slots;
  std::size_t arena_bytes = 0;
  // Per instruction: the slots nobody reads after it, so that memory outside the arena goes back to the pool.
  std::vector<std::vector<program::SlotIndex>> last_uses;
};

// Plans for instructions that run one after another in the block's order. Two slots share bytes only when the lives of
// both, and of every slot that views them, do not overlap.
MemoryPlan plan_memory(const program::Block& block);

}  // namespace lanner::vm
