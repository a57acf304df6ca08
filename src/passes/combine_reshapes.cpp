// combine-reshapes: of operators that only change the shape, in a row, the last one is enough, and none where the shape
// is what it was.
#include <algorithm>

#include "passes/known_elements.h"
#include "passes/match.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"Flatten", "Reshape", "Squeeze", "Unsqueeze"};

// The axes of a Squeeze or Unsqueeze, counted from the front in a tensor of `rank` dimensions; empty when not known.
std::vector<std::int64_t> axes_of(const Graph& graph, const Node& node, int rank) {
  const auto axes = constant_ints(graph, input(node, 1));
  if (!axes || rank < 0) return {};
  std::vector<std::int64_t> result = *axes;
  for (std::int64_t& axis : result) axis += axis < 0 ? rank : 0;
  std::ranges::sort(result);
  return result;
}

// Whether `node` undoes `before`: Squeeze of Unsqueeze or the reverse, with the same axes of the tensor between.
// Squeezed dimensions are 1, so putting them back restores the shape.
bool undoes(const Graph& graph, const Node& before, const Node& node) {
  if (is_op(before, "Unsqueeze") && is_op(node, "Squeeze")) {
    const int rank = rank_of(graph, node.inputs[0]);
    const std::vector<std::int64_t> axes = axes_of(graph, before, rank);
    return !axes.empty() && axes == axes_of(graph, node, rank);
  }
  if (is_op(before, "Squeeze") && is_op(node, "Unsqueeze")) {
    const int rank = rank_of(graph, before.inputs[0]);
    const std::vector<std::int64_t> axes = axes_of(graph, before, rank);
    return !axes.empty() && axes == axes_of(graph, node, rank_of(graph, node.outputs[0]));
  }
  return false;
}

// Whether a Reshape's target is, element by element, the dimensions of its input.
bool keeps_every_dimension(const Graph& graph, const Node& node) {
  const int rank = rank_of(graph, node.inputs[0]);
  const auto elements = known_elements(graph, node.inputs[1]);
  if (!elements || rank < 0 || elements->size() != static_cast<std::size_t>(rank)) return false;
  const bool allow_zero = node.attributes.get_int("allowzero", 0) != 0;
  const ValueType& type = type_of(graph, node.inputs[0]);
  int inferred = 0;
  for (int axis = 0; axis < rank; ++axis) {
    const Element& element = (*elements)[static_cast<std::size_t>(axis)];
    const tensor::Dim& dim = type.dims[static_cast<std::size_t>(axis)];
    const bool copied = !allow_zero && element.number == 0;
    const bool same = element.is_dim_of(node.inputs[0], axis) || (dim.known() && element.number == dim.size);
    if (copied || same) continue;
    // The one dimension that is inferred is what is left when all others are kept; unless one is 0, which is an error.
    if (element.number != -1 || ++inferred > 1) return false;
    for (int other = 0; other < rank; ++other) {
      if (other != axis && type.dims[static_cast<std::size_t>(other)].size <= 0) return false;
    }
  }
  return true;
}

Verdict combine(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  if (!node.domain.empty() || node.outputs[0] == kNoValue) return no_match();
  const ValueId from = node.inputs[0];
  const ValueId to = node.outputs[0];
  const Node* before = graph.producer(from);
  if (same_static_shape(graph, from, to) || (node.op == "Reshape" && keeps_every_dimension(graph, node))) {
    edit.replace(to, from);
    return rewrite();
  }
  if (before == nullptr || !changes_only_shape(*before)) return no_match();
  const ValueId first = before->inputs[0];
  if (same_static_shape(graph, first, to) || undoes(graph, *before, node)) {
    edit.replace(to, first);
    return rewrite();
  }

  // Otherwise one Reshape from the first tensor, if the target says so without looking at the tensor between.
  std::vector<std::int64_t> target;
  bool allow_zero = false;
  if (const std::optional<Shape> shape = type_of(graph, to).static_shape()) {
    target.assign(shape->begin(), shape->end());
    allow_zero = std::ranges::count(target, 0) > 0;
  } else if (const auto wanted = constant_ints(graph, input(node, 1)); wanted && node.op == "Reshape") {
    target = *wanted;
    allow_zero = node.attributes.get_int("allowzero", 0) != 0;
    const bool copies = is_op(*before, "Reshape") && before->attributes.get_int("allowzero", 0) == 0;
    const auto earlier = copies ? constant_ints(graph, input(*before, 1)) : std::nullopt;
    for (std::size_t i = 0; i < target.size(); ++i) {
      if (target[i] != 0 || allow_zero) continue;
      if (earlier && i < earlier->size() && (*earlier)[i] == 0) continue;  // that of the first tensor, then
      const ValueType& between = type_of(graph, from);
      if (!between.ranked || i >= between.dims.size() || between.dims[i].size <= 0) {
        return near_miss("the second shape copies a dimension of the first that is not known");
      }
      target[i] = between.dims[i].size;
    }
  } else {
    return no_match();
  }
  Node reshape = make_node("Reshape", {first, edit.constant(int_tensor(target))});
  if (allow_zero) reshape.attributes.set("allowzero", std::int64_t{1});
  edit.replace(to, edit.node(std::move(reshape), type_of(graph, to)));
  return rewrite();
}

}  // namespace

constinit const Rule kCombineReshapes{
    "combine-reshapes", "Merges operators in a row that only change the shape and drops those that change nothing.",
    kOps, combine};

}  // namespace lanner::passes
