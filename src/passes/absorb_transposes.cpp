// absorb-transposes: a reduction along axes of a transposed tensor reads the tensor as it was, along the axes that they
// were, and only its result, which is smaller, is transposed, if the order of what is left differs at all. Reading is
// as fast along an axis with many neighbours as along the last one.
#include <algorithm>

#include "passes/match.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

// Those whose result does not depend on the order in which elements are read. The axis is an attribute, or, of those
// that start with Reduce, the second input.
constexpr std::string_view kOps[] = {"ReduceMax", "ReduceMin", "ArgMax", "ArgMin", "MaxWithIndex", "Expectation"};

// Neighbours along which kernels use whole vectors.
constexpr std::int64_t kEnoughNeighbours = 16;

bool has_axes_input(const Node& node) {
  return node.op.starts_with("Reduce");
}

std::optional<std::vector<std::int64_t>> axes_of(const Graph& graph, const Node& node) {
  if (has_axes_input(node)) return constant_ints(graph, input(node, 1));
  return std::vector<std::int64_t>{node.attributes.get_int("axis", 0)};
}

// Elements between neighbours along the last of `axes`; unknown dimensions count as one.
std::int64_t neighbours_after(const ValueType& type, const std::vector<std::int64_t>& axes) {
  std::int64_t count = 1;
  for (std::size_t i = static_cast<std::size_t>(std::ranges::max(axes)) + 1; i < type.dims.size(); ++i) {
    count *= std::max<std::int64_t>(type.dims[i].size, 1);
  }
  return count;
}

// Whether dimensions of `type`, those of one element left aside, are in the order of `permutation` already.
bool moves_nothing(const ValueType& type, const std::vector<std::int64_t>& permutation) {
  std::int64_t last = -1;
  for (const std::int64_t axis : permutation) {
    if (type.dims[static_cast<std::size_t>(axis)].size == 1) continue;
    if (axis < last) return false;
    last = axis;
  }
  return true;
}

Verdict absorb(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  const Node* transpose = graph.producer(node.inputs[0]);
  if (transpose == nullptr || !is_op(*transpose, "Transpose")) return no_match();
  if (!node.domain.empty() && node.domain != "lanner") return no_match();
  const std::vector<std::int64_t> permutation = permutation_of(graph, *transpose);
  const ValueId from = transpose->inputs[0];
  const ValueType& from_type = type_of(graph, from);
  const auto rank = static_cast<int>(permutation.size());
  const auto axes = axes_of(graph, node);
  if (permutation.empty() || !axes || axes->empty() || !from_type.ranked ||
      from_type.dims.size() != permutation.size()) {
    return no_match();
  }
  std::vector<std::int64_t> axes_before;
  for (const std::int64_t axis : *axes) {
    const auto known = known_axis(axis, rank);
    if (!known) return no_match();
    axes_before.push_back(permutation.at(static_cast<std::size_t>(*known)));
  }
  if (neighbours_after(from_type, axes_before) < kEnoughNeighbours) {
    return near_miss("fewer than {} neighbours are known to lie beside each other before", kEnoughNeighbours);
  }

  // The result's dimensions as they were, and where they go.
  const bool keep_dims = node.op == "Expectation" || node.attributes.get_int("keepdims", 1) != 0;
  const auto reduced = [&](std::int64_t axis) { return std::ranges::count(axes_before, axis) != 0; };
  std::vector<std::int64_t> place(permutation.size(), -1);  // of a dimension among those that are left
  std::int64_t left = 0;
  for (std::int64_t axis = 0; axis < rank; ++axis) {
    if (keep_dims || !reduced(axis)) place[static_cast<std::size_t>(axis)] = left++;
  }
  std::vector<std::int64_t> order;
  for (const std::int64_t axis : permutation) {
    if (place[static_cast<std::size_t>(axis)] >= 0) order.push_back(place[static_cast<std::size_t>(axis)]);
  }
  ValueType result = from_type;
  result.dims.clear();
  for (std::int64_t axis = 0; axis < rank; ++axis) {
    if (!reduced(axis)) {
      result.dims.push_back(from_type.dims[static_cast<std::size_t>(axis)]);
    } else if (keep_dims) {
      result.dims.emplace_back().size = 1;
    }
  }

  Node before = copy_node(node);
  before.inputs[0] = from;
  if (has_axes_input(node)) {
    before.inputs[1] = edit.constant(int_tensor(axes_before));
  } else {
    before.attributes.set("axis", axes_before[0]);
  }
  if (before.stands_for.empty()) before.stands_for = {node.op};
  std::vector<std::pair<std::string, ValueType>> outputs;
  for (const ValueId output : node.outputs) {
    ValueType type = result;
    if (output != kNoValue) type.element = type_of(graph, output).element;
    outputs.emplace_back("", std::move(type));
  }
  const std::vector<ValueId> made = edit.nodes(std::move(before), std::move(outputs));
  const bool in_order = std::ranges::is_sorted(order);
  for (std::size_t i = 0; i < made.size(); ++i) {
    if (node.outputs[i] == kNoValue) continue;
    const ValueType& type = type_of(graph, node.outputs[i]);
    const auto shape = type.static_shape();
    if (in_order) {
      edit.replace(node.outputs[i], made[i]);
    } else if (shape && shape->element_count() > 0 && moves_nothing(result, order)) {
      const std::vector<std::int64_t> target(shape->begin(), shape->end());
      Node reshape = make_node("Reshape", {made[i], edit.constant(int_tensor(target))});
      reshape.stands_for = {"Transpose"};
      edit.replace(node.outputs[i], edit.node(std::move(reshape), type));
    } else {
      edit.replace(node.outputs[i], edit.node(make_transpose(made[i], order), type));
    }
  }
  return rewrite();
}

}  // namespace

constinit const Rule kAbsorbTransposes{"absorb-transposes",
                                       "Reduces a transposed tensor along the axes that it had before.", kOps, absorb};

}  // namespace lanner::passes
