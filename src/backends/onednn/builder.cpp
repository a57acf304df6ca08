#include "backends/onednn/builder.h"

#include <algorithm>

#include "backends/onednn/operators.h"
#include "base/fail.h"
#include "kernels/registry.h"

namespace lanner::backends::onednn {

using program::Instruction;
using program::kNoSlot;
using program::SlotIndex;

namespace {

std::string operation_name(const Instruction& instruction) {
  if (!instruction.stands_for.empty()) return fmt::format("{}", fmt::join(instruction.stands_for, "+"));
  if (instruction.op != "FusedConv" && instruction.op != "FusedMatMul") return instruction.op;
  std::string name = instruction.op == "FusedConv" ? "Conv" : "MatMul";
  const bool adds = instruction.inputs.size() > 3 && instruction.inputs[3] != kNoSlot;
  const bool last = is_residual_last(instruction.attributes);
  const std::string activation = instruction.attributes.get_string("activation", "");
  if (adds && !last) name += "+Add";
  if (!activation.empty()) name += "+" + activation;
  if (adds && last) name += "+Add";
  return name;
}

}  // namespace

Labels::Labels(const program::Block& block) {
  for (const Instruction& instruction : block.instructions) {
    instructions.push_back({{operation_name(instruction), instruction.name, "onednn", true},
                            {"Reorder", instruction.name, "onednn", true}});
  }
  instructions.push_back({{}, {"Reorder", "outputs", "onednn", true}});
}

Builder::Builder(const program::Block& block, std::span<const Tensor> constants, const Labels& labels,
                 const BuilderOptions& options)
    : block_(block),
      constants_(constants),
      labels_(labels),
      options_(options),
      plan_(std::make_unique<Plan>(options.threads)) {
  slots_.resize(block.slots.size());
  numbers_ = numbers_of(block);
  last_use_.assign(block.slots.size(), -1);
  const int count = static_cast<int>(block.instructions.size());
  for (int i = 0; i < count; ++i) {
    for (const SlotIndex slot : block.instructions[static_cast<std::size_t>(i)].inputs) {
      if (slot != kNoSlot) last_use_[slot] = i;
    }
  }
  for (const SlotIndex slot : block.outputs) last_use_[slot] = count;
  for (const auto& binding : block.constants) {
    slots_[binding.slot].constant = &constants[binding.constant];
    slots_[binding.slot].shape = constants[binding.constant].shape();
  }
}

void Builder::add_instructions(std::span<const Shape> input_shapes) {
  for (std::size_t i = 0; i < block_.inputs.size(); ++i) {
    Slot& slot = slots_[block_.inputs[i]];
    slot.defined = true;
    slot.shape = input_shapes[i];
    slot.stored = {plan_->add_buffer({Buffer::Place::kInput, static_cast<int>(i), 0, 0, {}}),
                   plain_desc(dims_of(slot.shape))};
  }
  for (const Instruction& instruction : block_.instructions) {
    base::with_context([&] { return fmt::format("in {} '{}'", instruction.op, instruction.name); },
                       [&] {
                         guarded([&] {
                           OperatorBuilder builder(*this, instruction);
                           find_builder(instruction.op)(builder);
                         });
                       });
    ++current_;
  }
}

bool Builder::is_only_reader(std::size_t reader) const {
  if (reader == 0 || reader >= block_.instructions.size()) return false;
  const std::vector<SlotIndex>& outputs = block_.instructions[reader - 1].outputs;
  const std::vector<SlotIndex>& inputs = block_.instructions[reader].inputs;
  return !outputs.empty() && outputs[0] != kNoSlot && !inputs.empty() && inputs[0] == outputs[0] &&
         std::ranges::count(inputs, outputs[0]) == 1 && last_use_[outputs[0]] == static_cast<int>(reader);
}

std::vector<Choice> Builder::survey(std::span<const Shape> input_shapes) {
  const ThreadCount threads(plan_->threads());
  choices_.emplace();
  add_instructions(input_shapes);
  return std::move(*choices_);
}

std::unique_ptr<Plan> Builder::build(std::span<const Shape> input_shapes) {
  const ThreadCount threads(plan_->threads());
  add_instructions(input_shapes);
  std::vector<Shape> output_shapes;
  for (std::size_t i = 0; i < block_.outputs.size(); ++i) {
    guarded([&] { return_output(i); });
    output_shapes.push_back(slots_[block_.outputs[i]].shape);
  }
  guarded([&] {
    const auto packed = pack_weights(weights_, plan_->threads());
    for (std::size_t i = 0; i < packed.size(); ++i) plan_->set_constant(weight_buffers_[i], packed[i]);
  });
  plan_->finish(std::move(output_shapes));
  return std::move(plan_);
}

void Builder::return_output(std::size_t index) {
  const Stored stored = store(block_.outputs[index]);
  // A view of all of a buffer is returned by returning that.
  const Buffer& buffer = plan_->buffer(stored.buffer);
  const bool is_view =
      buffer.place == Buffer::Place::kPart && buffer.offset == 0 && plan_->buffer(buffer.index).bytes == buffer.bytes;
  const int whole = is_view ? buffer.index : stored.buffer;
  if (plan_->buffer(whole).place == Buffer::Place::kArena && stored.desc == plain_desc(stored.desc.dims())) {
    plan_->return_buffer(whole, static_cast<int>(index));
    return;
  }
  reorder(stored, {plan_->add_buffer({Buffer::Place::kOutput, static_cast<int>(index), 0, 0, {}}),
                   plain_desc(stored.desc.dims())});
}

Stored Builder::store(SlotIndex index) {
  Slot& slot = slots_[index];
  if (slot.constant != nullptr && !slot.defined) {
    if (slot.constant->element_type() != ElementType::kFloat32) {
      base::fail(ErrorCode::kUnimplemented, "op.type", "oneDNN subgraphs take float32 only, but a constant is {}",
                 slot.constant->type_string());
    }
    const Desc desc = plain_desc(dims_of(slot.shape));
    slot.stored = weights({slot.constant, desc, desc});
    slot.defined = true;
  }
  if (!slot.defined) base::fail(ErrorCode::kInternal, "backend.onednn", "a value is read before it is written");
  return slot.stored;
}

Stored Builder::stored_as(SlotIndex index, const Desc& desc) {
  const Stored stored = store(index);
  if (stored.desc == desc) return stored;
  Slot& slot = slots_[index];
  for (const Stored& copy : slot.copies) {
    if (copy.desc == desc) return copy;
  }
  Stored copy;
  if (slot.constant != nullptr) {
    copy = weights({slot.constant, stored.desc, desc});
  } else {
    copy = new_buffer(desc);
    reorder(stored, copy);
  }
  slot.copies.push_back(copy);
  return copy;
}

Stored Builder::weights(WeightRequest request) {
  weights_.push_back(std::move(request));
  weight_buffers_.push_back(plan_->add_buffer({Buffer::Place::kConstant, -1, 0, 0, {}}));
  return {weight_buffers_.back(), weights_.back().to};
}

Stored Builder::new_buffer(const Desc& desc) {
  return {plan_->add_buffer({Buffer::Place::kArena, -1, desc.get_size(), 0, {}}), desc};
}

void Builder::reorder(const Stored& from, const Stored& to) {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const dnnl::reorder::primitive_desc description(engine(), from.desc, engine(), to.desc, attributes);
  const auto at = static_cast<std::size_t>(current_);
  plan_->add_step(dnnl::reorder(description), {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}}, description.scratchpad_desc(),
                  labels_.instructions[at].reorder, nullptr);
}

SlotIndex OperatorBuilder::slot(int input) const {
  if (!has(input)) base::invalid("op.input", "input {} is required, but absent", input);
  return instruction_.inputs[static_cast<std::size_t>(input)];
}

bool OperatorBuilder::has(int input) const {
  return input < input_count() && instruction_.inputs[static_cast<std::size_t>(input)] != kNoSlot;
}

const Shape& OperatorBuilder::shape(int input) const {
  return builder_.slots_[slot(input)].shape;
}

Number OperatorBuilder::output_number() const {
  const SlotIndex output = instruction_.outputs.empty() ? kNoSlot : instruction_.outputs[0];
  return output == kNoSlot ? Number::f32 : builder_.numbers_[output];
}

const Tensor* OperatorBuilder::constant(int input) const {
  return has(input) ? builder_.slots_[slot(input)].constant : nullptr;
}

std::optional<float> OperatorBuilder::scalar(int input) const {
  if (!has(input)) return std::nullopt;
  const Tensor* tensor = constant(input);
  if (tensor == nullptr || tensor->element_type() != ElementType::kFloat32 || tensor->element_count() != 1) {
    base::invalid("op.input", "input {} must be a constant float32 number", input);
  }
  return *tensor->data<float>();
}

const Tensor& OperatorBuilder::weights(int index) const {
  const Tensor* tensor = constant(index);
  if (tensor == nullptr || tensor->element_type() != ElementType::kFloat32) {
    base::invalid("op.input", "input {} must be a float32 constant", index);
  }
  return *tensor;
}

Stored OperatorBuilder::packed(int index, const Desc& from, const Desc& to, float scale) {
  return builder_.weights({&weights(index), from, to, scale});
}

int OperatorBuilder::packed(int index, const kernels::WinogradWeights& layout) {
  const auto floats = static_cast<dnnl::memory::dim>(layout.bytes() / sizeof(float));
  return builder_.weights({&weights(index), plain_desc(dims_of(shape(index))), plain_desc({floats}), 1.0F, layout})
      .buffer;
}

bool OperatorBuilder::may_overwrite(int index) const {
  const SlotIndex wanted = slot(index);
  const Builder::Slot& state = builder_.slots_[wanted];
  return state.defined && builder_.last_use_[wanted] == builder_.current_ &&
         std::ranges::count(instruction_.inputs, wanted) == 1 && may_place(state.stored) &&
         !builder_.plan_->buffer(state.stored.buffer).has_parts;
}

std::size_t OperatorBuilder::position() const {
  return static_cast<std::size_t>(&instruction_ - builder_.block_.instructions.data());
}

std::optional<OperatorBuilder> OperatorBuilder::only_producer() const {
  if (!builder_.is_only_reader(position())) return std::nullopt;
  return OperatorBuilder(builder_, builder_.block_.instructions[position() - 1]);
}

std::optional<OperatorBuilder> OperatorBuilder::only_reader() const {
  if (!builder_.is_only_reader(position() + 1)) return std::nullopt;
  return OperatorBuilder(builder_, builder_.block_.instructions[position() + 1]);
}

bool OperatorBuilder::is_read_inside(int output) const {
  std::vector<SlotIndex> values{instruction_.outputs[static_cast<std::size_t>(output)]};
  for (const Instruction& instruction : builder_.block_.instructions) {
    if (instruction.inputs.empty() ||
        std::ranges::find_first_of(instruction.inputs, values) == instruction.inputs.end()) {
      continue;
    }
    if (instruction.op != "Reshape" && instruction.op != "Transpose") return true;
    values.push_back(instruction.outputs[0]);
  }
  return false;
}

bool OperatorBuilder::may_place(const Stored& stored) const {
  return builder_.plan_->buffer(stored.buffer).place == Buffer::Place::kArena;
}

bool OperatorBuilder::may_have_parts(const Stored& stored) const {
  return builder_.plan_->buffer(stored.buffer).place != Buffer::Place::kConstant;
}

void OperatorBuilder::place_inside(const Stored& stored, const Stored& whole, std::size_t offset) {
  builder_.plan_->place_inside(stored.buffer, whole.buffer, offset);
}

Stored OperatorBuilder::part_of(const Stored& whole, const Desc& desc, std::size_t offset) {
  const Stored part = builder_.new_buffer(desc);
  builder_.plan_->place_inside(part.buffer, whole.buffer, offset);
  return part;
}

std::pair<int, std::size_t> OperatorBuilder::piece(const Stored& stored) const {
  int root = stored.buffer;
  std::size_t before = 0;
  while (builder_.plan_->buffer(root).place == Buffer::Place::kPart) {
    before += builder_.plan_->buffer(root).offset;
    root = builder_.plan_->buffer(root).index;
  }
  return {root, before};
}

void OperatorBuilder::emit(const dnnl::primitive& primitive, std::vector<Argument> arguments, const Desc& scratchpad) {
  const auto at = static_cast<std::size_t>(builder_.current_);
  builder_.plan_->add_step(primitive, std::move(arguments), scratchpad, builder_.labels_.instructions[at].operation,
                           &instruction_);
}

void OperatorBuilder::emit(std::unique_ptr<OwnStep> own, std::vector<int> buffers) {
  const auto at = static_cast<std::size_t>(builder_.current_);
  builder_.plan_->add_step(std::move(own), std::move(buffers), builder_.labels_.instructions[at].operation,
                           &instruction_);
}

void OperatorBuilder::offer(Choice choice) {
  choice.instruction = static_cast<std::size_t>(builder_.current_);
  builder_.choices_->push_back(std::move(choice));
}

void OperatorBuilder::define(const Shape& shape, const Stored& stored, int output) {
  const auto at = static_cast<std::size_t>(output);
  if (at >= instruction_.outputs.size() || instruction_.outputs[at] == kNoSlot) return;
  Builder::Slot& slot = builder_.slots_[instruction_.outputs[at]];
  slot.defined = true;
  slot.shape = shape;
  slot.stored = stored;
}

void OperatorBuilder::run_native(const Shape& shape) {
  const kernels::OperatorRow* row = kernels::find_operator(instruction_.op);
  if (row == nullptr) {
    base::fail(ErrorCode::kUnimplemented, "op.unsupported", "oneDNN lacks this form of {}, which has no kernel either",
               instruction_.op);
  }
  NativeCall call;
  for (int i = 0; i < input_count(); ++i) {
    NativeCall::Input& input = call.inputs.emplace_back();
    if (const Tensor* tensor = constant(i)) {
      input.constant = *tensor;
    } else if (has(i)) {
      input.buffer = plain_input(i).buffer;
      input.shape = this->shape(i);
    }
  }
  const Stored output = new_buffer(plain_desc(dims_of(shape)));
  call.output = output.buffer;
  call.output_shape = shape;
  call.kernel = row->make({instruction_.attributes, input_count(), 1});
  const auto at = static_cast<std::size_t>(builder_.current_);
  builder_.plan_->add_step(std::move(call), builder_.labels_.instructions[at].operation, &instruction_);
  define(shape, output);
}

}  // namespace lanner::backends::onednn
