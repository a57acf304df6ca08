#include "program/program.h"

#include <fmt/format.h>

#include <algorithm>

namespace lanner::program {

void set_data_dependencies(Block& block) {
  constexpr std::uint32_t kNobody = kNoSlot;
  std::vector<std::uint32_t> producer(block.slots.size(), kNobody);
  for (std::uint32_t i = 0; i < block.instructions.size(); ++i) {
    Instruction& instruction = block.instructions[i];
    for (const SlotIndex input : instruction.inputs) {
      if (input != kNoSlot && producer[input] != kNobody) instruction.dependencies.push_back(producer[input]);
    }
    std::ranges::sort(instruction.dependencies);
    const auto repeated = std::ranges::unique(instruction.dependencies);
    instruction.dependencies.erase(repeated.begin(), repeated.end());
    for (const SlotIndex output : instruction.outputs) {
      if (output != kNoSlot) producer[output] = i;
    }
  }
}

std::string joined_operators(const std::vector<std::string>& names) {
  std::vector<std::pair<std::string, int>> counts;
  for (const std::string& name : names) {
    const auto at = std::ranges::find(counts, name, &std::pair<std::string, int>::first);
    if (at == counts.end())
      counts.emplace_back(name, 1);
    else
      ++at->second;
  }
  std::string text;
  for (const auto& [name, count] : counts) {
    if (!text.empty()) text += "+";
    text += count == 1 ? name : fmt::format("{}×{}", name, count);
  }
  return text;
}

}  // namespace lanner::program
