// Whether two values always have the same shape, known in numbers or not: of a model with a free image size no spatial
// dimension is known, but two paths that treat it alike still end in the same one.
#pragma once

#include "passes/rule.h"

namespace lanner::passes {

bool same_shape(const Graph& graph, ValueId a, ValueId b);

}  // namespace lanner::passes
