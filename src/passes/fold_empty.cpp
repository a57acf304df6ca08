// fold-empty: a tensor that is known to have no elements is a constant, whatever made it. A filter that takes the
// columns behind the last one, as exporters write for masks that a model does not have, would otherwise keep all of a
// table alive.
#include <algorithm>

#include "passes/match.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

Verdict fold(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  const auto is_empty = [&](ValueId value) {
    const ValueType& type = type_of(graph, value);
    const auto shape = type.is_tensor() ? type.static_shape() : std::nullopt;
    return shape && shape->element_count() == 0 && type.element != ElementType::kUndefined;
  };
  bool any = false;
  for (const ValueId output : node.outputs) {
    if (output == kNoValue) continue;
    if (!is_empty(output)) return no_match();
    any = true;
  }
  if (!any) return no_match();
  for (const ValueId output : node.outputs) {
    if (output == kNoValue) continue;
    const ValueType& type = type_of(graph, output);
    edit.replace(output, edit.constant(Tensor::allocate(type.element, *type.static_shape())));
  }
  return rewrite();
}

}  // namespace

constinit const Rule kFoldEmpty{"fold-empty", "Makes tensors that are known to have no elements constants.", {}, fold};

}  // namespace lanner::passes
