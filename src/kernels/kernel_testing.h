// What kernel tests share: running an operator on literal tensors and reading the result.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/error_testing.h"
#include "kernels/registry.h"

namespace lanner::kernels::testing {

inline tensor::Attributes attributes(std::vector<std::pair<std::string, tensor::Attribute>> entries) {
  tensor::Attributes result;
  for (auto& [name, value] : entries) result.set(name, value);
  return result;
}

// Output 0 of a run; further outputs through kernels::run_operator.
inline Tensor run(std::string_view name, std::vector<Tensor> inputs, const tensor::Attributes& attributes = {},
                  int threads = 1) {
  return run_operator(name, attributes, inputs, 1, threads)[0].tensor();
}

// Output 0 of the second of two runs of a kernel that knows all inputs but the first to be constant, or none of them.
inline Tensor run_twice(std::string_view name, const std::vector<Tensor>& inputs, const tensor::Attributes& attributes,
                        int threads, bool constant) {
  class Memory final : public OutputMemory {
    Tensor allocate(int, ElementType type, const Shape& shape) override { return Tensor::allocate(type, shape); }
  };
  std::vector<Value> values(inputs.begin(), inputs.end());
  std::vector<const Value*> given;
  std::vector<const Tensor*> constants;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    given.push_back(inputs[i].defined() ? &values[i] : nullptr);
    constants.push_back(constant && i > 0 && inputs[i].defined() ? &inputs[i] : nullptr);
  }
  const auto kernel = find_operator(name)->make({attributes, static_cast<int>(inputs.size()), 1, constants});
  Value result;
  Value* outputs[] = {&result};
  Memory memory;
  for (int i = 0; i < 2; ++i) {
    KernelContext context(given, outputs, memory, heap_allocator(), threads);
    kernel->run(context);
  }
  return result.tensor();
}

// A tensor of rank 1.
template <typename T>
Tensor vec(std::initializer_list<T> values) {
  return Tensor::of<T>({static_cast<std::int64_t>(values.size())}, values);
}

// Values in [-10, 10] that look random.
inline Tensor noise(const Shape& shape) {
  Tensor tensor = Tensor::allocate(ElementType::kFloat32, shape);
  std::uint32_t state = 1;
  for (float& value : tensor.values<float>()) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<float>(state >> 8) * (20.0f / 16777216.0f) - 10.0f;
  }
  return tensor;
}

template <typename T>
std::vector<T> elements(const Tensor& tensor) {
  const auto values = tensor.values<T>();
  return {values.begin(), values.end()};
}

using base::testing::reason_of;

}  // namespace lanner::kernels::testing
