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

// After so many runs a frame first looks at how large values have become, and then after so many times as many.
constexpr std::uint64_t kFirstLearning = 2;
constexpr std::uint64_t kLearningStep = 8;
// Larger values are worth the pool's trouble.
constexpr std::size_t kMostLearnedBytes = 64 * 1024;

// For the blocks inside a block.
RunEnvironment inside(RunEnvironment environment) {
  environment.durations_ns = nullptr;
  return environment;
}

// For what one lane runs while others run something else.
RunEnvironment on_lane(RunEnvironment environment, int lane) {
  environment.threads = 1;
  environment.lane = lane;
  environment.wide = false;
  environment.lanes = 1;
  return environment;
}

// The value without a share in its owner, for those who return it before the owner goes: counting shares is what lanes
// that read the same values would wait for each other with.
Value lent(const Value& value) {
  if (!value.is_tensor() || value.tensor().element_type() == ElementType::kString) return value;
  const Tensor& tensor = value.tensor();
  return Tensor::wrap(tensor.element_type(), tensor.shape(), const_cast<void*>(tensor.raw_data()));
}

// Whether nobody, the instruction's own other inputs included, needs its first input's value after it.
bool reads_first_input_last(const Instruction& instruction, std::span<const SlotIndex> last_uses) {
  return !instruction.inputs.empty() && std::ranges::count(instruction.inputs, instruction.inputs[0]) == 1 &&
         std::ranges::find(last_uses, instruction.inputs[0]) != last_uses.end();
}

}  // namespace

// Hands a kernel that makes an action's outputs, from `first` on, the planned place of an output when it fits, and
// pooled memory otherwise.
class Frame::Outputs final : public kernels::OutputMemory {
 public:
  Outputs(Frame& frame, const Action& action, const RunEnvironment& environment, std::size_t first = 0)
      : frame_(frame), first_place_(action.first_place + first), environment_(environment) {}

  Tensor allocate(int index, ElementType type, const Shape& shape) override {
    const std::size_t output = first_place_ + static_cast<std::size_t>(index);
    const MemoryPlan::Place& place = frame_.places_[output];
    if (place.offset != kNotPlanned && type != ElementType::kString) {
      void* const arena =
          place.of_lane ? frame_.lane_arenas_[static_cast<std::size_t>(environment_.lane)].get() : frame_.arena_.get();
      Tensor planned = Tensor::wrap(type, shape, static_cast<std::byte*>(arena) + place.offset);
      if (planned.byte_count() <= place.byte_count) return planned;
    }
    Tensor pooled = Tensor::allocate(type, shape, environment_.pool);
    std::size_t& needed = frame_.needed_bytes_[output];
    needed = std::max(needed, pooled.byte_count());
    return pooled;
  }

 private:
  Frame& frame_;
  std::size_t first_place_;
  const RunEnvironment& environment_;
};

Frame::Frame(const ReadyBlock& ready, std::span<const Tensor> constants, std::shared_ptr<const Layout> layout)
    : ready_(&ready),
      constants_(constants),
      slots_(ready.block->slots.size()),
      is_constant_(slots_.size(), 0),
      is_input_(slots_.size(), 0),
      layout_(layout != nullptr ? std::move(layout) : ready.serial),
      next_learning_(kFirstLearning) {
  for (const program::ConstantBinding& binding : ready.block->constants) {
    slots_[binding.slot] = constants[binding.constant];
    is_constant_[binding.slot] = 1;
  }
  for (const SlotIndex slot : ready.block->inputs) is_input_[slot] = 1;
  for (const Stage& stage : layout_->schedule.stages) {
    std::vector<std::uint32_t>& starts = task_starts_.emplace_back();
    for (const Task& task : stage.tasks) {
      starts.push_back(static_cast<std::uint32_t>(actions_.size()));
      for (const std::uint32_t i : task.instructions) {
        add_action(i);
        if (ready.steps[i].kind == Step::Kind::kForEach) {
          add_region(ready.steps[i]);
          continue;
        }
        for (const ReadyBlock& block : ready.steps[i].blocks) frames_.emplace_back(block, constants);
      }
    }
    starts.push_back(static_cast<std::uint32_t>(actions_.size()));
  }
  take_memory();
}

void Frame::add_action(std::uint32_t instruction) {
  const Step& step = ready_->steps[instruction];
  const std::vector<SlotIndex>& released = layout_->plan.last_uses[instruction];
  const auto size = [](const auto& list) { return static_cast<std::uint32_t>(list.size()); };
  actions_.push_back({
      .step = &step,
      .kernel = step.kernel.get(),
      .instruction = instruction,
      .first_pointer = size(pointers_),
      .first_place = size(needed_bytes_),
      .input_count = size(step.instruction->inputs),
      .output_count = size(step.instruction->outputs),
      .release_count = size(released),
      .first_frame = step.kind == Step::Kind::kForEach ? size(regions_) : size(frames_),
      .may_reuse_input = step.reuses_input && reads_first_input_last(*step.instruction, released),
      .narrow = !layout_->schedule.narrow.empty() && layout_->schedule.narrow[instruction] != 0,
  });
  for (const auto* list : {&step.instruction->inputs, &step.instruction->outputs, &released}) {
    for (const SlotIndex slot : *list) pointers_.push_back(slot == kNoSlot ? nullptr : &slots_[slot]);
  }
  needed_bytes_.resize(needed_bytes_.size() + step.instruction->outputs.size(), 0);
}

// What the layout's plan says.
void Frame::take_memory() {
  const MemoryPlan& plan = layout_->plan;
  places_.clear();
  for (const Action& action : actions_) {
    for (const SlotIndex slot : action.step->instruction->outputs) {
      places_.push_back(slot == kNoSlot ? MemoryPlan::Place{} : plan.slots[slot]);
    }
  }
  arena_.reset();
  lane_arenas_.clear();
  if (plan.arena_bytes != 0) arena_ = heap_allocator().allocate(plan.arena_bytes);
  if (plan.lane_arena_bytes != 0) {
    for (int lane = 0; lane < layout_->schedule.lanes; ++lane) {
      lane_arenas_.push_back(heap_allocator().allocate(plan.lane_arena_bytes));
    }
  }
}

// Gives values of unknown size places as large as they have needed so far, and half as much again.
void Frame::learn_sizes() {
  next_learning_ *= kLearningStep;
  LearnedSizes sizes = layout_->learned;
  sizes.resize(slots_.size(), 0);
  bool grown = false;
  for (const Action& action : actions_) {
    const std::vector<SlotIndex>& outputs = action.step->instruction->outputs;
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const std::size_t needed = needed_bytes_[action.first_place + i];
      if (needed == 0 || needed > kMostLearnedBytes || needed <= sizes[outputs[i]]) continue;
      sizes[outputs[i]] = needed + needed / 2;
      grown = true;
    }
  }
  if (!grown) return;
  layout_ = std::make_shared<const Layout>(*ready_->block, layout_->schedule, std::move(sizes));
  take_memory();
}

std::vector<Value> Frame::run(std::span<const Value> inputs, const RunEnvironment& environment) {
  for (std::size_t i = 0; i < inputs.size(); ++i) set_input(i, inputs[i]);
  std::vector<Value> results(ready_->block->outputs.size());
  std::vector<Value*> places;
  for (Value& result : results) places.push_back(&result);
  try {
    run_again(environment, places);
  } catch (...) {
    clear();
    throw;
  }
  clear();
  return results;
}

void Frame::run_again(const RunEnvironment& environment, std::span<Value* const> outputs) {
  if (runs_++ == next_learning_) learn_sizes();
  for (std::size_t i = 0; i < task_starts_.size(); ++i) run_stage(i, environment);
  take_outputs(environment.pool, outputs);
}

std::size_t Frame::arena_bytes() const {
  std::size_t bytes = layout_->plan.arena_bytes + lane_arenas_.size() * layout_->plan.lane_arena_bytes;
  for (const Frame& frame : frames_) bytes += frame.arena_bytes();
  for (const Region& region : regions_) {
    for (const Frame& frame : region.frames) bytes += frame.arena_bytes();
  }
  return bytes;
}

void Frame::run_stage(std::size_t index, const RunEnvironment& environment) {
  const Stage& stage = layout_->schedule.stages[index];
  const std::vector<std::uint32_t>& starts = task_starts_[index];
  const auto run_task = [&](std::size_t task, const RunEnvironment& of_task) {
    for (std::uint32_t i = starts[task]; i < starts[task + 1]; ++i) run_action(actions_[i], of_task);
  };
  if (stage.tasks.size() == 1) return run_task(0, environment);
  vm::run_stage(stage, layout_->schedule.lanes, environment.seed, [&](const Task& task, int lane) {
    run_task(static_cast<std::size_t>(&task - stage.tasks.data()), on_lane(environment, lane));
  });
  for (const SlotIndex slot : layout_->plan.stage_last_uses[index]) slots_[slot].reset();
}

void Frame::run_action(const Action& action, const RunEnvironment& environment) {
  const bool timed = environment.recorder != nullptr || environment.durations_ns != nullptr;
  const std::int64_t start_ns = timed ? base::now_ns() : 0;
  try {
    if (action.step->kind == Step::Kind::kIf) {
      run_if(action, inside(environment));
    } else if (action.step->kind == Step::Kind::kLoop) {
      run_loop(action, inside(environment));
    } else if (action.step->kind == Step::Kind::kForEach) {
      run_for_each(action, inside(action.narrow ? on_lane(environment, environment.lane) : environment));
    } else {
      Outputs memory(*this, action, environment);
      kernels::KernelContext context(inputs_of(action), outputs_of(action), memory, environment.scratch,
                                     action.narrow ? 1 : environment.threads);
      if (action.may_reuse_input) context.allow_reuse();
      if (action.kernel != nullptr)
        action.kernel->run(context);
      else
        action.step->subgraph->run(context, environment.recorder);
    }
  } catch (Error& error) {
    error.add_context(fmt::format("in {} '{}'", action.step->label.op, action.step->instruction->name));
    throw;
  }
  if (timed) {
    const std::int64_t end_ns = base::now_ns();
    if (environment.recorder != nullptr)
      environment.recorder->record(action.step->label, start_ns, end_ns, environment.lane,
                                   environment.wide && !action.narrow);
    if (environment.durations_ns != nullptr) (*environment.durations_ns)[action.instruction] = end_ns - start_ns;
  }
  for (Value* value : released_by(action)) value->reset();
}

void Frame::run_if(const Action& action, const RunEnvironment& environment) {
  const auto inputs = inputs_of(action);
  const auto outputs = outputs_of(action);
  if (inputs[0] == nullptr) base::invalid("op.input", "the condition is required, but absent");
  Frame& branch = frames_[action.first_frame + (scalar<bool>(*inputs[0], "the condition") ? 0 : 1)];
  std::vector<Value> captures;
  for (const Value* input : inputs.subspan(1)) captures.push_back(input != nullptr ? *input : Value());
  std::vector<Value> results = branch.run(captures, environment);
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (outputs[i] != nullptr) *outputs[i] = std::move(results[i]);
  }
}

// ONNX Loop: body(iteration, condition, carried..., captures...) -> (condition, carried..., scan outputs...).
void Frame::run_loop(const Action& action, const RunEnvironment& environment) {
  const Step& step = *action.step;
  const auto inputs = inputs_of(action);
  const auto outputs = outputs_of(action);
  const std::size_t capture_count = step.instruction->capture_count;
  const std::size_t carried_count = inputs.size() - 2 - capture_count;
  const std::size_t scan_count = outputs.size() - carried_count;
  const auto given = [&](std::size_t i) { return inputs[i] != nullptr && !inputs[i]->is_none(); };
  const std::int64_t trip_count =
      given(0) ? scalar<std::int64_t>(*inputs[0], "the trip count") : std::numeric_limits<std::int64_t>::max();
  bool condition = given(1) ? scalar<bool>(*inputs[1], "the condition") : true;

  std::vector<Value> arguments(inputs.size());
  for (std::size_t i = 2; i < arguments.size(); ++i) {
    if (inputs[i] != nullptr) arguments[i] = *inputs[i];
  }
  std::vector<std::vector<Value>> scanned(scan_count);
  for (std::int64_t iteration = 0; iteration < trip_count && condition; ++iteration) {
    arguments[0] = Tensor::scalar<std::int64_t>(iteration);
    arguments[1] = Tensor::scalar<bool>(condition);
    std::vector<Value> results = frames_[action.first_frame].run(arguments, environment);
    condition = scalar<bool>(results[0], "the body's condition");
    for (std::size_t i = 0; i < carried_count; ++i) arguments[2 + i] = std::move(results[1 + i]);
    for (std::size_t i = 0; i < scan_count; ++i) scanned[i].push_back(std::move(results[1 + carried_count + i]));
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i] == nullptr) continue;
    if (i < carried_count) {
      // With no iteration a carried value is the initial one, which may lie in this frame's arena like its source.
      *outputs[i] = std::move(arguments[2 + i]);
      if (outputs[i]->is_tensor() && outputs[i]->tensor().owner() == nullptr) {
        *outputs[i] = outputs[i]->tensor().clone(environment.pool);
      }
    } else {
      const SlotIndex slot = step.instruction->outputs[i];
      *outputs[i] = stack(scanned[i - carried_count], ready_->block->slots[slot].type, environment.pool);
    }
  }
}

void Frame::add_region(const Step& step) {
  Region& region = regions_.emplace_back();
  region.results.resize(step.joins.size() * step.iteration_count);
  for (std::size_t k = 0; k < step.iteration_count; ++k) {
    for (std::size_t i = 0; i < step.joins.size(); ++i) {
      region.result_places.push_back(&region.results[i * step.iteration_count + k]);
    }
  }
}

void Frame::Region::clear() {
  for (Frame& frame : frames) frame.clear();
  for (Value& result : results) result.reset();
}

void Frame::run_for_each(const Action& action, const RunEnvironment& environment) {
  const Step& step = *action.step;
  Region& region = regions_[action.first_frame];
  const auto outputs = outputs_of(action);
  try {
    run_iterations(action, region, environment);
    std::vector<const Value*> parts(step.iteration_count);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i] == nullptr) continue;
      for (std::size_t k = 0; k < parts.size(); ++k) parts[k] = &region.results[i * parts.size() + k];
      Outputs memory(*this, action, environment, i);
      kernels::KernelContext context(parts, outputs.subspan(i, 1), memory, environment.scratch, environment.threads);
      step.joins[i]->run(context);
    }
  } catch (...) {
    region.clear();
    throw;
  }
  region.clear();
}

// Each lane takes the next iteration when it has ended one, and has a frame, and so an arena, of its own for it.
void Frame::run_iterations(const Action& action, Region& region, const RunEnvironment& environment) {
  const Step& step = *action.step;
  const auto inputs = inputs_of(action);
  const std::size_t count = step.iteration_count;
  const std::size_t item_count = inputs.size() - step.instruction->capture_count;
  const std::size_t list_count = item_count / count;
  auto lanes = std::min(count, static_cast<std::size_t>(environment.lanes));
  // What takes less than waking lanes runs on this one, as does a first request.
  if (region.work_ns - region.work_ns / static_cast<std::int64_t>(lanes) <= kStageOverheadNs) lanes = 1;
  while (region.frames.size() < lanes) region.frames.emplace_back(step.blocks[0], constants_);

  const auto given = [&](std::size_t i) { return inputs[i] != nullptr ? lent(*inputs[i]) : Value(); };
  for (Frame& frame : std::span(region.frames).first(lanes)) {
    for (std::size_t i = item_count; i < inputs.size(); ++i) frame.set_input(list_count + i - item_count, given(i));
  }
  const bool timed = environment.lanes > 1;
  const std::int64_t start_ns = timed ? base::now_ns() : 0;
  vm::run_iterations(static_cast<std::int64_t>(count), static_cast<int>(lanes), [&](std::int64_t iteration, int lane) {
    const auto k = static_cast<std::size_t>(iteration);
    Frame& frame = region.frames[static_cast<std::size_t>(lane)];
    for (std::size_t list = 0; list < list_count; ++list) frame.set_input(list, given(list * count + k));
    const std::span outputs = std::span(region.result_places).subspan(k * step.joins.size(), step.joins.size());
    base::with_context([&] { return fmt::format("in iteration {}", iteration); },
                       [&] { frame.run_again(lanes > 1 ? on_lane(environment, lane) : environment, outputs); });
  });
  if (!timed) return;
  const std::int64_t taken_ns = base::now_ns() - start_ns - (lanes > 1 ? kStageOverheadNs : 0);
  region.work_ns = taken_ns * static_cast<std::int64_t>(lanes);
}

void Frame::take_outputs(Allocator& pool, std::span<Value* const> outputs) {
  const std::vector<SlotIndex>& from = ready_->block->outputs;
  for (std::size_t i = 0; i < from.size(); ++i) *outputs[i] = slots_[from[i]];
  for (const SlotIndex slot : from) {
    if (is_constant_[slot] == 0 && is_input_[slot] == 0) slots_[slot].reset();
  }
  for (Value* const output : outputs) {
    // Memory that this block's arena, a constant, an input or another output also holds is copied: what leaves a block
    // belongs to the receiver alone.
    if (output->is_tensor() && output->tensor().owner().use_count() != 1) *output = output->tensor().clone(pool);
    // Tensors in sequences are never written, so sequences may share them; but not what nobody owns.
    if (!output->is_sequence()) continue;
    for (Tensor& tensor : output->sequence()) {
      if (tensor.owner() == nullptr) tensor = tensor.clone(pool);
    }
  }
}

void Frame::clear() {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (is_constant_[i] == 0) slots_[i].reset();
  }
}

}  // namespace lanner::vm
