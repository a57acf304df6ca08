#include "compile/trial.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>

#include "base/fail.h"
#include "vm/loaded_program.h"

namespace lanner::compiler {

using program::Block;
using program::Instruction;
using program::kNoSlot;
using program::Program;
using program::SlotIndex;

namespace {

// How a value came about.
enum class Origin : std::uint8_t {
  kExact,     // without a subgraph: the same in any precision
  kComputed,  // from what a subgraph computed, by arithmetic
  kSelected,  // after a selection: by indices, by a comparison, by a branch
};

bool is_subgraph(const Instruction& instruction) {
  return instruction.op == program::kSubgraph;
}

bool is_float(const program::Slot& slot) {
  return slot.type.is_tensor() && slot.type.element == ElementType::kFloat32;
}

// Of each slot. Whoever selects makes, or reads, something that is no float32 and depends on more than a shape.
std::vector<Origin> origins_of(const Block& block) {
  std::vector<Origin> origins(block.slots.size(), Origin::kExact);
  for (const Instruction& instruction : block.instructions) {
    Origin origin = is_subgraph(instruction) ? Origin::kComputed : Origin::kExact;
    for (const SlotIndex input : instruction.inputs) {
      if (input != kNoSlot) origin = std::max(origin, origins[input]);
    }
    if (instruction.op == "Shape" || instruction.op == "Size") origin = Origin::kExact;
    if (origin == Origin::kComputed) {
      const auto selects = [&](SlotIndex slot) {
        return slot != kNoSlot && origins[slot] != Origin::kExact && !is_float(block.slots[slot]);
      };
      const bool makes_other = std::ranges::any_of(
          instruction.outputs, [&](SlotIndex slot) { return slot != kNoSlot && !is_float(block.slots[slot]); });
      const bool branches = !is_subgraph(instruction) && !instruction.blocks.empty();
      if (makes_other || branches || std::ranges::any_of(instruction.inputs, selects)) origin = Origin::kSelected;
    }
    for (const SlotIndex output : instruction.outputs) {
      if (output != kNoSlot) origins[output] = origin;
    }
  }
  return origins;
}

void add_once(std::vector<SlotIndex>& slots, SlotIndex slot) {
  if (std::ranges::find(slots, slot) == slots.end()) slots.push_back(slot);
}

// The program with these slots of the main block as outputs, and without the instructions that they do not need.
// `origin` becomes the indices of those that stay.
Program with_outputs(const Program& program, const std::vector<SlotIndex>& outputs, std::vector<std::size_t>& origin) {
  Program part = program;
  Block& main = part.main;
  main.outputs = outputs;
  part.output_names.clear();
  for (const SlotIndex output : outputs) part.output_names.push_back(main.slots[output].name);

  std::vector<char> needed(main.slots.size(), 0);
  for (const SlotIndex output : outputs) needed[output] = 1;
  std::vector<char> stays(main.instructions.size(), 0);
  for (std::size_t i = main.instructions.size(); i-- > 0;) {
    const Instruction& instruction = main.instructions[i];
    stays[i] =
        std::ranges::any_of(instruction.outputs, [&](SlotIndex slot) { return slot != kNoSlot && needed[slot] != 0; });
    if (stays[i] == 0) continue;
    for (const SlotIndex input : instruction.inputs) {
      if (input != kNoSlot) needed[input] = 1;
    }
  }
  origin.clear();
  std::vector<Instruction> instructions;
  for (std::size_t i = 0; i < stays.size(); ++i) {
    if (stays[i] == 0) continue;
    origin.push_back(i);
    instructions.push_back(std::move(main.instructions[i]));
    instructions.back().dependencies.clear();
  }
  main.instructions = std::move(instructions);
  program::set_data_dependencies(main);
  return part;
}

bool is_constant(const Block& block, SlotIndex slot) {
  return std::ranges::find(block.constants, slot, &program::ConstantBinding::slot) != block.constants.end();
}

// One subgraph instruction by itself; its inputs are named by their slots' numbers.
Program alone(const Program& program, std::size_t index) {
  Program part = program;
  Block& main = part.main;
  const Instruction instruction = main.instructions[index];
  main.inputs.clear();
  for (const SlotIndex input : instruction.inputs) {
    if (is_constant(main, input)) continue;
    add_once(main.inputs, input);
    main.slots[input].name = std::to_string(input);
  }
  main.outputs = instruction.outputs;
  main.instructions = {instruction};
  main.instructions.front().dependencies.clear();
  part.input_defaults.clear();
  part.output_names.clear();
  for (const SlotIndex output : main.outputs) part.output_names.push_back(main.slots[output].name);
  return part;
}

// Of what one run of a program with the outputs `slots` gave.
const Value& value_of(const NamedValues& values, const std::vector<SlotIndex>& slots, SlotIndex slot) {
  return values[static_cast<std::size_t>(std::ranges::find(slots, slot) - slots.begin())].second;
}

}  // namespace

std::vector<NamedValues> run_samples(const Program& program, const std::vector<NamedValues>& samples) {
  Session session(lanner::Program(std::make_shared<vm::LoadedProgram>(program, "")));
  std::vector<NamedValues> outputs;
  for (const NamedValues& sample : samples) outputs.push_back(session.run(sample));
  return outputs;
}

std::map<const Instruction*, std::vector<Shape>> subgraph_input_shapes(const Program& program,
                                                                       const NamedValues& sample) {
  std::vector<SlotIndex> read;
  for (const Instruction& instruction : program.main.instructions) {
    if (!is_subgraph(instruction)) continue;
    for (const SlotIndex input : instruction.inputs) add_once(read, input);
  }
  std::vector<std::size_t> unused;
  const std::vector<NamedValues> results = run_samples(with_outputs(program, read, unused), {sample});
  std::map<const Instruction*, std::vector<Shape>> shapes;
  for (const Instruction& instruction : program.main.instructions) {
    if (!is_subgraph(instruction)) continue;
    for (const SlotIndex input : instruction.inputs) {
      shapes[&instruction].push_back(value_of(results.front(), read, input).tensor().shape());
    }
  }
  return shapes;
}

std::vector<Trial> make_trials(const Program& program, const std::vector<NamedValues>& samples) {
  const Block& main = program.main;
  const std::vector<Origin> origins = origins_of(main);
  std::vector<SlotIndex> compared;
  std::vector<std::size_t> by_themselves;
  for (std::size_t i = 0; i < main.instructions.size(); ++i) {
    const Instruction& instruction = main.instructions[i];
    if (!is_subgraph(instruction)) continue;
    if (origins[instruction.outputs.front()] == Origin::kSelected) {
      by_themselves.push_back(i);
    } else {
      for (const SlotIndex output : instruction.outputs) add_once(compared, output);
    }
  }
  for (const SlotIndex output : main.outputs) {
    if (origins[output] == Origin::kComputed && is_float(main.slots[output])) add_once(compared, output);
  }

  // One run gives all that is compared and all that subgraphs read that run by themselves.
  std::vector<SlotIndex> kept = compared;
  for (const std::size_t index : by_themselves) {
    for (const SlotIndex input : main.instructions[index].inputs) add_once(kept, input);
    for (const SlotIndex output : main.instructions[index].outputs) add_once(kept, output);
  }
  if (kept.empty()) return {};
  std::vector<std::size_t> unused;
  const std::vector<NamedValues> results = run_samples(with_outputs(program, kept, unused), samples);

  std::vector<Trial> trials;
  if (!compared.empty()) {
    Trial& trial = trials.emplace_back();
    trial.program = with_outputs(program, compared, trial.origin);
    trial.inputs = samples;
    for (const NamedValues& result : results) {
      trial.expected.emplace_back(result.begin(), result.begin() + std::ssize(compared));
    }
  }
  for (const std::size_t index : by_themselves) {
    Trial& trial = trials.emplace_back();
    trial.program = alone(program, index);
    trial.origin = {index};
    const Block& block = trial.program.main;
    for (const NamedValues& result : results) {
      NamedValues& inputs = trial.inputs.emplace_back();
      for (const SlotIndex input : block.inputs) {
        inputs.emplace_back(block.slots[input].name, value_of(result, kept, input));
      }
      NamedValues& expected = trial.expected.emplace_back();
      for (const SlotIndex output : block.outputs) {
        expected.emplace_back(block.slots[output].name, value_of(result, kept, output));
      }
    }
  }
  return trials;
}

NamedValues generated_sample(const Program& program) {
  NamedValues sample;
  std::mt19937 random(1);
  for (const SlotIndex input : program.main.inputs) {
    const program::Slot& slot = program.main.slots[input];
    if (std::ranges::find(program.input_defaults, input, &program::ConstantBinding::slot) !=
        program.input_defaults.end()) {
      continue;
    }
    const auto shape = slot.type.static_shape();
    if (!slot.type.is_tensor() || !shape) {
      base::invalid("input.missing", "precision 'auto' needs samples: the shape of input '{}' is not known, {}",
                    slot.name, slot.type.to_string());
    }
    Tensor tensor = Tensor::allocate(slot.type.element, *shape);
    if (slot.type.element == ElementType::kFloat32) {
      for (float& value : tensor.values<float>()) value = static_cast<float>(random() >> 8) * 0x1p-24F;
    } else if (slot.type.element != ElementType::kString && tensor.byte_count() != 0) {
      std::memset(tensor.raw_data(), 0, tensor.byte_count());
    }
    sample.emplace_back(slot.name, std::move(tensor));
  }
  return sample;
}

}  // namespace lanner::compiler
