#include "passes/origins.h"

#include <utility>

#include "passes/match.h"

namespace lanner::passes {

namespace {

// Nodes on the way back.
constexpr std::size_t kMostMoves = 10;

bool moves_elements(const Node& node) {
  return changes_only_shape(node) || is_op(node, "Transpose") || is_op(node, "Gather") || is_op(node, "Split") ||
         is_op(node, "Slice");
}

// What a node that moves elements does to a view of its first input.
std::optional<View> moved(const Graph& graph, const Node& node, ValueId output, View view) {
  const auto axis_of = [&] { return known_axis(node.attributes.get_int("axis", 0), view.rank()); };
  if (node.op == "Transpose") {
    const std::vector<std::int64_t> perm = permutation_of(graph, node);
    return perm.size() == view.dims.size() ? transposed(std::move(view), perm) : std::nullopt;
  }
  if (node.op == "Gather") {
    const auto axis = axis_of();
    const Tensor* index = constant_of(graph, node.inputs[1]);
    const auto indices = constant_ints(graph, node.inputs[1]);
    if (!axis || index == nullptr || index->rank() != 0 || !indices) return std::nullopt;
    const std::int64_t size = view.dims[static_cast<std::size_t>(*axis)];
    const std::int64_t at = indices->front() < 0 ? indices->front() + size : indices->front();
    if (at < 0 || at >= size) return std::nullopt;
    const auto one = sliced(std::move(view), *axis, at, 1, 1);
    return one ? std::optional(without_axis(*one, *axis)) : std::nullopt;
  }
  if (node.op == "Split") {
    const auto axis = axis_of();
    if (!axis) return std::nullopt;
    std::int64_t start = 0;
    for (const ValueId part : node.outputs) {
      const auto shape = part != kNoValue ? type_of(graph, part).static_shape() : std::nullopt;
      if (!shape) return std::nullopt;
      if (part == output) return sliced(std::move(view), *axis, start, 1, (*shape)[*axis]);
      start += (*shape)[*axis];
    }
    return std::nullopt;
  }
  if (node.op == "Slice") {
    const auto taken = sliced_axis(graph, node);
    const auto shape = type_of(graph, output).static_shape();
    if (!taken || taken->step != 1 || !shape) return std::nullopt;
    const std::int64_t size = view.dims[static_cast<std::size_t>(taken->axis)];
    const std::int64_t start = taken->start < 0 ? taken->start + size : taken->start;
    if (start < 0 || start + (*shape)[taken->axis] > size) return std::nullopt;
    return sliced(std::move(view), taken->axis, start, 1, (*shape)[taken->axis]);
  }
  if (changes_only_shape(node)) {
    const auto shape = type_of(graph, output).static_shape();
    return shape ? reshaped(std::move(view), std::vector<std::int64_t>(shape->dims().begin(), shape->dims().end()))
                 : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Scaled> scaled(const Graph& graph, ValueId value) {
  const Node* node = graph.producer(value);
  if (node == nullptr || !(is_op(*node, "Mul") || is_op(*node, "Div"))) return std::nullopt;
  for (const std::size_t side : {1, 0}) {
    const auto number = constant_scalar(graph, node->inputs[side]);
    const ValueId from = node->inputs[1 - side];
    if (!number || (node->op == "Div" && side == 0) || rank_of(graph, from) != rank_of(graph, value)) continue;
    return Scaled{from, node->op == "Div" ? 1 / *number : *number};
  }
  return std::nullopt;
}

std::vector<Origin> origins_of(const Graph& graph, ValueId value, bool may_scale) {
  std::vector<Origin> origins;
  std::vector<std::pair<const Node*, ValueId>> moves;  // with the outputs that were read
  double scale = 1;
  while (type_of(graph, value).static_shape()) {
    std::optional<View> view = view_of(graph, value);
    for (auto move = moves.rbegin(); view && move != moves.rend(); ++move) {
      view = moved(graph, *move->first, move->second, std::move(*view));
    }
    if (view) origins.push_back({std::move(*view), scale});
    const Node* node = graph.producer(value);
    if (node == nullptr || moves.size() == kMostMoves) break;
    if (const auto inner = scaled(graph, value); inner && may_scale) {
      scale *= inner->factor;
      value = inner->from;
      continue;
    }
    if (!moves_elements(*node)) break;
    moves.emplace_back(node, value);
    value = node->inputs[0];
  }
  return origins;
}

ValueId reshaped_to(Edit& edit, ValueId value, ElementType element, const Shape& shape) {
  if (edit.type(value).static_shape() == shape) return value;
  const std::vector<std::int64_t> dims(shape.dims().begin(), shape.dims().end());
  return edit.node(make_node("Reshape", {value, edit.constant(int_tensor(dims))}), ValueType::tensor(element, shape));
}

}  // namespace lanner::passes
