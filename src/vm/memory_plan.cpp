#include "vm/memory_plan.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "base/fail.h"
#include "kernels/registry.h"

namespace lanner::vm {

namespace {

using program::Block;
using program::Instruction;
using program::kNoSlot;
using program::SlotIndex;

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kMostBytes = std::numeric_limits<std::size_t>::max() / 2;
constexpr std::size_t kNoTask = std::numeric_limits<std::size_t>::max();

// Whether the first output is so related to the first input.
bool has_aliasing(const Instruction& instruction, kernels::Aliasing aliasing) {
  if (instruction.inputs.empty() || instruction.outputs.empty()) return false;
  const kernels::OperatorRow* row = kernels::find_operator(instruction.op);
  return row != nullptr && row->aliasing == aliasing;
}

bool may_view(const Instruction& instruction) {
  return has_aliasing(instruction, kernels::Aliasing::kView);
}

// Of a value whose shape is static; 0 for others.
std::size_t static_bytes(const tensor::ValueType& type) {
  const auto shape = type.static_shape();
  if (!shape || type.element == ElementType::kUndefined || type.element == ElementType::kString) return 0;
  return Tensor::wrap(type.element, *shape, nullptr).byte_count();
}

// When an instruction runs. Instructions of different tasks of a concurrent stage have the same `step`; `task` is then
// who runs it and `within` its place in the task.
struct When {
  std::size_t step = 0;
  std::size_t task = kNoTask;
  std::size_t within = 0;
};

std::vector<When> timetable(const Block& block, const Schedule& schedule, std::size_t* step_count) {
  std::vector<When> when(block.instructions.size());
  std::size_t step = 0;
  std::size_t task_number = 0;
  for (const Stage& stage : schedule.stages) {
    if (stage.tasks.size() == 1) {
      for (const std::uint32_t i : stage.tasks[0].instructions) when[i] = {step++, kNoTask, 0};
      continue;
    }
    for (const Task& task : stage.tasks) {
      for (std::size_t at = 0; at < task.instructions.size(); ++at) {
        when[task.instructions[at]] = {step, task_number, at};
      }
      ++task_number;
    }
    ++step;
  }
  *step_count = step;
  return when;
}

// From the first to the last time that a value is touched.
struct Life {
  bool empty = true;
  std::size_t first = 0;
  std::size_t last = 0;
  std::size_t task = kNoTask;  // the only one that touches it, if that is so
  std::size_t first_within = 0;
  std::size_t last_within = 0;

  void touch(const When& when) {
    if (empty) {
      *this = {false, when.step, when.step, when.task, when.within, when.within};
      return;
    }
    first = std::min(first, when.step);
    last = std::max(last, when.step);
    if (when.task != task) task = kNoTask;
    first_within = std::min(first_within, when.within);
    last_within = std::max(last_within, when.within);
  }
  void join(const Life& other) {
    if (other.empty) return;
    touch({other.first, other.task, other.first_within});
    touch({other.last, other.task, other.last_within});
  }
};

// Slots that may share memory, as a disjoint-set forest.
class Groups {
 public:
  explicit Groups(std::size_t count) : parent_(count) { std::iota(parent_.begin(), parent_.end(), SlotIndex{0}); }
  SlotIndex find(SlotIndex slot) {
    while (parent_[slot] != slot) slot = parent_[slot] = parent_[parent_[slot]];
    return slot;
  }
  void join(SlotIndex a, SlotIndex b) { parent_[find(a)] = find(b); }

 private:
  std::vector<SlotIndex> parent_;
};

struct Group {
  bool planned = true;
  SlotIndex owner = kNoSlot;  // the slot whose instruction allocates
  std::size_t byte_count = 0;
  Life life;
};

// Free ranges of the arena by offset, with the most recently freed one preferred: its bytes are still in the cache.
class Arena {
 public:
  std::size_t take(std::size_t byte_count) {
    const auto fits = [&](const Range& range) { return range.byte_count >= byte_count; };
    const auto at = std::ranges::find_if(free_, fits);
    if (at != free_.end()) {
      const std::size_t offset = at->offset;
      at->offset += byte_count;
      at->byte_count -= byte_count;
      if (at->byte_count == 0) free_.erase(at);
      return offset;
    }
    // Grow; a free range that ends at the arena's end becomes the beginning of the new one.
    const auto tail = std::ranges::find_if(free_, [&](const Range& r) { return r.offset + r.byte_count == end_; });
    std::size_t offset = end_;
    if (tail != free_.end()) {
      offset = tail->offset;
      free_.erase(tail);
    }
    // Types say how large values will be, and may say anything.
    if (byte_count > kMostBytes - offset) {
      base::fail(ErrorCode::kResourceExhausted, "memory.exhausted",
                 "the program's values take more than can be addressed");
    }
    end_ = offset + byte_count;
    return offset;
  }

  void give(std::size_t offset, std::size_t byte_count) {
    Range merged{offset, byte_count};
    std::erase_if(free_, [&](const Range& range) {
      if (range.offset + range.byte_count == merged.offset) {
        merged = {range.offset, range.byte_count + merged.byte_count};
        return true;
      }
      if (merged.offset + merged.byte_count == range.offset) {
        merged.byte_count += range.byte_count;
        return true;
      }
      return false;
    });
    free_.insert(free_.begin(), merged);
  }

  std::size_t end() const { return end_; }

 private:
  struct Range {
    std::size_t offset;
    std::size_t byte_count;
  };
  std::vector<Range> free_;  // most recently freed first
  std::size_t end_ = 0;
};

// Lays the groups out for one sequence of steps and returns the arena's size. `life` gives a group's first and last
// step.
template <typename FirstAndLast>
std::size_t lay_out(const std::vector<SlotIndex>& chosen, const std::vector<Group>& groups, std::size_t step_count,
                    FirstAndLast first_and_last, MemoryPlan& plan) {
  std::vector<std::vector<SlotIndex>> starting(step_count), ending(step_count);
  for (const SlotIndex i : chosen) {
    const auto [first, last] = first_and_last(groups[i].life);
    starting[first].push_back(i);
    ending[last].push_back(i);
  }
  Arena arena;
  for (std::size_t step = 0; step < step_count; ++step) {
    for (const SlotIndex i : starting[step]) {
      MemoryPlan::Place& place = plan.slots[groups[i].owner];
      place.byte_count = groups[i].byte_count;
      place.offset = arena.take(place.byte_count);
      place.of_lane = groups[i].life.task != kNoTask;
    }
    for (const SlotIndex i : ending[step]) {
      const MemoryPlan::Place& place = plan.slots[groups[i].owner];
      arena.give(place.offset, place.byte_count);
    }
  }
  return arena.end();
}

// The last reader lets go of a slot that has no place; where several tasks of one stage read it last, the stage does.
void add_last_uses(const Block& block, const Schedule& schedule, const std::vector<When>& when,
                   const std::vector<Life>& lives, const std::vector<char>& kept, MemoryPlan& plan) {
  std::vector<std::size_t> reader(block.slots.size(), kNotPlanned);
  std::vector<char> shared(block.slots.size(), 0);  // by tasks of the stage that reads last
  const auto touch = [&](SlotIndex slot, std::size_t i) {
    if (slot == kNoSlot) return;
    const When* const known = reader[slot] == kNotPlanned ? nullptr : &when[reader[slot]];
    if (known == nullptr || when[i].step > known->step) {
      reader[slot] = i;
      shared[slot] = 0;
    } else if (when[i].step == known->step) {
      if (when[i].task != known->task) shared[slot] = 1;
      if (when[i].within > known->within) reader[slot] = i;
    }
  };
  for (std::size_t i = 0; i < block.instructions.size(); ++i) {
    for (const SlotIndex slot : block.instructions[i].outputs) touch(slot, i);
    for (const SlotIndex slot : block.instructions[i].inputs) touch(slot, i);
  }
  std::vector<std::size_t> stage_of(block.instructions.size());
  for (std::size_t stage = 0; stage < schedule.stages.size(); ++stage) {
    for (const Task& task : schedule.stages[stage].tasks) {
      for (const std::uint32_t i : task.instructions) stage_of[i] = stage;
    }
  }
  for (SlotIndex slot = 0; slot < block.slots.size(); ++slot) {
    const bool in_arena = plan.slots[slot].offset != kNotPlanned && static_bytes(block.slots[slot].type) != 0;
    if (kept[slot] || lives[slot].empty || in_arena) continue;
    if (shared[slot] != 0)
      plan.stage_last_uses[stage_of[reader[slot]]].push_back(slot);
    else
      plan.last_uses[reader[slot]].push_back(slot);
  }
}

}  // namespace

MemoryPlan plan_memory(const Block& block, const Schedule& schedule, const LearnedSizes& learned) {
  const std::size_t slot_count = block.slots.size();
  std::size_t step_count = 0;
  const std::vector<When> when = timetable(block, schedule, &step_count);
  MemoryPlan plan;
  plan.slots.resize(slot_count);
  plan.last_uses.resize(block.instructions.size());
  plan.stage_last_uses.resize(schedule.stages.size());

  Groups groups(slot_count);
  std::vector<Life> lives(slot_count);
  for (std::size_t i = 0; i < block.instructions.size(); ++i) {
    const Instruction& instruction = block.instructions[i];
    if (may_view(instruction) && instruction.inputs[0] != kNoSlot && instruction.outputs[0] != kNoSlot) {
      groups.join(instruction.outputs[0], instruction.inputs[0]);
    }
    for (const SlotIndex slot : instruction.inputs) {
      if (slot != kNoSlot) lives[slot].touch(when[i]);
    }
    for (const SlotIndex slot : instruction.outputs) {
      if (slot != kNoSlot) lives[slot].touch(when[i]);
    }
  }

  std::vector<Group> table(slot_count);
  std::vector<char> kept(slot_count, 0);
  const auto keep = [&](SlotIndex slot) {
    kept[slot] = 1;
    table[groups.find(slot)].planned = false;
  };
  for (const SlotIndex slot : block.inputs) keep(slot);
  for (const auto& binding : block.constants) keep(binding.slot);
  for (const SlotIndex slot : block.outputs) keep(slot);
  for (const Instruction& instruction : block.instructions) {
    for (const SlotIndex slot : instruction.outputs) {
      if (slot == kNoSlot) continue;
      Group& group = table[groups.find(slot)];
      group.life.join(lives[slot]);
      if (may_view(instruction)) continue;
      std::size_t byte_count = static_bytes(block.slots[slot].type);
      if (byte_count == 0 && slot < learned.size()) byte_count = learned[slot];
      if (byte_count == 0) {
        group.planned = false;
        continue;
      }
      group.owner = slot;
      group.byte_count = (byte_count + kAlignment - 1) / kAlignment * kAlignment;
    }
    // Such a kernel goes on in its first input's memory, which only memory of the pool allows.
    if (has_aliasing(instruction, kernels::Aliasing::kReuse) && instruction.inputs[0] != kNoSlot &&
        static_bytes(block.slots[instruction.inputs[0]].type) == 0) {
      table[groups.find(instruction.inputs[0])].planned = false;
    }
  }

  std::vector<SlotIndex> shared;
  std::map<std::size_t, std::vector<SlotIndex>> of_task;
  for (SlotIndex i = 0; i < slot_count; ++i) {
    const Group& group = table[i];
    if (!group.planned || group.owner == kNoSlot || group.byte_count == 0) continue;
    (group.life.task == kNoTask ? shared : of_task[group.life.task]).push_back(i);
  }
  plan.arena_bytes = lay_out(
      shared, table, step_count, [](const Life& life) { return std::pair(life.first, life.last); }, plan);
  for (const auto& [task, chosen] : of_task) {
    std::size_t steps = 0;
    for (const SlotIndex i : chosen) steps = std::max(steps, table[i].life.last_within + 1);
    plan.lane_arena_bytes =
        std::max(plan.lane_arena_bytes,
                 lay_out(
                     chosen, table, steps,
                     [](const Life& life) { return std::pair(life.first_within, life.last_within); }, plan));
  }
  add_last_uses(block, schedule, when, lives, kept, plan);
  return plan;
}

}  // namespace lanner::vm
