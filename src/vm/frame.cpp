#include "vm/frame.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/clock.h"
#include "base/fail.h"
#include "base/memory.h"
#include "kernels/strided.h"
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

// Without an iteration nothing tells the shape of a scan output: it is the declared one, unknown dimensions taken as 0.
struct EmptyScan {
  ElementType element;
  Shape shape;
};

EmptyScan empty_scan(const tensor::ValueType& declared, int axis) {
  EmptyScan result{declared.element == ElementType::kUndefined ? ElementType::kFloat32 : declared.element, Shape{0}};
  if (!declared.ranked || declared.dims.empty()) return result;
  result.shape = Shape();
  for (const tensor::Dim& dim : declared.dims) result.shape.push_back(std::max<std::int64_t>(dim.size, 0));
  result.shape[axis] = 0;
  return result;
}

// One tensor per iteration, stacked along a new first axis.
Tensor stack(const std::vector<Value>& items, const tensor::ValueType& declared, Allocator& pool) {
  if (items.empty()) {
    const EmptyScan empty = empty_scan(declared, 0);
    return Tensor::allocate(empty.element, empty.shape, pool);
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

// Whether nothing but the trip count ends a Loop: its body returns the condition that it got, or always true.
bool runs_to_the_end(const program::Block& body, std::span<const Tensor> constants) {
  const SlotIndex condition = body.outputs[0];
  if (condition == body.inputs[1]) return true;
  const auto bound = std::ranges::find(body.constants, condition, &program::ConstantBinding::slot);
  return bound != body.constants.end() && scalar<bool>(constants[bound->constant], "the body's condition");
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

// The value on memory that is not somebody else's to end.
Value owned(Value value, Allocator& pool) {
  if (value.is_tensor() && value.tensor().owner() == nullptr) return value.tensor().clone(pool);
  return value;
}

// One scan input, an item at a time.
class ScanInput {
 public:
  ScanInput(const Value* value, const ScanAxes::Axis& axis) : reverse_(axis.reverse) {
    if (value == nullptr || !value->is_tensor()) base::invalid("op.input", "a scan input must be a tensor");
    tensor_ = &value->tensor();
    axis_ = kernels::normalize_axis(axis.axis, tensor_->rank());
    for (int i = 0; i < tensor_->rank(); ++i) {
      if (i != axis_) shape_.push_back(tensor_->shape()[i]);
    }
    count = tensor_->shape()[axis_];
    outer_ = tensor_->shape().element_count(0, axis_);
    inner_ = tensor_->shape().element_count(axis_ + 1, tensor_->rank());
  }

  // Of one piece the input's own memory, otherwise a copy.
  Tensor at(std::int64_t iteration, const RunEnvironment& environment) const {
    const ElementType type = tensor_->element_type();
    const std::int64_t first = (reverse_ ? count - 1 - iteration : iteration) * inner_;
    const void* from =
        outer_ * inner_ == 0 ? tensor_->raw_data() : kernels::element_at(type, tensor_->raw_data(), first);
    if (outer_ <= 1) return Tensor::wrap(type, shape_, const_cast<void*>(from));
    Tensor item = Tensor::allocate(type, shape_, environment.pool);
    kernels::StridedBlock block;
    block.add(outer_, count * inner_, inner_);
    block.add(inner_, 1, 1);
    kernels::copy_block(environment.threads, block, type, from, item.raw_data());
    return item;
  }

  std::int64_t count = 0;

 private:
  const Tensor* tensor_ = nullptr;
  bool reverse_;
  int axis_ = 0;
  Shape shape_;
  std::int64_t outer_ = 1;
  std::int64_t inner_ = 1;
};

// What becomes one scan output, a result at a time.
class ScanOutput {
 public:
  ScanOutput(const ScanAxes::Axis& axis, std::int64_t count) : wanted_(axis), count_(count) {}

  // The first result tells the shape; `allocate` then makes the output.
  template <typename Allocate>
  void put(std::int64_t iteration, const Value& result, const RunEnvironment& environment, const Allocate& allocate) {
    if (!result.is_tensor()) base::invalid("op.type", "a scan output must be a tensor in every iteration");
    const Tensor& item = result.tensor();
    const ElementType type = item.element_type();
    if (iteration == 0) {
      axis_ = kernels::normalize_axis(wanted_.axis, item.rank() + 1);
      Shape shape;
      for (int i = 0; i < item.rank() + 1; ++i) {
        shape.push_back(i == axis_ ? count_ : item.shape()[i < axis_ ? i : i - 1]);
      }
      item_shape_ = item.shape();
      outer_ = item_shape_.element_count(0, axis_);
      inner_ = item_shape_.element_count(axis_, item_shape_.rank());
      joined_ = allocate(type, shape);
    } else if (type != joined_.element_type() || !(item.shape() == item_shape_)) {
      base::invalid("op.shape", "a scan output must have one shape in all iterations, but has {}{} and {}",
                    element_type_name(joined_.element_type()), item_shape_.to_string(), item.type_string());
    }
    if (outer_ * inner_ == 0) return;
    kernels::StridedBlock block;
    block.add(outer_, inner_, count_ * inner_);
    block.add(inner_, 1, 1);
    const std::int64_t at = wanted_.reverse ? count_ - 1 - iteration : iteration;
    kernels::copy_block(environment.threads, block, type, item.raw_data(),
                        kernels::element_at(type, joined_.raw_data(), at * inner_));
  }

 private:
  ScanAxes::Axis wanted_;
  std::int64_t count_;
  int axis_ = 0;
  Shape item_shape_;
  std::int64_t outer_ = 1;
  std::int64_t inner_ = 1;
  Tensor joined_;
};

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
    } else if (action.step->kind == Step::Kind::kScan) {
      run_scan(action, inside(environment));
    } else if (action.step->kind == Step::Kind::kForEach) {
      run_for_each(action, inside(action.narrow ? on_lane(environment, environment.lane) : environment));
    } else {
      Outputs memory(*this, action, environment);
      kernels::KernelContext context(inputs_of(action), outputs_of(action), memory, environment.scratch,
                                     action.narrow ? 1 : environment.threads);
      if (action.may_reuse_input) context.allow_reuse();
      base::with_memory_errors([&] {
        if (action.kernel != nullptr)
          action.kernel->run(context);
        else
          action.step->subgraph->run(context, environment.recorder);
      });
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

// ONNX Loop: body(iteration, condition, carried..., captures...) -> (condition, carried..., scan outputs...). Where the
// number of iterations is known, scan results go straight to their places; otherwise they are kept and joined at the
// end.
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
  const bool counted = given(0) && runs_to_the_end(*step.blocks[0].block, constants_);
  std::vector<ScanOutput> placed(counted ? scan_count : 0, ScanOutput({}, trip_count));
  std::vector<std::vector<Value>> kept(counted ? 0 : scan_count);
  Outputs memory(*this, action, environment);
  std::int64_t done = 0;
  for (std::int64_t iteration = 0; iteration < trip_count && condition; ++iteration) {
    arguments[0] = Tensor::scalar<std::int64_t>(iteration);
    arguments[1] = Tensor::scalar<bool>(condition);
    std::vector<Value> results = frames_[action.first_frame].run(arguments, environment);
    condition = scalar<bool>(results[0], "the body's condition");
    for (std::size_t i = 0; i < carried_count; ++i) arguments[2 + i] = std::move(results[1 + i]);
    for (std::size_t i = carried_count; i < outputs.size(); ++i) {
      if (outputs[i] == nullptr) continue;
      Value& result = results[1 + i];
      if (!counted) {
        kept[i - carried_count].push_back(std::move(result));
        continue;
      }
      placed[i - carried_count].put(iteration, result, environment, [&](ElementType type, const Shape& shape) {
        *outputs[i] = memory.allocate(static_cast<int>(i), type, shape);
        return outputs[i]->tensor();
      });
    }
    ++done;
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i] == nullptr) continue;
    if (i < carried_count) {
      // With no iteration a carried value is the initial one, which may lie in this frame's arena like its source.
      *outputs[i] = owned(std::move(arguments[2 + i]), environment.pool);
    } else if (!counted || done == 0) {
      const tensor::ValueType& declared = ready_->block->slots[step.instruction->outputs[i]].type;
      *outputs[i] = stack(counted ? std::vector<Value>() : kept[i - carried_count], declared, environment.pool);
    }
  }
}

// ONNX Scan: body(states..., items..., captures...) -> (states..., scan outputs...), once for each position along the
// scan inputs' axes. An item lies in its input where that has it in one piece, and results go straight to their places.
void Frame::run_scan(const Action& action, const RunEnvironment& environment) {
  const Step& step = *action.step;
  const auto inputs = inputs_of(action);
  const auto outputs = outputs_of(action);
  Frame& body = frames_[action.first_frame];
  const std::size_t item_count = step.scan.inputs.size();
  const std::size_t state_count = outputs.size() - step.scan.outputs.size();

  std::vector<ScanInput> items;
  for (std::size_t i = 0; i < item_count; ++i) {
    items.emplace_back(inputs[state_count + i], step.scan.inputs[i]);
    if (items[i].count != items[0].count) {
      base::invalid("op.shape", "scan inputs must have one length, but have {} and {}", items[0].count, items[i].count);
    }
  }
  const std::int64_t count = items[0].count;
  std::vector<ScanOutput> collected;
  for (const ScanAxes::Axis& axis : step.scan.outputs) collected.emplace_back(axis, count);

  std::vector<Value> results(outputs.size());
  std::vector<Value*> places;
  for (Value& result : results) places.push_back(&result);
  const auto given = [&](std::size_t i) { return inputs[i] != nullptr ? *inputs[i] : Value(); };
  for (std::size_t i = 0; i < state_count; ++i) results[i] = given(i);
  for (std::size_t i = state_count + item_count; i < inputs.size(); ++i) body.set_input(i, given(i));
  Outputs memory(*this, action, environment);
  try {
    for (std::int64_t iteration = 0; iteration < count; ++iteration) {
      for (std::size_t i = 0; i < state_count; ++i) body.set_input(i, std::move(results[i]));
      for (std::size_t i = 0; i < item_count; ++i) {
        body.set_input(state_count + i, items[i].at(iteration, environment));
      }
      base::with_context([&] { return fmt::format("in iteration {}", iteration); },
                         [&] { body.run_again(environment, places); });
      for (std::size_t i = state_count; i < results.size(); ++i) {
        if (outputs[i] == nullptr) continue;
        collected[i - state_count].put(iteration, results[i], environment, [&](ElementType type, const Shape& shape) {
          *outputs[i] = memory.allocate(static_cast<int>(i), type, shape);
          return outputs[i]->tensor();
        });
      }
    }
  } catch (...) {
    body.clear();
    throw;
  }
  body.clear();
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i] == nullptr) continue;
    if (i < state_count) {
      // With no iteration a state is the initial one, which may lie in this frame's arena like its source.
      *outputs[i] = owned(std::move(results[i]), environment.pool);
    } else if (count == 0) {
      const tensor::ValueType& declared = ready_->block->slots[step.instruction->outputs[i]].type;
      const int rank = declared.ranked && !declared.dims.empty() ? static_cast<int>(declared.dims.size()) : 1;
      const int axis = kernels::normalize_axis(step.scan.outputs[i - state_count].axis, rank);
      const EmptyScan empty = empty_scan(declared, axis);
      *outputs[i] = memory.allocate(static_cast<int>(i), empty.element, empty.shape);
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
