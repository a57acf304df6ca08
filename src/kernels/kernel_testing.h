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

template <typename T>
std::vector<T> elements(const Tensor& tensor) {
  const auto values = tensor.values<T>();
  return {values.begin(), values.end()};
}

using base::testing::reason_of;

}  // namespace lanner::kernels::testing
