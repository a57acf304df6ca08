// What backend tests share: writing a block by hand and running it.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/backend.h"

namespace lanner::backends::testing {

using program::SlotIndex;

inline Tensor random_tensor(const Shape& shape, unsigned seed, float low = -1.0F, float high = 1.0F) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> distribution(low, high);
  Tensor tensor = Tensor::allocate(ElementType::kFloat32, shape);
  for (float& value : tensor.values<float>()) value = distribution(generator);
  return tensor;
}

// A block and its constants. Keep it alive as long as what is built from it.
struct BlockWriter {
  program::Block block;
  std::vector<Tensor> constants;

  SlotIndex slot(tensor::ValueType type = {}) {
    block.slots.push_back({"v" + std::to_string(block.slots.size()), std::move(type)});
    return static_cast<SlotIndex>(block.slots.size() - 1);
  }
  SlotIndex input(tensor::ValueType type) {
    block.inputs.push_back(slot(std::move(type)));
    return block.inputs.back();
  }
  SlotIndex input(const Shape& shape) { return input(tensor::ValueType::tensor(ElementType::kFloat32, shape)); }
  SlotIndex constant(Tensor tensor) {
    const SlotIndex result = slot(tensor::ValueType::of(tensor));
    block.constants.push_back({result, static_cast<std::uint32_t>(constants.size())});
    constants.push_back(std::move(tensor));
    return result;
  }
  SlotIndex add(std::string_view op, std::vector<SlotIndex> inputs,
                std::vector<std::pair<std::string, tensor::Attribute>> attributes = {}) {
    program::Instruction instruction;
    instruction.op = op;
    instruction.name = std::string(op) + "_" + std::to_string(block.instructions.size());
    instruction.inputs = std::move(inputs);
    instruction.outputs = {slot()};
    for (auto& [name, value] : attributes) instruction.attributes.set(name, std::move(value));
    block.instructions.push_back(std::move(instruction));
    return block.instructions.back().outputs[0];
  }
  // As many outputs as the instruction has sizes.
  std::vector<SlotIndex> split(SlotIndex input, const std::vector<std::int64_t>& sizes, std::int64_t axis) {
    const auto count = static_cast<std::int64_t>(sizes.size());
    add("Split", {input, constant(Tensor::of<std::int64_t>({count}, std::span(sizes)))}, {{"axis", axis}});
    std::vector<SlotIndex> outputs = block.instructions.back().outputs;
    while (outputs.size() < sizes.size()) outputs.push_back(slot());
    return block.instructions.back().outputs = outputs;
  }
  void output(SlotIndex slot) { block.outputs.push_back(slot); }
};

// Counts what it hands out.
class CountingAllocator final : public Allocator {
 public:
  std::shared_ptr<void> allocate(std::size_t byte_count) override {
    ++calls;
    bytes += byte_count;
    return heap_allocator().allocate(byte_count);
  }
  int calls = 0;
  std::size_t bytes = 0;
};

inline std::vector<Tensor> run(const CompiledSubgraph& subgraph, const std::vector<Tensor>& inputs, int output_count,
                               int threads = 1, profile::Recorder* recorder = nullptr,
                               Allocator& allocator = heap_allocator()) {
  class HeapOutputs final : public kernels::OutputMemory {
   public:
    Tensor allocate(int, ElementType type, const Shape& shape) override { return Tensor::allocate(type, shape); }
  };
  std::vector<Value> input_values(inputs.begin(), inputs.end());
  std::vector<Value> output_values(static_cast<std::size_t>(output_count));
  std::vector<const Value*> input_pointers;
  std::vector<Value*> output_pointers;
  for (const Value& value : input_values) input_pointers.push_back(&value);
  for (Value& value : output_values) output_pointers.push_back(&value);
  HeapOutputs memory;
  kernels::KernelContext context(input_pointers, output_pointers, memory, allocator, threads);
  subgraph.run(context, recorder);
  std::vector<Tensor> outputs;
  for (const Value& value : output_values) outputs.push_back(value.tensor());
  return outputs;
}

inline std::unique_ptr<CompiledSubgraph> build(std::string_view backend, const BlockWriter& writer, int threads = 1) {
  return find_backend(backend)->build(writer.block, writer.constants, {threads});
}

// Root mean square of the difference over that of `expected`; infinite where shapes differ.
inline double relative_error(const Tensor& expected, const Tensor& actual) {
  if (expected.shape() != actual.shape()) return INFINITY;
  double difference = 0;
  double size = 0;
  for (std::int64_t i = 0; i < expected.element_count(); ++i) {
    const double a = expected.data<float>()[i];
    const double b = actual.data<float>()[i];
    difference += (a - b) * (a - b);
    size += a * a;
  }
  return difference == 0 ? 0 : std::sqrt(difference / size);
}

}  // namespace lanner::backends::testing
