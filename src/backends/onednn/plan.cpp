#include "backends/onednn/plan.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/clock.h"
#include "base/fail.h"

namespace lanner::backends::onednn {

namespace {

constexpr std::size_t kAlignment = 64;
constexpr int kScratchpad = -2;  // stands for the scratchpad's buffer in memories_

std::size_t aligned(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Free ranges of the arena. Of those that are large enough, the one freed last is taken: its lines are still in cache.
class ArenaLayout {
 public:
  std::size_t take(std::size_t bytes) {
    auto best = free_.end();
    for (auto range = free_.begin(); range != free_.end(); ++range) {
      if (range->bytes >= bytes && (best == free_.end() || range->freed_at > best->freed_at)) best = range;
    }
    if (best == free_.end()) {
      // Grow, from the free range at the end if there is one.
      if (!free_.empty() && free_.back().offset + free_.back().bytes == end_) {
        const std::size_t offset = free_.back().offset;
        free_.pop_back();
        end_ = offset + bytes;
        return offset;
      }
      end_ += bytes;
      return end_ - bytes;
    }
    const std::size_t offset = best->offset;
    best->offset += bytes;
    best->bytes -= bytes;
    if (best->bytes == 0) free_.erase(best);
    return offset;
  }

  void give(std::size_t offset, std::size_t bytes) {
    auto next = std::ranges::lower_bound(free_, offset, {}, &Range::offset);
    next = free_.insert(next, {offset, bytes, ++clock_});
    if (const auto after = next + 1; after != free_.end() && next->offset + next->bytes == after->offset) {
      next->bytes += after->bytes;
      free_.erase(after);
    }
    if (next != free_.begin()) {
      const auto before = next - 1;
      if (before->offset + before->bytes == next->offset) {
        before->bytes += next->bytes;
        before->freed_at = next->freed_at;
        free_.erase(next);
      }
    }
  }

  std::size_t end() const { return end_; }

 private:
  struct Range {
    std::size_t offset;
    std::size_t bytes;
    int freed_at;
  };
  std::vector<Range> free_;  // by offset; neighbours do not touch
  std::size_t end_ = 0;
  int clock_ = 0;
};

}  // namespace

// Memory objects and the arguments that hold them; used by one run at a time.
struct Plan::State {
  std::vector<dnnl::memory> memories;                   // as memories_
  std::vector<void*> bound;                             // the address each memory has now
  std::vector<std::vector<dnnl_exec_arg_t>> arguments;  // of each step
  std::vector<void*> addresses;                         // of each buffer in this run
  std::vector<void*> own;                               // addresses of one step of our own
  std::vector<Tensor> unwanted;                         // outputs that nobody asked for
  dnnl::stream stream{engine()};
};

Plan::Plan(int threads) : threads_(threads) {}

Plan::~Plan() = default;

void Plan::return_buffer(int buffer, int index) {
  buffers_[static_cast<std::size_t>(buffer)] = {Buffer::Place::kOutput, index, 0, 0, {}};
}

int Plan::add_buffer(Buffer buffer) {
  buffers_.push_back(std::move(buffer));
  lifetimes_.emplace_back(std::numeric_limits<int>::max(), -1);
  return static_cast<int>(buffers_.size()) - 1;
}

int Plan::memory_index(const Stored& stored) {
  for (std::size_t i = memories_.size(); i-- > 0;) {
    if (memories_[i].buffer == stored.buffer && memories_[i].desc == stored.desc) return static_cast<int>(i);
  }
  memories_.push_back(stored);
  return static_cast<int>(memories_.size()) - 1;
}

void Plan::place_inside(int part, int whole, std::size_t offset) {
  const auto at = [](int index) { return static_cast<std::size_t>(index); };
  buffers_[at(part)].place = Buffer::Place::kPart;
  buffers_[at(part)].index = whole;
  buffers_[at(part)].offset = offset;
  buffers_[at(whole)].has_parts = true;
  int root = whole;
  while (buffer(root).place == Buffer::Place::kPart) root = buffer(root).index;
  auto& [first, last] = lifetimes_[at(root)];
  first = std::min(first, lifetimes_[at(part)].first);
  last = std::max(last, lifetimes_[at(part)].second);
}

void Plan::touch(int buffer) {
  while (this->buffer(buffer).place == Buffer::Place::kPart) buffer = this->buffer(buffer).index;
  auto& [first, last] = lifetimes_[static_cast<std::size_t>(buffer)];
  const int step = static_cast<int>(steps_.size());
  first = std::min(first, step);
  last = step;
}

void Plan::add_step(const dnnl::primitive& primitive, std::vector<Argument> arguments, const Desc& scratchpad,
                    const profile::Label& label, const program::Instruction* instruction) {
  Step step{primitive, {}, {}, {}, {}, &label, instruction};
  for (const Argument& argument : arguments) {
    touch(argument.stored.buffer);
    step.arguments.emplace_back(argument.kind, memory_index(argument.stored));
  }
  const std::size_t bytes = scratchpad.get_size();
  if (bytes != 0) {
    step.arguments.emplace_back(DNNL_ARG_SCRATCHPAD, memory_index({kScratchpad, scratchpad}));
    scratch_bytes_ = std::max(scratch_bytes_, aligned(bytes));
  }
  steps_.push_back(std::move(step));
}

void Plan::add_step(NativeCall call, const profile::Label& label, const program::Instruction* instruction) {
  for (const NativeCall::Input& input : call.inputs) {
    if (input.buffer >= 0) touch(input.buffer);
  }
  touch(call.output);
  steps_.push_back({{}, {}, std::make_unique<NativeCall>(std::move(call)), {}, {}, &label, instruction});
}

void Plan::add_step(std::unique_ptr<OwnStep> own, std::vector<int> buffers, const profile::Label& label,
                    const program::Instruction* instruction) {
  for (const int buffer : buffers) {
    if (buffer >= 0) touch(buffer);
  }
  scratch_bytes_ = std::max(scratch_bytes_, aligned(own->scratch_bytes()));
  steps_.push_back({{}, {}, {}, std::move(own), std::move(buffers), &label, instruction});
}

void Plan::finish(std::vector<Shape> output_shapes) {
  output_shapes_ = std::move(output_shapes);
  // Parts of parts become parts of what is none.
  for (Buffer& buffer : buffers_) {
    if (buffer.place != Buffer::Place::kPart) continue;
    while (this->buffer(buffer.index).place == Buffer::Place::kPart) {
      buffer.offset += this->buffer(buffer.index).offset;
      buffer.index = this->buffer(buffer.index).index;
    }
  }
  const std::size_t step_count = steps_.size();
  std::vector<std::vector<int>> starting(step_count);
  std::vector<std::vector<int>> ending(step_count);
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    if (buffers_[i].place != Buffer::Place::kArena || lifetimes_[i].second < 0) continue;
    starting[static_cast<std::size_t>(lifetimes_[i].first)].push_back(static_cast<int>(i));
    ending[static_cast<std::size_t>(lifetimes_[i].second)].push_back(static_cast<int>(i));
  }
  ArenaLayout layout;
  for (std::size_t step = 0; step < step_count; ++step) {
    for (const int index : starting[step]) {
      Buffer& buffer = buffers_[static_cast<std::size_t>(index)];
      buffer.offset = layout.take(aligned(buffer.bytes));
    }
    for (const int index : ending[step]) {
      const Buffer& buffer = buffers_[static_cast<std::size_t>(index)];
      layout.give(buffer.offset, aligned(buffer.bytes));
    }
  }
  scratch_offset_ = layout.end();
  arena_bytes_ = scratch_offset_ + scratch_bytes_;
}

std::unique_ptr<Plan::State> Plan::take_state() const {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<State> state = std::move(idle_.back());
      idle_.pop_back();
      return state;
    }
  }
  auto state = std::make_unique<State>();
  for (const Stored& stored : memories_) {
    const bool constant = stored.buffer >= 0 && buffer(stored.buffer).place == Buffer::Place::kConstant;
    state->memories.push_back(constant ? *buffer(stored.buffer).constant
                                       : dnnl::memory(stored.desc, engine(), DNNL_MEMORY_NONE));
    state->bound.push_back(nullptr);
  }
  for (const Step& step : steps_) {
    std::vector<dnnl_exec_arg_t>& arguments = state->arguments.emplace_back();
    for (const auto& [kind, memory] : step.arguments) {
      arguments.push_back({kind, state->memories[static_cast<std::size_t>(memory)].get()});
    }
  }
  state->addresses.resize(buffers_.size());
  return state;
}

void Plan::run(kernels::KernelContext& context, profile::Recorder* recorder) const {
  guarded([&] {
    const ThreadCount threads(context.threads());
    std::unique_ptr<State> state = take_state();
    const Tensor arena = context.allocate_scratch(ElementType::kUint8, {static_cast<std::int64_t>(arena_bytes_)});
    auto* const base = static_cast<std::byte*>(const_cast<void*>(arena.raw_data()));

    std::vector<void*>& addresses = state->addresses;
    std::vector<void*> outputs;
    for (std::size_t i = 0; i < output_shapes_.size(); ++i) {
      const int output = static_cast<int>(i);
      if (context.wants_output(output)) {
        outputs.push_back(context.allocate_output(output, ElementType::kFloat32, output_shapes_[i]).raw_data());
      } else {
        state->unwanted.push_back(context.allocate_scratch(ElementType::kFloat32, output_shapes_[i]));
        outputs.push_back(state->unwanted.back().raw_data());
      }
    }
    for (std::size_t i = 0; i < buffers_.size(); ++i) {
      const Buffer& buffer = buffers_[i];
      switch (buffer.place) {
        // Inputs are never written: nothing is computed in place on them.
        case Buffer::Place::kInput:
          addresses[i] = const_cast<void*>(context.input(buffer.index).raw_data());
          break;
        case Buffer::Place::kOutput:
          addresses[i] = outputs[static_cast<std::size_t>(buffer.index)];
          break;
        case Buffer::Place::kArena:
          addresses[i] = base + buffer.offset;
          break;
        case Buffer::Place::kConstant:
          addresses[i] = buffer.constant->get_data_handle();
          break;
        case Buffer::Place::kPart:
          break;
      }
    }
    for (std::size_t i = 0; i < buffers_.size(); ++i) {
      if (buffers_[i].place != Buffer::Place::kPart) continue;
      addresses[i] =
          static_cast<std::byte*>(addresses[static_cast<std::size_t>(buffers_[i].index)]) + buffers_[i].offset;
    }
    for (std::size_t i = 0; i < memories_.size(); ++i) {
      const int buffer = memories_[i].buffer;
      if (buffer >= 0 && this->buffer(buffer).place == Buffer::Place::kConstant) continue;
      void* const address =
          buffer == kScratchpad ? base + scratch_offset_ : addresses[static_cast<std::size_t>(buffer)];
      if (state->bound[i] == address) continue;
      state->memories[i].set_data_handle(address, state->stream);
      state->bound[i] = address;
    }

    for (std::size_t i = 0; i < steps_.size(); ++i) {
      const Step& step = steps_[i];
      const std::int64_t start = recorder != nullptr ? base::now_ns() : 0;
      if (step.native != nullptr) {
        base::with_context([&] { return fmt::format("in {} '{}'", step.instruction->op, step.instruction->name); },
                           [&] { run_native(*step.native, *state, context); });
      } else if (step.own != nullptr) {
        std::vector<void*>& own = state->own;
        own.clear();
        for (const int buffer : step.buffers) {
          own.push_back(buffer >= 0 ? addresses[static_cast<std::size_t>(buffer)] : nullptr);
        }
        step.own->run(own, base + scratch_offset_, context.threads());
      } else {
        const std::vector<dnnl_exec_arg_t>& arguments = state->arguments[i];
        const dnnl_status_t status = dnnl_primitive_execute(step.primitive.get(), state->stream.get(),
                                                            static_cast<int>(arguments.size()), arguments.data());
        if (status != dnnl_success) {
          base::with_context([&] { return fmt::format("in '{}'", step.label->name); },
                             [&] { check(status, "a primitive failed"); });
        }
      }
      if (recorder != nullptr) recorder->record(*step.label, start, base::now_ns());
    }
    state->unwanted.clear();
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(state));
  });
}

void Plan::run_native(const NativeCall& call, const State& state, kernels::KernelContext& context) const {
  // The kernel's output, in the buffer that the plan has for it.
  class BufferMemory final : public kernels::OutputMemory, public Allocator {
   public:
    BufferMemory(void* address, const Shape& shape, kernels::KernelContext& context)
        : address_(address), shape_(shape), context_(context) {}
    Tensor allocate(int, ElementType type, const Shape& shape) override {
      if (type != ElementType::kFloat32 || shape != shape_) return context_.allocate_scratch(type, shape);
      return Tensor::wrap(type, shape, address_);
    }
    std::shared_ptr<void> allocate(std::size_t byte_count) override {
      return context_.allocate_scratch(ElementType::kUint8, {static_cast<std::int64_t>(byte_count)}).owner();
    }

   private:
    void* address_;
    const Shape& shape_;
    kernels::KernelContext& context_;
  };

  std::vector<Value> inputs;
  std::vector<const Value*> input_pointers;
  inputs.reserve(call.inputs.size());
  for (const NativeCall::Input& input : call.inputs) {
    if (input.buffer >= 0) {
      void* const address = state.addresses[static_cast<std::size_t>(input.buffer)];
      inputs.emplace_back(Tensor::wrap(ElementType::kFloat32, input.shape, address));
    } else {
      inputs.emplace_back(input.constant);
    }
    input_pointers.push_back(inputs.back().tensor().defined() ? &inputs.back() : nullptr);
  }
  void* const address = state.addresses[static_cast<std::size_t>(call.output)];
  BufferMemory memory(address, call.output_shape, context);
  Value output;
  Value* output_pointer = &output;
  kernels::KernelContext native(input_pointers, {&output_pointer, 1}, memory, memory, context.threads());
  call.kernel->run(native);
  const Tensor& result = output.tensor();
  if (result.element_type() != ElementType::kFloat32 || result.shape() != call.output_shape) {
    base::fail(ErrorCode::kInternal, "backend.onednn", "a kernel made {} where float32{} was planned",
               result.type_string(), call.output_shape.to_string());
  }
  if (result.raw_data() != address && result.byte_count() != 0) {
    std::memcpy(address, result.raw_data(), result.byte_count());
  }
}

}  // namespace lanner::backends::onednn
