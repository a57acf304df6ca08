#include "vm/executable.h"

#include <algorithm>

#include "base/fail.h"
#include "kernels/registry.h"

namespace lanner::vm {

namespace {

using program::Instruction;

// "Conv×21", in the order of first appearance.
std::string shown_operator(const Instruction& instruction) {
  if (instruction.op != program::kSubgraph) {
    return instruction.stands_for.empty() ? instruction.op : program::joined_operators(instruction.stands_for);
  }
  std::vector<std::string> names;
  for (const Instruction& inner : instruction.blocks.front().block.instructions) {
    if (inner.stands_for.empty())
      names.push_back(inner.op);
    else
      names.insert(names.end(), inner.stands_for.begin(), inner.stands_for.end());
  }
  return fmt::format("Subgraph[{}]", program::joined_operators(names));
}

Step::Kind kind_of(std::string_view op) {
  if (op == program::kIf) return Step::Kind::kIf;
  if (op == program::kLoop) return Step::Kind::kLoop;
  if (op == program::kScan) return Step::Kind::kScan;
  if (op == program::kForEach) return Step::Kind::kForEach;
  return Step::Kind::kKernel;
}

void add_joins(Step& step) {
  const tensor::Attributes& attributes = step.instruction->attributes;
  step.iteration_count = static_cast<std::size_t>(attributes.require_int("count"));
  for (const std::int64_t axis : attributes.get_ints("axes")) {
    tensor::Attributes join;
    join.set("axis", axis);
    step.joins.push_back(kernels::find_operator("Concat")->make({join, static_cast<int>(step.iteration_count), 1}));
  }
}

std::vector<ScanAxes::Axis> scan_axes(const tensor::Attributes& attributes, std::string_view which, std::size_t count) {
  const std::vector<std::int64_t> axes = attributes.get_ints(fmt::format("scan_{}_axes", which));
  const std::vector<std::int64_t> directions = attributes.get_ints(fmt::format("scan_{}_directions", which));
  for (const auto* list : {&axes, &directions}) {
    if (!list->empty() && list->size() != count) {
      base::invalid("op.attribute", "axes and directions must be given for all of {} scan {}s, but are for {}", count,
                    which, list->size());
    }
  }
  std::vector<ScanAxes::Axis> result(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (!axes.empty()) result[i].axis = axes[i];
    if (!directions.empty()) result[i].reverse = directions[i] != 0;
  }
  return result;
}

// verify() has checked the numbers of inputs and outputs.
ScanAxes scan_axes(const Instruction& instruction) {
  const auto inputs = static_cast<std::size_t>(instruction.attributes.require_int("num_scan_inputs"));
  const std::size_t states = instruction.inputs.size() - instruction.capture_count - inputs;
  return {scan_axes(instruction.attributes, "input", inputs),
          scan_axes(instruction.attributes, "output", instruction.outputs.size() - states)};
}

// `constants` are those of the block by slot, null for other slots.
Step make_step(const program::Program& program, const Instruction& instruction,
               const std::vector<const Tensor*>& constants, const backends::BuildOptions& options) {
  Step step;
  step.instruction = &instruction;
  step.label = {shown_operator(instruction), instruction.name, instruction.backend};
  if (instruction.op == program::kSubgraph) {
    step.kind = Step::Kind::kSubgraph;
    step.label.subgraph = true;
    const backends::Backend* backend = backends::find_backend(instruction.backend);
    if (backend == nullptr) {
      base::fail(ErrorCode::kFailedPrecondition, "program.backend", "this build has no backend '{}'",
                 instruction.backend);
    }
    backends::BuildOptions build = options;
    build.tuned_for = instruction.attributes.get_string(backends::kTunedForAttribute, "");
    step.subgraph = backend->build(instruction.blocks.front().block, program.constants, build);
  } else if (const Step::Kind kind = kind_of(instruction.op); kind != Step::Kind::kKernel) {
    step.kind = kind;
    for (const auto& [key, block] : instruction.blocks) step.blocks.push_back(make_ready(program, block, options));
    if (kind == Step::Kind::kScan) step.scan = scan_axes(instruction);
    if (kind == Step::Kind::kForEach) {
      step.label.region = true;
      add_joins(step);
    }
  } else {
    const kernels::OperatorRow* row = kernels::find_operator(instruction.op);
    step.reuses_input = row->aliasing == kernels::Aliasing::kReuse;
    std::vector<const Tensor*> known;
    for (const program::SlotIndex slot : instruction.inputs) {
      known.push_back(slot == program::kNoSlot ? nullptr : constants[slot]);
    }
    step.kernel = row->make({instruction.attributes, static_cast<int>(instruction.inputs.size()),
                             static_cast<int>(instruction.outputs.size()), known});
  }
  return step;
}

// Points labels at each other, once they are where they stay.
void link_labels(ReadyBlock& ready) {
  for (Step& step : ready.steps) {
    for (const std::uint32_t index : step.instruction->dependencies) {
      step.label.dependencies.push_back(&ready.steps[index].label);
    }
    for (ReadyBlock& block : step.blocks) {
      for (Step& inner : block.steps) inner.label.parent = &step.label;
    }
  }
}

}  // namespace

ReadyBlock make_ready(const program::Program& program, const program::Block& block,
                      const backends::BuildOptions& options) {
  ReadyBlock ready;
  ready.block = &block;
  ready.serial = std::make_shared<const Layout>(block, serial_schedule(block));
  ready.steps.reserve(block.instructions.size());
  std::vector<const Tensor*> constants(block.slots.size());
  for (const program::ConstantBinding& binding : block.constants) {
    constants[binding.slot] = &program.constants[binding.constant];
  }
  for (const Instruction& instruction : block.instructions) {
    ready.steps.push_back(
        base::with_context([&] { return fmt::format("in {} '{}'", instruction.op, instruction.name); },
                           [&] { return make_step(program, instruction, constants, options); }));
  }
  link_labels(ready);
  return ready;
}

}  // namespace lanner::vm
