#include "backends/onednn/rows.h"

#include <algorithm>
#include <cstring>
#include <ranges>
#include <span>
#include <string_view>
#include <vector>

#include "base/fail.h"
#include "kernels/kernel.h"

namespace lanner::backends::onednn {

namespace {

using program::Instruction;
using program::kNoSlot;
using program::SlotIndex;

constexpr std::size_t kResidual = 3;  // input of a FusedConv or a FusedMatMul

// Operators that compute each row of the output from the same row of their first input, whatever their attributes are.
constexpr std::string_view kKeepRowsApart[] = {
    "Abs",           "AveragePool", "Clip",      "Elu",       "Exp",     "Gelu", "GlobalAveragePool",
    "GlobalMaxPool", "HardSigmoid", "HardSwish", "LeakyRelu", "MaxPool", "Mish", "Relu",
    "ResizeLike",    "Sigmoid",     "Sqrt",      "Swish",     "Tanh"};

class RowReader {
 public:
  RowReader(const program::Block& block, std::span<const Tensor> constants)
      : block_(block), constants_(block.slots.size()), has_rows_(block.slots.size()) {
    for (const auto& binding : block.constants) constants_[binding.slot] = &constants[binding.constant];
  }

  bool read() {
    for (const SlotIndex input : block_.inputs) {
      const tensor::ValueType& type = block_.slots[input].type;
      if (!type.ranked || type.dims.empty() || type.dims[0].size >= 0) return false;
      has_rows_[input] = true;
    }
    for (const Instruction& instruction : block_.instructions) {
      if (!keeps_rows_apart(instruction)) return false;
      for (const SlotIndex output : instruction.outputs) {
        if (output != kNoSlot) has_rows_[output] = true;
      }
    }
    return !block_.inputs.empty() &&
           std::ranges::all_of(block_.outputs, [&](SlotIndex slot) { return has_rows_[slot]; });
  }

 private:
  bool has_rows(const Instruction& instruction, std::size_t input) const {
    return input < instruction.inputs.size() && instruction.inputs[input] != kNoSlot &&
           has_rows_[instruction.inputs[input]];
  }
  const Tensor* constant(const Instruction& instruction, std::size_t input) const {
    const bool given = input < instruction.inputs.size() && instruction.inputs[input] != kNoSlot;
    return given ? constants_[instruction.inputs[input]] : nullptr;
  }
  // Of a value whose rank is known; else 0.
  int rank(const Instruction& instruction, std::size_t input) const {
    const tensor::ValueType& type = block_.slots[instruction.inputs[input]].type;
    return type.ranked ? static_cast<int>(type.dims.size()) : 0;
  }
  // The rest of the inputs have rows, too, or are absent or constant; then `allows` says whether they mean no rows.
  template <typename Allows>
  bool others(const Instruction& instruction, std::size_t first, Allows allows) const {
    for (std::size_t i = first; i < instruction.inputs.size(); ++i) {
      if (instruction.inputs[i] == kNoSlot || has_rows(instruction, i)) continue;
      const Tensor* tensor = constant(instruction, i);
      if (tensor == nullptr || !allows(i, *tensor)) return false;
    }
    return true;
  }

  bool keeps_rows_apart(const Instruction& instruction) const {
    const std::string_view op = instruction.op;
    if (op == "Add" || op == "Sub" || op == "Mul" || op == "Div" || op == "Max" || op == "Min") {
      return is_row_wise_binary(instruction);
    }
    if (!has_rows(instruction, 0)) return false;
    if (op == "Gemm") {
      const auto is_row = [](std::size_t i, const Tensor& tensor) {
        return i == 1 || tensor.shape().rank() < 2 || tensor.shape()[0] == 1;
      };
      return instruction.attributes.get_int("transA", 0) == 0 && !has_rows(instruction, 1) &&
             !has_rows(instruction, 2) && others(instruction, 1, is_row);
    }
    if (op == "MatMul") {
      const Tensor* right = constant(instruction, 1);
      return right != nullptr && right->shape().rank() == 2 && rank(instruction, 0) >= 2;
    }
    if (op == "Concat" || op == "Split" || op == "Softmax") {
      const int dims = rank(instruction, 0);
      const std::int64_t axis = instruction.attributes.get_int("axis", op == "Softmax" ? -1 : 0);
      if (dims == 0 || axis == 0 || axis == -dims) return false;
      return op != "Concat" || std::ranges::all_of(std::views::iota(std::size_t{0}, instruction.inputs.size()),
                                                   [&](std::size_t i) { return has_rows(instruction, i); });
    }
    if (op == "Resize") {
      const Tensor* scales = constant(instruction, 2);
      const bool sized = instruction.inputs.size() > 3 && instruction.inputs[3] != kNoSlot;
      return !sized && !instruction.attributes.has("axes") && scales != nullptr &&
             scales->element_type() == ElementType::kFloat32 && scales->element_count() > 0 &&
             *scales->data<float>() == 1.0F;
    }
    if (op == "Conv" || op == "FusedConv" || op == "ConvTranspose" || op == "FusedMatMul") {
      return !has_rows(instruction, 1) && !has_rows(instruction, 2) &&
             others(instruction, 1, [](std::size_t i, const Tensor&) { return i < kResidual; });
    }
    if (op == "Reshape") return is_row_wise_reshape(instruction);
    if (op == "Transpose") {
      const std::vector<std::int64_t> perm = instruction.attributes.get_ints("perm");
      return !perm.empty() && perm[0] == 0;
    }
    // The bounds of a Clip are constant.
    return std::ranges::find(kKeepRowsApart, op) != std::end(kKeepRowsApart) &&
           others(instruction, 1, [](std::size_t, const Tensor&) { return true; });
  }

  // The first dimension is copied, or open while the others are as large together as they were.
  bool is_row_wise_reshape(const Instruction& instruction) const {
    const Tensor* shape = constant(instruction, 1);
    const tensor::ValueType& from = block_.slots[instruction.inputs[0]].type;
    if (shape == nullptr || shape->element_type() != ElementType::kInt64 || shape->element_count() == 0) return false;
    const std::span wanted = shape->values<std::int64_t>();
    if (instruction.attributes.get_int("allowzero", 0) != 0 || !from.ranked) return false;
    if (wanted[0] == 0) return true;
    if (wanted[0] != -1) return false;
    double before = 1;
    double after = 1;
    for (std::size_t i = 1; i < from.dims.size(); ++i) {
      if (!from.dims[i].known()) return false;
      before *= static_cast<double>(from.dims[i].size);
    }
    for (std::size_t i = 1; i < wanted.size(); ++i) {
      if (wanted[i] == 0 && i >= from.dims.size()) return false;
      after *= static_cast<double>(wanted[i] == 0 ? from.dims[i].size : wanted[i]);
    }
    return before == after;
  }

  // The values with rows have the same rank; a constant is the same for all rows.
  bool is_row_wise_binary(const Instruction& instruction) const {
    int dims = 0;
    for (std::size_t i = 0; i < instruction.inputs.size(); ++i) {
      if (!has_rows(instruction, i)) continue;
      if (rank(instruction, i) == 0 || (dims != 0 && rank(instruction, i) != dims)) return false;
      dims = rank(instruction, i);
    }
    return dims != 0 && others(instruction, 0, [&](std::size_t, const Tensor& tensor) {
             return tensor.shape().rank() < dims || (tensor.shape().rank() == dims && tensor.shape()[0] == 1);
           });
  }

  const program::Block& block_;
  std::vector<const Tensor*> constants_;  // of each slot
  std::vector<bool> has_rows_;            // of each slot that has been read
};

// Gives a plan's outputs memory that ends with the run.
class ScratchOutputs final : public kernels::OutputMemory {
 public:
  explicit ScratchOutputs(kernels::KernelContext& context) : context_(context) {}
  Tensor allocate(int, ElementType type, const Shape& shape) override { return context_.allocate_scratch(type, shape); }

 private:
  kernels::KernelContext& context_;
};

Shape with_rows(Shape shape, std::int64_t rows) {
  shape[0] = rows;
  return shape;
}

}  // namespace

bool is_row_wise(const program::Block& block, std::span<const Tensor> constants) {
  return RowReader(block, constants).read();
}

void run_with_fewer_rows(const Plan& plan, std::int64_t plan_rows, kernels::KernelContext& context,
                         profile::Recorder* recorder) {
  const std::int64_t rows = context.input(0).shape()[0];
  std::vector<Value> inputs;
  for (int i = 0; i < context.input_count(); ++i) {
    const Tensor& given = context.input(i);
    Tensor padded = context.allocate_scratch(ElementType::kFloat32, with_rows(given.shape(), plan_rows));
    auto* const bytes = static_cast<std::byte*>(padded.raw_data());
    std::memcpy(bytes, given.raw_data(), given.byte_count());
    std::memset(bytes + given.byte_count(), 0, padded.byte_count() - given.byte_count());
    inputs.emplace_back(std::move(padded));
  }
  std::vector<Value> outputs(static_cast<std::size_t>(context.output_count()));
  std::vector<const Value*> input_pointers;
  std::vector<Value*> output_pointers;
  for (const Value& input : inputs) input_pointers.push_back(&input);
  for (int i = 0; i < context.output_count(); ++i) {
    output_pointers.push_back(context.wants_output(i) ? &outputs[static_cast<std::size_t>(i)] : nullptr);
  }
  ScratchOutputs memory(context);
  kernels::KernelContext inner(input_pointers, output_pointers, memory, context.allocator(), context.threads());
  plan.run(inner, recorder);
  for (int i = 0; i < context.output_count(); ++i) {
    if (!context.wants_output(i)) continue;
    const Tensor& made = outputs[static_cast<std::size_t>(i)].tensor();
    // The block's types say that it is so, and those of a program file may say anything.
    if (made.rank() == 0 || made.shape()[0] != plan_rows) {
      base::invalid("op.shape", "an output of {} rows should have {}", made.shape().to_string(), plan_rows);
    }
    Tensor& wanted = context.allocate_output(i, ElementType::kFloat32, with_rows(made.shape(), rows));
    std::memcpy(wanted.raw_data(), made.raw_data(), wanted.byte_count());
  }
}

}  // namespace lanner::backends::onednn
