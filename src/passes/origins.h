// Where the elements of a value were before nodes moved them: views (view.h) of the values on the way back.
#pragma once

#include <optional>
#include <vector>

#include "passes/rule.h"
#include "passes/view.h"

namespace lanner::passes {

// `value` = factor * from, where it is a product or a quotient with a constant number.
struct Scaled {
  ValueId from;
  double factor;
};
std::optional<Scaled> scaled(const Graph& graph, ValueId value);

// The value as a view of `view.base`, times `scale`.
struct Origin {
  View view;
  double scale;
};
// The value itself, and what it was made from by moving elements, nearest first, as far as shapes are known and what
// was moved is still a view; with `may_scale` also through products with a constant number. Empty where the value's own
// shape is not known.
std::vector<Origin> origins_of(const Graph& graph, ValueId value, bool may_scale = false);

// A Reshape of the value, or the value where it has that shape.
ValueId reshaped_to(Edit& edit, ValueId value, ElementType element, const Shape& shape);

}  // namespace lanner::passes
