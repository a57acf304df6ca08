// What is known of all elements of an integer or bool value before it exists: indices and sizes are never negative, and
// what such numbers are compared with may leave only one answer.
#pragma once

#include <optional>

#include "passes/rule.h"

namespace lanner::passes {

// Whether no element of an int64 or int32 value is ever negative.
bool never_negative(const Graph& graph, ValueId value);

// What every element of a bool value always is; nothing where that is not known.
std::optional<bool> known_truth(const Graph& graph, ValueId value);

}  // namespace lanner::passes
