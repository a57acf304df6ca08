// Writing the region that does the work of alike siblings: one lanner.ForEach, whose body is the first of them.
#pragma once

#include <vector>

#include "passes/alike_siblings.h"

namespace lanner::passes {

// By meeting, what its parts that are results of these siblings become together; kNoValue where they have none there.
// Empty when all siblings are given the same. New nodes of the body say that `rule` made them.
std::vector<ValueId> add_region(const Graph& graph, const SiblingCones& cones, const AlikeSiblings& siblings,
                                std::string_view rule, Edit& edit);

}  // namespace lanner::passes
