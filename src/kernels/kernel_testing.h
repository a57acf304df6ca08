// What kernel tests share: running an operator on literal tensors and reading the result.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "kernels/registry.h"
#include "lanner/error.h"

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

// The reason word of the Error that `body` throws, or "" when it throws none.
template <typename Body>
std::string reason_of(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.reason();
  }
  return "";
}

}  // namespace lanner::kernels::testing
