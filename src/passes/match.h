// How rules read a graph: small questions about a node's inputs, constants and users.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "passes/rule.h"

namespace lanner::passes {

// ONNX's own operator of that name.
inline bool is_op(const Node& node, std::string_view op) {
  return node.op == op && node.domain.empty();
}

inline bool has_input(const Node& node, std::size_t position) {
  return position < node.inputs.size() && node.inputs[position] != kNoValue;
}
// kNoValue for an absent optional input.
inline ValueId input(const Node& node, std::size_t position) {
  return position < node.inputs.size() ? node.inputs[position] : kNoValue;
}

// Null unless the value is a constant.
inline const Tensor* constant_of(const Graph& graph, ValueId value) {
  return value != kNoValue && graph.value(value).is_constant() ? &graph.value(value).constant : nullptr;
}
// The elements of a constant int64 or int32 tensor of any rank.
std::optional<std::vector<std::int64_t>> constant_ints(const Graph& graph, ValueId value);
// The one element of a constant number or bool of any rank.
std::optional<double> constant_scalar(const Graph& graph, ValueId value);
// The elements of a constant float32 or float64 tensor.
std::optional<std::vector<double>> constant_floats(const Graph& graph, ValueId value);

// A tensor of `type` (float32 or float64) with these elements, rounded once.
Tensor float_tensor(ElementType type, const Shape& shape, const std::vector<double>& elements);
Tensor int_tensor(const std::vector<std::int64_t>& elements);

inline const ValueType& type_of(const Graph& graph, ValueId value) {
  return graph.value(value).type;
}
// -1 while unknown.
inline int rank_of(const Graph& graph, ValueId value) {
  const ValueType& type = type_of(graph, value);
  return type.is_tensor() && type.ranked ? static_cast<int>(type.dims.size()) : -1;
}
// Both shapes known in full and equal.
bool same_static_shape(const Graph& graph, ValueId a, ValueId b);

// `axis` counted from the front; nothing where it is out of range or the rank is below 0.
std::optional<int> known_axis(std::int64_t axis, int rank);
// A Slice along one axis, by constants as they are written; nothing where it is another.
struct SlicedAxis {
  int axis;  // counted from the front
  std::int64_t start;
  std::int64_t end;
  std::int64_t step;
};
std::optional<SlicedAxis> sliced_axis(const Graph& graph, const Node& slice);
// Whether it is a Flatten, Reshape, Squeeze or Unsqueeze.
bool changes_only_shape(const Node& node);
// What a Transpose's output dimensions were in its input; empty while the rank is not known.
std::vector<std::int64_t> permutation_of(const Graph& graph, const Node& transpose);
// A Transpose of that order.
Node make_transpose(ValueId value, std::vector<std::int64_t> permutation);

// Whether two runs of the node may differ.
bool is_random(const Node& node);

// A node of ONNX's domain (or another) that an Edit may add.
Node make_node(std::string_view op, std::vector<ValueId> inputs, tensor::Attributes attributes = {},
               std::string_view domain = {});
// The node with its nested graphs.
Node copy_node(const Node& node);

}  // namespace lanner::passes
