// fix-shape-inputs: the computed target of a Reshape or Expand becomes a constant where the result's shape is known: in
// full, or for Reshape but for dimensions it copies (0) or one it can infer (-1).
#include <algorithm>

#include "passes/known_elements.h"
#include "passes/match.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"Expand", "Reshape"};

// Keeps what the node does for every input that the original accepts: -1 is ambiguous for an empty tensor, so it is
// used only beside dimensions that are known not to be 0.
Verdict fix_reshape(const Graph& graph, const Node& node, Edit& edit) {
  const bool allow_zero = node.attributes.get_int("allowzero", 0) != 0;
  const std::optional<std::vector<Element>> elements = known_elements(graph, node.inputs[1]);
  const ValueType& type = type_of(graph, node.outputs[0]);
  const std::size_t rank = elements ? elements->size() : type.ranked ? type.dims.size() : 0;
  if (!elements && !type.ranked) return near_miss("the result's rank is not known");
  if (elements && type.ranked && type.dims.size() != rank) return no_match();

  std::vector<std::int64_t> target(rank);
  int unknown_count = 0;
  bool infers = false;
  bool only_positive = true;
  for (std::size_t i = 0; i < rank; ++i) {
    const Element element = elements ? (*elements)[i] : Element{};
    if (type.ranked && type.dims[i].known() && (type.dims[i].size != 0 || allow_zero)) {
      target[i] = type.dims[i].size;
    } else if (element.number) {
      target[i] = *element.number;
    } else if (!allow_zero && element.is_dim_of(node.inputs[0], static_cast<int>(i))) {
      target[i] = 0;
    } else {
      target[i] = -1;
      ++unknown_count;
    }
    infers |= target[i] == -1;
    only_positive &= target[i] != 0;
  }
  if (unknown_count > 1 || (unknown_count == 1 && std::ranges::count(target, -1) > 1)) {
    return near_miss("{} dimensions of the new shape are not known", std::ranges::count(target, -1));
  }
  if (unknown_count == 1 && !only_positive) return near_miss("a dimension may be 0, which forbids to infer another");
  Node fixed = copy_node(node);
  fixed.inputs[1] = edit.constant(int_tensor(target));
  edit.replace(node.outputs[0], edit.node(std::move(fixed), type));
  return rewrite();
}

Verdict fix_expand(const Graph& graph, const Node& node, Edit& edit) {
  const std::optional<Shape> shape = type_of(graph, node.outputs[0]).static_shape();
  if (!shape) return near_miss("the result's shape is not known");
  Node fixed = copy_node(node);
  fixed.inputs[1] = edit.constant(int_tensor({shape->begin(), shape->end()}));
  edit.replace(node.outputs[0], edit.node(std::move(fixed), type_of(graph, node.outputs[0])));
  return rewrite();
}

Verdict fix(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  if (!node.domain.empty() || node.inputs.size() != 2 || node.outputs[0] == kNoValue) return no_match();
  if (graph.value(node.inputs[1]).is_constant()) return no_match();
  return node.op == "Reshape" ? fix_reshape(graph, node, edit) : fix_expand(graph, node, edit);
}

}  // namespace

constinit const Rule kFixShapeInputs{
    "fix-shape-inputs",
    "Makes the computed target of a Reshape or Expand a constant where its result's shape is known.", kOps, fix};

}  // namespace lanner::passes
