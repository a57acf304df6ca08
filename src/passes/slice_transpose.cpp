// slice-transpose: Slices of a Transpose are Transposes of Slices: what nobody takes is not moved, and what is taken
// may be a part that existed before (slice-concat).
#include <algorithm>

#include "passes/match.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"Slice"};

// The type before a Transpose to `type`.
ValueType type_before(const ValueType& type, const std::vector<std::int64_t>& permutation) {
  ValueType before = type;
  if (!type.ranked || type.dims.size() != permutation.size()) return {};
  for (std::size_t i = 0; i < permutation.size(); ++i) {
    before.dims[static_cast<std::size_t>(permutation[i])] = type.dims[i];
  }
  return before;
}

Verdict slice(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  const Node* transpose = graph.producer(node.inputs[0]);
  if (!node.domain.empty() || node.outputs[0] == kNoValue || transpose == nullptr || !is_op(*transpose, "Transpose")) {
    return no_match();
  }
  const std::vector<std::int64_t> permutation = permutation_of(graph, *transpose);
  const auto rank = static_cast<int>(permutation.size());
  const auto starts = constant_ints(graph, input(node, 1));
  if (permutation.empty() || !starts) return no_match();
  std::vector<std::int64_t> axes;
  if (!has_input(node, 3)) {
    for (std::size_t i = 0; i < starts->size(); ++i) axes.push_back(static_cast<std::int64_t>(i));
  } else if (const auto given = constant_ints(graph, node.inputs[3])) {
    axes = *given;
  } else {
    return no_match();
  }
  for (std::int64_t& axis : axes) {
    const auto known = known_axis(axis, rank);
    if (!known) return no_match();
    axis = permutation.at(static_cast<std::size_t>(*known));
  }

  // Elements that were moved for another user, or for two Slices, would be moved more than once.
  const ValueId whole = node.inputs[0];
  std::int64_t taken = 0;
  for (const NodeId user : graph.value(whole).users) {
    const Node& other = graph.node(user);
    const auto shape = is_op(other, "Slice") ? type_of(graph, other.outputs[0]).static_shape() : std::nullopt;
    if (!shape || other.inputs[0] != whole) return near_miss("the transposed tensor has a user that is no Slice");
    taken += shape->element_count();
  }
  const auto shape = type_of(graph, whole).static_shape();
  if (!shape || graph.is_output(whole) || taken > shape->element_count()) {
    return near_miss("all of the transposed tensor is needed");
  }

  Node before = make_node("Slice", node.inputs);
  before.stands_for = {"Slice"};
  before.inputs.resize(std::max<std::size_t>(node.inputs.size(), 4), kNoValue);
  before.inputs[0] = transpose->inputs[0];
  before.inputs[3] = edit.constant(int_tensor(axes));
  const ValueType& type = type_of(graph, node.outputs[0]);
  const ValueId part = edit.node(std::move(before), type_before(type, permutation));
  edit.replace(node.outputs[0], edit.node(make_transpose(part, permutation), type));
  return rewrite();
}

}  // namespace

constinit const Rule kSliceTranspose{"slice-transpose", "Transposes what Slices take, after they have taken it.", kOps,
                                     slice};

}  // namespace lanner::passes
