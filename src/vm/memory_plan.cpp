#include "vm/memory_plan.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "kernels/registry.h"

namespace lanner::vm {

namespace {

using program::Block;
using program::Instruction;
using program::kNoSlot;
using program::SlotIndex;

constexpr std::size_t kAlignment = 64;

bool may_view(const Instruction& instruction) {
  const kernels::OperatorRow* row = kernels::find_operator(instruction.op);
  return row != nullptr && row->aliasing == kernels::Aliasing::kView;
}

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
  std::size_t first = std::numeric_limits<std::size_t>::max();
  std::size_t last = 0;
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

}  // namespace

MemoryPlan plan_memory(const Block& block) {
  const std::size_t slot_count = block.slots.size();
  const std::size_t step_count = block.instructions.size();
  MemoryPlan plan;
  plan.slots.resize(slot_count);
  plan.last_uses.resize(step_count);

  Groups groups(slot_count);
  std::vector<std::size_t> last_read(slot_count, kNotPlanned);
  for (std::size_t i = 0; i < step_count; ++i) {
    const Instruction& instruction = block.instructions[i];
    if (may_view(instruction) && instruction.inputs[0] != kNoSlot && instruction.outputs[0] != kNoSlot) {
      groups.join(instruction.outputs[0], instruction.inputs[0]);
    }
    for (const SlotIndex slot : instruction.inputs) {
      if (slot != kNoSlot) last_read[slot] = i;
    }
    for (const SlotIndex slot : instruction.outputs) {
      if (slot != kNoSlot) last_read[slot] = i;  // until somebody reads it
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
  for (std::size_t i = 0; i < step_count; ++i) {
    const Instruction& instruction = block.instructions[i];
    for (const SlotIndex slot : instruction.outputs) {
      if (slot == kNoSlot) continue;
      Group& group = table[groups.find(slot)];
      group.first = std::min(group.first, i);
      group.last = std::max(group.last, last_read[slot]);
      if (may_view(instruction)) continue;
      const auto shape = block.slots[slot].type.static_shape();
      const ElementType element = block.slots[slot].type.element;
      if (!shape || element == ElementType::kUndefined || element == ElementType::kString) {
        group.planned = false;
        continue;
      }
      group.owner = slot;
      group.byte_count =
          (Tensor::wrap(element, *shape, nullptr).byte_count() + kAlignment - 1) / kAlignment * kAlignment;
    }
  }

  std::vector<std::vector<SlotIndex>> starting(step_count), ending(step_count);
  for (SlotIndex i = 0; i < slot_count; ++i) {
    const Group& group = table[i];
    if (!group.planned || group.owner == kNoSlot || group.byte_count == 0) continue;
    starting[group.first].push_back(i);
    ending[group.last].push_back(i);
  }
  Arena arena;
  for (std::size_t i = 0; i < step_count; ++i) {
    for (const SlotIndex group : starting[i]) {
      MemoryPlan::Place& place = plan.slots[table[group].owner];
      place.byte_count = table[group].byte_count;
      place.offset = arena.take(place.byte_count);
    }
    for (const SlotIndex group : ending[i]) {
      const MemoryPlan::Place& place = plan.slots[table[group].owner];
      arena.give(place.offset, place.byte_count);
    }
  }
  plan.arena_bytes = arena.end();

  for (SlotIndex slot = 0; slot < slot_count; ++slot) {
    if (!kept[slot] && last_read[slot] != kNotPlanned && plan.slots[slot].offset == kNotPlanned) {
      plan.last_uses[last_read[slot]].push_back(slot);
    }
  }
  return plan;
}

}  // namespace lanner::vm
