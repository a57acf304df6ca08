#include "program/verify.h"

#include <algorithm>

#include "base/fail.h"
#include "kernels/registry.h"

namespace lanner::program {

namespace {

template <typename... Args>
[[noreturn]] void wrong(fmt::format_string<Args...> format, Args&&... args) {
  base::invalid("program.invalid", "{}", fmt::format(format, std::forward<Args>(args)...));
}

class BlockVerifier {
 public:
  BlockVerifier(const Program& program, const Block& block, std::size_t input_count, std::size_t output_count)
      : program_(program), block_(block) {
    if (block.inputs.size() != input_count) {
      wrong("a block must have {} inputs, but has {}", input_count, block.inputs.size());
    }
    if (block.outputs.size() != output_count) {
      wrong("a block must have {} outputs, but has {}", output_count, block.outputs.size());
    }
  }

  void run() {
    writer_.assign(block_.slots.size(), kUnwritten);
    for (const SlotIndex slot : block_.inputs) write(slot, kGiven);
    for (const ConstantBinding& binding : block_.constants) {
      write(binding.slot, kGiven);
      check_constant(program_, block_, binding);
    }
    for (std::uint32_t i = 0; i < block_.instructions.size(); ++i) {
      const Instruction& instruction = block_.instructions[i];
      base::with_context([&] { return fmt::format("in {} '{}'", instruction.op, instruction.name); },
                         [&] { check(instruction, i); });
    }
    for (const SlotIndex slot : block_.outputs) read(slot);
  }

  static void check_constant(const Program& program, const Block& block, const ConstantBinding& binding) {
    if (binding.constant >= program.constants.size()) {
      wrong("constant {} is out of range: the program has {}", binding.constant, program.constants.size());
    }
    const Tensor& tensor = program.constants[binding.constant];
    if (!block.slots[binding.slot].type.accepts(tensor)) {
      wrong("slot {} is {}, but its constant is {}", binding.slot, block.slots[binding.slot].type.to_string(),
            tensor.type_string());
    }
  }

 private:
  static constexpr std::uint32_t kUnwritten = kNoSlot;
  static constexpr std::uint32_t kGiven = kNoSlot - 1;  // an input or constant

  void in_range(SlotIndex slot) const {
    if (slot >= block_.slots.size()) wrong("slot {} is out of range: the block has {}", slot, block_.slots.size());
  }

  void write(SlotIndex slot, std::uint32_t writer) {
    in_range(slot);
    if (writer_[slot] != kUnwritten) wrong("slot {} is written twice", slot);
    writer_[slot] = writer;
  }

  std::uint32_t read(SlotIndex slot) const {
    in_range(slot);
    if (writer_[slot] == kUnwritten) wrong("slot {} is read before it is written", slot);
    return writer_[slot];
  }

  void check(const Instruction& instruction, std::uint32_t position) {
    const std::vector<std::uint32_t>& after = instruction.dependencies;
    if (!std::ranges::is_sorted(after)) wrong("dependencies must be in ascending order");
    if (!after.empty() && after.back() >= position) wrong("dependency {} is not an earlier instruction", after.back());
    for (const SlotIndex input : instruction.inputs) {
      if (input == kNoSlot) continue;
      const std::uint32_t writer = read(input);
      if (writer != kGiven && !std::ranges::binary_search(after, writer)) {
        wrong("it reads slot {} without depending on instruction {}, which writes it", input, writer);
      }
    }
    check_kind(instruction);
    for (const SlotIndex output : instruction.outputs) {
      if (output != kNoSlot) write(output, position);
    }
  }

  void check_blocks(const Instruction& instruction, std::initializer_list<std::string_view> keys,
                    std::size_t input_count, std::size_t output_count) const {
    if (!std::ranges::equal(instruction.blocks, keys, {}, &NamedBlock::name)) {
      wrong("it must have the blocks {}", fmt::join(keys, " and "));
    }
    for (const auto& [key, block] : instruction.blocks) {
      base::with_context([&] { return fmt::format("in block {}", key); },
                         [&] { BlockVerifier(program_, block, input_count, output_count).run(); });
    }
  }

  void check_kind(const Instruction& instruction) const {
    const std::size_t inputs = instruction.inputs.size();
    const std::size_t outputs = instruction.outputs.size();
    const std::size_t captures = instruction.capture_count;
    if (instruction.op == kIf) {
      if (inputs != 1 + captures) wrong("it must have one input and its captures, but has {} inputs", inputs);
      check_blocks(instruction, {"then_branch", "else_branch"}, captures, outputs);
    } else if (instruction.op == kLoop) {
      if (inputs < 2 + captures) wrong("it must have at least two inputs and its captures, but has {} inputs", inputs);
      const std::size_t carried = inputs - 2 - captures;
      if (outputs < carried) wrong("it must have at least {} outputs, but has {}", carried, outputs);
      check_blocks(instruction, {"body"}, inputs, outputs + 1);
    } else if (instruction.op == kScan) {
      const std::int64_t scanned = instruction.attributes.require_int("num_scan_inputs");
      if (scanned < 1 || captures > inputs || static_cast<std::uint64_t>(scanned) > inputs - captures) {
        wrong("it must have its {} scan inputs and {} captures as inputs, but has {} inputs", scanned, captures,
              inputs);
      }
      const std::size_t states = inputs - captures - static_cast<std::size_t>(scanned);
      if (outputs < states) wrong("it must have at least {} outputs, but has {}", states, outputs);
      check_blocks(instruction, {"body"}, inputs, outputs);
    } else if (instruction.op == kForEach) {
      check_for_each(instruction);
    } else if (instruction.op == kSubgraph) {
      if (std::ranges::find(instruction.inputs, kNoSlot) != instruction.inputs.end() ||
          std::ranges::find(instruction.outputs, kNoSlot) != instruction.outputs.end()) {
        wrong("a subgraph has no optional inputs or outputs");
      }
      check_blocks(instruction, {"body"}, inputs, outputs);
    } else {
      if (kernels::find_operator(instruction.op) == nullptr) wrong("operator {} has no kernel", instruction.op);
      if (!instruction.blocks.empty()) wrong("operator {} takes no blocks", instruction.op);
    }
  }

  void check_for_each(const Instruction& instruction) const {
    const std::size_t inputs = instruction.inputs.size();
    const std::size_t captures = instruction.capture_count;
    const std::int64_t count = instruction.attributes.require_int("count");
    if (captures > inputs) wrong("it must have its {} captures as inputs, but has {} inputs", captures, inputs);
    const std::size_t items = inputs - captures;
    // At least one list bounds the number of iterations by the size of the program.
    if (count < 1 || items == 0 || items % static_cast<std::size_t>(count) != 0) {
      wrong("it must have lists of {} items, one for each iteration, but has {} items", count, items);
    }
    const std::size_t axes = instruction.attributes.get_ints("axes").size();
    if (axes != instruction.outputs.size()) {
      wrong("it must have an axis for each of its {} outputs, but has {}", instruction.outputs.size(), axes);
    }
    check_blocks(instruction, {"body"}, items / static_cast<std::size_t>(count) + captures, axes);
  }

  const Program& program_;
  const Block& block_;
  std::vector<std::uint32_t> writer_;  // per slot: the instruction that writes it
};

}  // namespace

void verify(const Program& program) {
  BlockVerifier(program, program.main, program.main.inputs.size(), program.main.outputs.size()).run();
  if (program.output_names.size() != program.main.outputs.size()) {
    wrong("the program names {} outputs, but has {}", program.output_names.size(), program.main.outputs.size());
  }
  for (const ConstantBinding& binding : program.input_defaults) {
    if (std::ranges::find(program.main.inputs, binding.slot) == program.main.inputs.end()) {
      wrong("a default is given for slot {}, which is no input", binding.slot);
    }
    BlockVerifier::check_constant(program, program.main, binding);
  }
}

}  // namespace lanner::program
