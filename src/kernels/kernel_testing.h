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
