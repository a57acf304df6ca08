// What both examples do with values: inputs of zeros, and the outputs' types and first elements.
#pragma once

#include <algorithm>
#include <cstring>
#include <iostream>

#include <lanner/session.h>

inline lanner::NamedValues zeros(const lanner::Program& program) {
  lanner::NamedValues inputs;
  for (const lanner::ValueInfo& info : program.inputs()) {
    if (info.optional) continue;
    lanner::Shape shape;
    for (const std::int64_t dim : info.shape) shape.push_back(std::max<std::int64_t>(dim, 1));
    lanner::Tensor tensor = lanner::Tensor::allocate(info.element_type, shape);
    if (info.element_type != lanner::ElementType::kString) std::memset(tensor.raw_data(), 0, tensor.byte_count());
    inputs.emplace_back(info.name, std::move(tensor));
  }
  return inputs;
}

inline void print(const lanner::NamedValues& outputs) {
  for (const auto& [name, value] : outputs) {
    if (!value.is_tensor()) continue;
    std::cout << name << ": " << value.tensor().type_string();
    if (value.tensor().element_type() == lanner::ElementType::kFloat32) {
      const std::span<const float> elements = value.tensor().values<float>();
      for (const float element : elements.first(std::min<std::size_t>(4, elements.size()))) std::cout << ' ' << element;
    }
    std::cout << '\n';
  }
}
