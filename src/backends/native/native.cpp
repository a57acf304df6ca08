// The native backend: a block's instructions one after another on the CPU kernels. It takes every block whose operators
// have kernels, and is what other backends are checked against.
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "backends/backend.h"
#include "base/clock.h"
#include "base/fail.h"
#include "kernels/registry.h"

namespace lanner::backends {

const Backend& native_backend();

namespace {

using program::Instruction;
using program::kNoSlot;
using program::SlotIndex;

struct Step {
  const Instruction* instruction;
  std::unique_ptr<kernels::Kernel> kernel;
  std::vector<SlotIndex> dying;  // slots that no later step reads and the block does not return
  profile::Label label;
};

// Where the steps of one run put their outputs: what the block returns goes where the caller wants it, everything else
// into memory of the caller's allocator.
class RunMemory final : public kernels::OutputMemory, public Allocator {
 public:
  RunMemory(kernels::KernelContext& context, const std::vector<int>& block_output)
      : context_(context), block_output_(block_output), returned_(static_cast<std::size_t>(context.output_count())) {}

  void begin(const Instruction& instruction) { instruction_ = &instruction; }

  Tensor allocate(int index, ElementType type, const Shape& shape) override {
    const int output = block_output_[instruction_->outputs[static_cast<std::size_t>(index)]];
    if (output < 0 || !context_.wants_output(output)) return context_.allocate_scratch(type, shape);
    const Tensor& tensor = context_.allocate_output(output, type, shape);
    returned_[static_cast<std::size_t>(output)] = tensor.raw_data();
    return tensor;
  }

  std::shared_ptr<void> allocate(std::size_t byte_count) override {
    return context_.allocate_scratch(ElementType::kUint8, {static_cast<std::int64_t>(byte_count)}).owner();
  }

  // Makes `value` output `output` of the block, unless it was written there in the first place.
  void give(int output, const Value& value) {
    if (!context_.wants_output(output)) return;
    if (!value.is_tensor()) {
      context_.set_output(output, value);
      return;
    }
    const Tensor& tensor = value.tensor();
    if (returned_[static_cast<std::size_t>(output)] != nullptr &&
        returned_[static_cast<std::size_t>(output)] == tensor.raw_data()) {
      context_.set_output(output, value);
      return;
    }
    // A view of an input or of another value, whose memory may be used again once the subgraph has run.
    Tensor& copy = context_.allocate_output(output, tensor.element_type(), tensor.shape());
    if (tensor.element_type() == ElementType::kString) {
      std::ranges::copy(tensor.values<std::string>(), copy.data<std::string>());
    } else if (tensor.byte_count() != 0) {
      std::memcpy(copy.raw_data(), tensor.raw_data(), tensor.byte_count());
    }
  }

 private:
  kernels::KernelContext& context_;
  const std::vector<int>& block_output_;
  std::vector<const void*> returned_;
  const Instruction* instruction_ = nullptr;
};

class NativeSubgraph final : public CompiledSubgraph {
 public:
  NativeSubgraph(const program::Block& block, std::span<const Tensor> constants) : block_(block) {
    initial_.resize(block.slots.size());
    for (const auto& binding : block.constants) initial_[binding.slot] = constants[binding.constant];
    block_output_.assign(block.slots.size(), -1);
    for (std::size_t i = 0; i < block.outputs.size(); ++i) block_output_[block.outputs[i]] = static_cast<int>(i);
    for (const Instruction& instruction : block.instructions) add_step(instruction);
    std::vector<char> needed(block.slots.size(), 0);
    for (const SlotIndex slot : block.outputs) needed[slot] = 1;
    for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) {
      for (const auto* slots : {&step->instruction->inputs, &step->instruction->outputs}) {
        for (const SlotIndex slot : *slots) {
          if (slot == kNoSlot || needed[slot] != 0) continue;
          needed[slot] = 1;
          step->dying.push_back(slot);
        }
      }
    }
  }

  void run(kernels::KernelContext& context, profile::Recorder* recorder) const override {
    std::vector<Value> slots = initial_;
    for (std::size_t i = 0; i < block_.inputs.size(); ++i) {
      if (context.has_input(static_cast<int>(i))) slots[block_.inputs[i]] = context.input_value(static_cast<int>(i));
    }
    RunMemory memory(context, block_output_);
    std::vector<const Value*> inputs;
    std::vector<Value*> outputs;
    for (const Step& step : steps_) {
      inputs.clear();
      outputs.clear();
      for (const SlotIndex slot : step.instruction->inputs) inputs.push_back(slot == kNoSlot ? nullptr : &slots[slot]);
      for (const SlotIndex slot : step.instruction->outputs) {
        outputs.push_back(slot == kNoSlot ? nullptr : &slots[slot]);
      }
      memory.begin(*step.instruction);
      kernels::KernelContext step_context(inputs, outputs, memory, memory, context.threads());
      const std::int64_t start = recorder != nullptr ? base::now_ns() : 0;
      base::with_context([&] { return fmt::format("in {} '{}'", step.instruction->op, step.instruction->name); },
                         [&] { step.kernel->run(step_context); });
      if (recorder != nullptr) recorder->record(step.label, start, base::now_ns());
      for (const SlotIndex slot : step.dying) slots[slot].reset();
    }
    for (std::size_t i = 0; i < block_.outputs.size(); ++i) memory.give(static_cast<int>(i), slots[block_.outputs[i]]);
  }

 private:
  void add_step(const Instruction& instruction) {
    const kernels::OperatorRow* row = kernels::find_operator(instruction.op);
    if (row == nullptr) base::fail(ErrorCode::kUnimplemented, "op.unsupported", "{} has no kernel", instruction.op);
    const kernels::KernelInfo info{instruction.attributes, static_cast<int>(instruction.inputs.size()),
                                   static_cast<int>(instruction.outputs.size())};
    steps_.push_back({&instruction, row->make(info), {}, {instruction.op, instruction.name, "native", true}});
  }

  const program::Block& block_;
  std::vector<Value> initial_;     // constants in their slots
  std::vector<int> block_output_;  // of each slot: its position among the block's outputs, or -1
  std::vector<Step> steps_;
};

class NativeBackend final : public Backend {
 public:
  std::string_view name() const override { return "native"; }
  std::unique_ptr<CompiledSubgraph> build(const program::Block& block, std::span<const Tensor> constants,
                                          const BuildOptions&) const override {
    return std::make_unique<NativeSubgraph>(block, constants);
  }
};

}  // namespace

const Backend& native_backend() {
  static const NativeBackend backend;
  return backend;
}

}  // namespace lanner::backends
