// Operators that compute each row of an axis by itself: what they make of lists one after another is what they make of
// each, one after another.
#pragma once

#include <optional>
#include <vector>

#include "passes/same_shape.h"

namespace lanner::passes {

// For each input of `node` the axis along which it has the rows that `output`, one of its outputs, has along `axis`, or
// kNoRows where all rows see all of it. Nothing where rows do not keep to themselves, or it is not known.
inline constexpr int kNoRows = -1;
std::optional<std::vector<int>> row_axes(const Graph& graph, SizeOrigins& sizes, const Node& node, ValueId output,
                                         int axis);

}  // namespace lanner::passes
