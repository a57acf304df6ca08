// fuse-max-index: ReduceMax and ArgMax of one value along one axis, or TopK of one element, are one pass over it,
// lanner.MaxWithIndex. A Sigmoid before them that nobody else reads is computed there, where it matters.
#include <algorithm>

#include "passes/match.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"ArgMax", "TopK"};

bool is_used_by(const Graph& graph, ValueId value, std::initializer_list<NodeId> users) {
  return !graph.is_output(value) && std::ranges::all_of(graph.value(value).users, [&](NodeId user) {
    return std::ranges::find(users, user) != users.end();
  });
}

// The ReduceMax of `data` along `axis` alone.
NodeId find_maximum(const Graph& graph, ValueId data, int axis, int rank) {
  for (const NodeId user : graph.value(data).users) {
    const Node& node = graph.node(user);
    const auto axes =
        is_op(node, "ReduceMax") && node.inputs[0] == data ? constant_ints(graph, input(node, 1)) : std::nullopt;
    if (axes && axes->size() == 1 && known_axis((*axes)[0], rank) == axis && node.outputs[0] != kNoValue) return user;
  }
  return kNoNode;
}

// The result's type, with dimension `axis` (1) or without it.
ValueType reduced_type(const ValueType& data, int axis, bool keep_dims, ElementType element) {
  ValueType type = data;
  type.element = element;
  type.dims[static_cast<std::size_t>(axis)] = {};
  type.dims[static_cast<std::size_t>(axis)].size = 1;
  if (!keep_dims) type.dims.erase(type.dims.begin() + axis);
  return type;
}

Verdict fuse(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  if (!node.domain.empty()) return no_match();
  const ValueId data = node.inputs[0];
  const int rank = rank_of(graph, data);
  const bool is_top = node.op == "TopK";
  const auto axis = known_axis(node.attributes.get_int("axis", is_top ? -1 : 0), rank);
  if (!axis) return no_match();
  if (type_of(graph, data).element != ElementType::kFloat32) return no_match();
  NodeId maximum = kNoNode;
  if (is_top) {
    const auto count = constant_ints(graph, input(node, 1));
    if (!count || *count != std::vector<std::int64_t>{1} || node.attributes.get_int("largest", 1) == 0) {
      return no_match();
    }
    maximum = at;
  } else {
    maximum = find_maximum(graph, data, *axis, rank);
    if (maximum == kNoNode) return no_match();
    if (node.attributes.get_int("select_last_index", 0) != 0) return near_miss("the last of equals is asked for");
    if (node.outputs[0] == kNoValue) return no_match();
  }

  const bool keep_dims = is_top || node.attributes.get_int("keepdims", 1) != 0;
  tensor::Attributes attributes;
  attributes.set("axis", std::int64_t{*axis});
  attributes.set("keepdims", std::int64_t{keep_dims});
  Node fused = make_node("MaxWithIndex", {data}, {}, "lanner");
  const Node* sigmoid = graph.producer(data);
  if (sigmoid != nullptr && is_op(*sigmoid, "Sigmoid") && is_used_by(graph, data, {at, maximum})) {
    attributes.set("activation", std::string("Sigmoid"));
    fused.inputs[0] = sigmoid->inputs[0];
    fused.stands_for = {"Sigmoid"};
  }
  fused.attributes = std::move(attributes);
  if (!is_top) fused.stands_for.emplace_back("ReduceMax");
  fused.stands_for.push_back(node.op);
  const ValueType& type = type_of(graph, data);
  const std::vector<ValueId> made =
      edit.nodes(std::move(fused), {{"", reduced_type(type, *axis, keep_dims, ElementType::kFloat32)},
                                    {"", reduced_type(type, *axis, keep_dims, ElementType::kInt64)}});
  if (is_top) {
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i] != kNoValue) edit.replace(node.outputs[i], made[i]);
    }
    return rewrite();
  }
  edit.replace(node.outputs[0], made[1]);
  const Node& max = graph.node(maximum);
  ValueId greatest = made[0];
  if ((max.attributes.get_int("keepdims", 1) != 0) != keep_dims) {
    Node adapted = make_node(keep_dims ? "Squeeze" : "Unsqueeze", {greatest, edit.constant(int_tensor({*axis}))});
    adapted.stands_for = {"ReduceMax"};
    greatest = edit.node(std::move(adapted), type_of(graph, max.outputs[0]));
  }
  edit.replace(max.outputs[0], greatest);
  return rewrite();
}

}  // namespace

constinit const Rule kFuseMaxIndex{
    "fuse-max-index", "Finds the greatest element and its place in one pass, and computes a Sigmoid before it there.",
    kOps, fuse};

}  // namespace lanner::passes
