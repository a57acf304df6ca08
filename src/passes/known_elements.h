// What is known about the elements of a small integer tensor before it exists: the arithmetic on shapes that exporters
// write as Shape, Gather, Unsqueeze, Concat, ... nodes, read backwards from the value it makes.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "passes/rule.h"

namespace lanner::passes {

// A number, a dimension of a value whose size is not known, or nothing.
struct Element {
  std::optional<std::int64_t> number;
  ValueId value = kNoValue;  // the element is dimension `axis` of this value
  int axis = 0;

  bool is_dim() const { return !number && value != kNoValue; }
  bool is_dim_of(ValueId of, int of_axis) const { return is_dim() && value == of && axis == of_axis; }
};

// One entry per element of an int64 or int32 value of rank 0 or 1; nothing when not even their count is known.
std::optional<std::vector<Element>> known_elements(const Graph& graph, ValueId value);

}  // namespace lanner::passes
