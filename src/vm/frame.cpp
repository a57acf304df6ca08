#include "vm/frame.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/clock.h"
#include "base/fail.h"
#include "vm/lanes.h"

namespace lanner::vm {

namespace {

using program::Instruction;
using program::kNoSlot;
using program::SlotIndex;

// Hands a kernel the planned place of an output when it fits, and pooled memory otherwise.
class StepOutputs final : public kernels::OutputMemory {
 public:
  StepOutputs(const Instruction& instruction, const MemoryPlan& plan, void* arena, void* lane_arena, Allocator& pool)
      : instruction_(instruction), plan_(plan), arena_(arena), lane_arena_(lane_arena), pool_(pool) {}

  Tensor allocate(int index, ElementType type, const Shape& shape) override {
    const MemoryPlan::Place& place = plan_.slots[instruction_.outputs[static_cast<std::size_t>(index)]];
    if (place.offset != kNotPlanned && type != ElementType::kString) {
      auto* const arena = static_cast<std::byte*>(place.of_lane ? lane_arena_ : arena_);
      Tensor planned = Tensor::wrap(type, shape, arena + place.offset);
      if (planned.byte_count() <= place.byte_count) return planned;
    }
    return Tensor::allocate(type, shape, pool_);
  }

 private:
  const Instruction& instruction_;
  const MemoryPlan& plan_;
  void* arena_;
  void* lane_arena_;
  Allocator& pool_;
};

// A scalar (or one-element) condition or trip count.
template <typename T>
T scalar(const Value& value, std::string_view what) {
  if (!value.is_tensor() || value.tensor().element_type() != element_type_of<T>() ||
      value.tensor().element_count() != 1) {
    base::invalid("op.type", "{} must be one element of type {}", what, element_type_name(element_type_of<T>()));
  }
  return *value.tensor().data<T>();
}

// One tensor per iteration, stacked along a new first axis.
Tensor stack(const std::vector<Value>& items, const tensor::ValueType& declared, Allocator& pool) {
  if (items.empty()) {
    // No iteration tells the shape: the declared one, unknown dimensions taken as 0.
    Shape shape{0};
    if (declared.ranked) {
      for (std::size_t i = 1; i < declared.dims.size(); ++i)
        shape.push_back(std::max<std::int64_t>(declared.dims[i].size, 0));
    }
    const ElementType element = declared.element == ElementType::kUndefined ? ElementType::kFloat32 : declared.element;
    return Tensor::allocate(element, shape, pool);
  }
  const auto tensor_of = [](const Value& item) -> const Tensor& {
    if (!item.is_tensor()) base::invalid("op.type", "a scan output must be a tensor in every iteration");
    return item.tensor();
  };
  const Tensor& first = tensor_of(items.front());
  Shape shape{static_cast<std::int64_t>(items.size())};
  for (const std::int64_t dim : first.shape()) shape.push_back(dim);
  Tensor result = Tensor::allocate(first.element_type(), shape, pool);
  const auto row_count = static_cast<std::size_t>(first.element_count());
  for (std::size_t i = 0; i < items.size(); ++i) {
    const Tensor& item = tensor_of(items[i]);
    if (item.element_type() != first.element_type() || !(item.shape() == first.shape())) {
      base::invalid("op.shape", "a scan output must have one shape in all iterations, but has {} and {}",
                    first.type_string(), item.type_string());
    }
    if (first.element_type() == ElementType::kString) {
      std::ranges::copy(item.values<std::string>(), result.data<std::string>() + i * row_count);
    } else if (const std::size_t bytes = item.byte_count(); bytes != 0) {
      std::memcpy(static_cast<std::byte*>(result.raw_data()) + i * bytes, item.raw_data(), bytes);
    }
  }
  return result;
}

// For the blocks inside a block.
RunEnvironment inside(RunEnvironment environment) {
  environment.durations_ns = nullptr;
  return environment;
}

// Whether nobody, the instruction's own other inputs included, needs its first input's value after it.
bool reads_first_input_last(const Instruction& instruction, std::span<const SlotIndex> last_uses) {
  return !instruction.inputs.empty() && std::ranges::count(instruction.inputs, instruction.inputs[0]) == 1 &&
         std::ranges::find(last_uses, instruction.inputs[0]) != last_uses.end();
}

}  // namespace

Frame::Frame(const ReadyBlock& ready, std::span<const Tensor> constants, std::shared_ptr<const Layout> layout)
    : ready_(&ready),
      slots_(ready.block->slots.size()),
      is_constant_(slots_.size(), 0),
      layout_(layout != nullptr ? std::move(layout) : ready.serial) {
  for (const program::ConstantBinding& binding : ready.block->constants) {
    slots_[binding.slot] = constants[binding.constant];
    is_constant_[binding.slot] = 1;
  }
  steps_.reserve(ready.steps.size());
  for (const Step& step : ready.steps) {
    StepSlots slots;
    for (const SlotIndex slot : step.instruction->inputs) {
      slots.inputs.push_back(slot == kNoSlot ? nullptr : &slots_[slot]);
    }
    for (const SlotIndex slot : step.instruction->outputs) {
      slots.outputs.push_back(slot == kNoSlot ? nullptr : &slots_[slot]);
    }
    slots.may_reuse_input =
        step.reuses_input && reads_first_input_last(*step.instruction, layout_->plan.last_uses[steps_.size()]);
    for (const ReadyBlock& block : step.blocks) slots.frames.emplace_back(block, constants);
    steps_.push_back(std::move(slots));
  }
  const MemoryPlan& plan = layout_->plan;
  if (plan.arena_bytes != 0) arena_ = heap_allocator().allocate(plan.arena_bytes);
  if (plan.lane_arena_bytes != 0) {
    for (int lane = 0; lane < layout_->schedule.lanes; ++lane) {
      lane_arenas_.push_back(heap_allocator().allocate(plan.lane_arena_bytes));
    }
  }
}

std::vector<Value> Frame::run(std::span<const Value> inputs, const RunEnvironment& environment) {
  const std::vector<SlotIndex>& targets = ready_->block->inputs;
  for (std::size_t i = 0; i < targets.size(); ++i) slots_[targets[i]] = inputs[i];
  try {
    for (std::size_t i = 0; i < layout_->schedule.stages.size(); ++i) run_stage(i, environment);
  } catch (...) {
    clear();
    throw;
  }
  return take_outputs(environment.pool);
}

std::size_t Frame::arena_bytes() const {
  std::size_t bytes = layout_->plan.arena_bytes + lane_arenas_.size() * layout_->plan.lane_arena_bytes;
  for (const StepSlots& slots : steps_) {
    for (const Frame& frame : slots.frames) bytes += frame.arena_bytes();
  }
  return bytes;
}

void Frame::run_stage(std::size_t index, const RunEnvironment& environment) {
  const Stage& stage = layout_->schedule.stages[index];
  if (stage.tasks.size() == 1) {
    for (const std::uint32_t i : stage.tasks[0].instructions) run_step(i, environment);
    return;
  }
  vm::run_stage(stage, layout_->schedule.lanes, environment.seed, [&](const Task& task, int lane) {
    RunEnvironment narrow = environment;
    narrow.threads = 1;
    narrow.lane = lane;
    narrow.wide = false;
    for (const std::uint32_t i : task.instructions) run_step(i, narrow);
  });
  for (const SlotIndex slot : layout_->plan.stage_last_uses[index]) slots_[slot].reset();
}

void Frame::run_step(std::size_t index, const RunEnvironment& environment) {
  const Step& step = ready_->steps[index];
  StepSlots& slots = steps_[index];
  const bool timed = environment.recorder != nullptr || environment.durations_ns != nullptr;
  const std::int64_t start_ns = timed ? base::now_ns() : 0;
  try {
    if (step.kind == Step::Kind::kIf) {
      run_if(step, slots, inside(environment));
    } else if (step.kind == Step::Kind::kLoop) {
      run_loop(step, slots, inside(environment));
    } else {
      // A block inside runs serially, on whatever lane, and has no lane arenas.
      void* const lane_arena =
          lane_arenas_.empty() ? nullptr : lane_arenas_[static_cast<std::size_t>(environment.lane)].get();
      StepOutputs memory(*step.instruction, layout_->plan, arena_.get(), lane_arena, environment.pool);
      kernels::KernelContext context(slots.inputs, slots.outputs, memory, environment.scratch, environment.threads);
      if (slots.may_reuse_input) context.allow_reuse();
      if (step.kind == Step::Kind::kKernel)
        step.kernel->run(context);
      else
        step.subgraph->run(context, environment.recorder);
    }
  } catch (Error& error) {
    error.add_context(fmt::format("in {} '{}'", step.label.op, step.instruction->name));
    throw;
  }
  if (timed) {
    const std::int64_t end_ns = base::now_ns();
    if (environment.recorder != nullptr)
      environment.recorder->record(step.label, start_ns, end_ns, environment.lane, environment.wide);
    if (environment.durations_ns != nullptr) (*environment.durations_ns)[index] = end_ns - start_ns;
  }
  for (const SlotIndex slot : layout_->plan.last_uses[index]) slots_[slot].reset();
}

void Frame::run_if(const Step& step, StepSlots& slots, const RunEnvironment& environment) {
  if (slots.inputs[0] == nullptr) base::invalid("op.input", "the condition is required, but absent");
  Frame& branch = slots.frames[scalar<bool>(*slots.inputs[0], "the condition") ? 0 : 1];
  std::vector<Value> captures;
  for (std::size_t i = 1; i < slots.inputs.size(); ++i) {
    captures.push_back(slots.inputs[i] != nullptr ? *slots.inputs[i] : Value());
  }
  std::vector<Value> results = branch.run(captures, environment);
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (slots.outputs[i] != nullptr) *slots.outputs[i] = std::move(results[i]);
  }
}

// ONNX Loop: body(iteration, condition, carried..., captures...) -> (condition, carried..., scan outputs...).
void Frame::run_loop(const Step& step, StepSlots& slots, const RunEnvironment& environment) {
  const std::size_t capture_count = step.instruction->capture_count;
  const std::size_t carried_count = slots.inputs.size() - 2 - capture_count;
  const std::size_t scan_count = slots.outputs.size() - carried_count;
  const auto given = [&](std::size_t i) { return slots.inputs[i] != nullptr && !slots.inputs[i]->is_none(); };
  const std::int64_t trip_count =
      given(0) ? scalar<std::int64_t>(*slots.inputs[0], "the trip count") : std::numeric_limits<std::int64_t>::max();
  bool condition = given(1) ? scalar<bool>(*slots.inputs[1], "the condition") : true;

  std::vector<Value> arguments(slots.inputs.size());
  for (std::size_t i = 2; i < arguments.size(); ++i) {
    if (slots.inputs[i] != nullptr) arguments[i] = *slots.inputs[i];
  }
  std::vector<std::vector<Value>> scanned(scan_count);
  for (std::int64_t iteration = 0; iteration < trip_count && condition; ++iteration) {
    arguments[0] = Tensor::scalar<std::int64_t>(iteration);
    arguments[1] = Tensor::scalar<bool>(condition);
    std::vector<Value> results = slots.frames[0].run(arguments, environment);
    condition = scalar<bool>(results[0], "the body's condition");
    for (std::size_t i = 0; i < carried_count; ++i) arguments[2 + i] = std::move(results[1 + i]);
    for (std::size_t i = 0; i < scan_count; ++i) scanned[i].push_back(std::move(results[1 + carried_count + i]));
  }
  for (std::size_t i = 0; i < slots.outputs.size(); ++i) {
    if (slots.outputs[i] == nullptr) continue;
    if (i < carried_count) {
      // With no iteration a carried value is the initial one, which may lie in this frame's arena like its source.
      *slots.outputs[i] = std::move(arguments[2 + i]);
      if (slots.outputs[i]->is_tensor() && slots.outputs[i]->tensor().owner() == nullptr) {
        *slots.outputs[i] = slots.outputs[i]->tensor().clone(environment.pool);
      }
    } else {
      const SlotIndex slot = step.instruction->outputs[i];
      *slots.outputs[i] = stack(scanned[i - carried_count], ready_->block->slots[slot].type, environment.pool);
    }
  }
}

std::vector<Value> Frame::take_outputs(Allocator& pool) {
  std::vector<Value> results;
  results.reserve(ready_->block->outputs.size());
  for (const SlotIndex slot : ready_->block->outputs) results.push_back(slots_[slot]);
  clear();
  for (Value& result : results) {
    // Memory that this block's arena, a constant, an input or another output also holds is copied: what leaves a block
    // belongs to the receiver alone.
    if (result.is_tensor() && result.tensor().owner().use_count() != 1) result = result.tensor().clone(pool);
  }
  return results;
}

void Frame::clear() {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (is_constant_[i] == 0) slots_[i].reset();
  }
}

}  // namespace lanner::vm
