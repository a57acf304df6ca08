#include "passes/match.h"

#include <algorithm>
#include <memory>

#include "tensor/dispatch.h"

namespace lanner::passes {

std::optional<std::vector<std::int64_t>> constant_ints(const Graph& graph, ValueId value) {
  const Tensor* tensor = constant_of(graph, value);
  if (tensor == nullptr) return std::nullopt;
  if (tensor->element_type() == ElementType::kInt64) {
    const auto elements = tensor->values<std::int64_t>();
    return std::vector<std::int64_t>(elements.begin(), elements.end());
  }
  if (tensor->element_type() == ElementType::kInt32) {
    const auto elements = tensor->values<std::int32_t>();
    return std::vector<std::int64_t>(elements.begin(), elements.end());
  }
  return std::nullopt;
}

std::optional<double> constant_scalar(const Graph& graph, ValueId value) {
  const Tensor* tensor = constant_of(graph, value);
  if (tensor == nullptr || tensor->element_count() != 1) return std::nullopt;
  switch (tensor->element_type()) {
    case ElementType::kFloat32:
      return *tensor->data<float>();
    case ElementType::kFloat64:
      return *tensor->data<double>();
    case ElementType::kBool:
      return *tensor->data<bool>() ? 1.0 : 0.0;
    case ElementType::kInt64:
      return static_cast<double>(*tensor->data<std::int64_t>());
    case ElementType::kInt32:
      return *tensor->data<std::int32_t>();
    default:
      return std::nullopt;
  }
}

std::optional<std::vector<double>> constant_floats(const Graph& graph, ValueId value) {
  const Tensor* tensor = constant_of(graph, value);
  if (tensor == nullptr) return std::nullopt;
  if (tensor->element_type() == ElementType::kFloat32) {
    const auto elements = tensor->values<float>();
    return std::vector<double>(elements.begin(), elements.end());
  }
  if (tensor->element_type() == ElementType::kFloat64) {
    const auto elements = tensor->values<double>();
    return std::vector<double>(elements.begin(), elements.end());
  }
  return std::nullopt;
}

Tensor float_tensor(ElementType type, const Shape& shape, const std::vector<double>& elements) {
  Tensor result = Tensor::allocate(type, shape);
  tensor::dispatch(tensor::FloatTypes{}, type, "a folded constant", [&]<typename T>() {
    std::ranges::transform(elements, result.data<T>(), [](double element) { return static_cast<T>(element); });
  });
  return result;
}

Tensor int_tensor(const std::vector<std::int64_t>& elements) {
  return Tensor::of<std::int64_t>({static_cast<std::int64_t>(elements.size())}, elements);
}

bool same_static_shape(const Graph& graph, ValueId a, ValueId b) {
  const std::optional<Shape> shape = type_of(graph, a).static_shape();
  return shape && shape == type_of(graph, b).static_shape();
}

std::optional<int> known_axis(std::int64_t axis, int rank) {
  if (rank < 0 || axis < -rank || axis >= rank) return std::nullopt;
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

std::optional<SlicedAxis> sliced_axis(const Graph& graph, const Node& slice) {
  const auto number = [&](std::size_t position, std::optional<std::int64_t> otherwise) -> std::optional<std::int64_t> {
    if (!has_input(slice, position)) return otherwise;
    const auto numbers = constant_ints(graph, slice.inputs[position]);
    return numbers && numbers->size() == 1 ? std::optional(numbers->front()) : std::nullopt;
  };
  const auto start = number(1, std::nullopt);
  const auto end = number(2, std::nullopt);
  const auto wanted = number(3, 0);
  const auto step = number(4, 1);
  if (!start || !end || !wanted || !step) return std::nullopt;
  const auto axis = known_axis(*wanted, rank_of(graph, slice.inputs[0]));
  return axis ? std::optional(SlicedAxis{*axis, *start, *end, *step}) : std::nullopt;
}

bool changes_only_shape(const Node& node) {
  return is_op(node, "Flatten") || is_op(node, "Reshape") || is_op(node, "Squeeze") || is_op(node, "Unsqueeze");
}

std::vector<std::int64_t> permutation_of(const Graph& graph, const Node& transpose) {
  std::vector<std::int64_t> permutation = transpose.attributes.get_ints("perm");
  if (!permutation.empty() || transpose.attributes.has("perm")) return permutation;
  for (int axis = rank_of(graph, transpose.inputs[0]) - 1; axis >= 0; --axis) permutation.push_back(axis);
  return permutation;
}

Node make_transpose(ValueId value, std::vector<std::int64_t> permutation) {
  tensor::Attributes attributes;
  attributes.set("perm", std::move(permutation));
  Node node = make_node("Transpose", {value}, std::move(attributes));
  node.stands_for = {"Transpose"};
  return node;
}

bool is_random(const Node& node) {
  static constexpr std::string_view kRandom[] = {"Bernoulli",        "Multinomial",   "RandomNormal",
                                                 "RandomNormalLike", "RandomUniform", "RandomUniformLike"};
  if (std::ranges::find(kRandom, node.op) != std::end(kRandom)) return true;
  // Dropout draws only when its training_mode input says so.
  return is_op(node, "Dropout") && has_input(node, 2);
}

Node make_node(std::string_view op, std::vector<ValueId> inputs, tensor::Attributes attributes,
               std::string_view domain) {
  Node node;
  node.op = op;
  node.domain = domain;
  node.inputs = std::move(inputs);
  node.attributes = std::move(attributes);
  return node;
}

Node copy_node(const Node& node) {
  Node copy = make_node(node.op, node.inputs, node.attributes, node.domain);
  copy.name = node.name;
  copy.capture_count = node.capture_count;
  copy.stands_for = node.stands_for;
  copy.made_by = node.made_by;
  for (const auto& [key, nested] : node.graphs) copy.graphs.emplace_back(key, std::make_unique<Graph>(*nested));
  return copy;
}

}  // namespace lanner::passes
