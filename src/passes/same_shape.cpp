#include "passes/same_shape.h"

#include <algorithm>

#include "passes/known_elements.h"
#include "passes/match.h"
#include "passes/product_pattern.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kKeepShape[] = {"Abs",
                                           "BatchNormalization",
                                           "Cast",
                                           "Ceil",
                                           "Clip",
                                           "Elu",
                                           "Exp",
                                           "Floor",
                                           "Gelu",
                                           "HardSigmoid",
                                           "HardSwish",
                                           "Identity",
                                           "LayerNormalization",
                                           "LeakyRelu",
                                           "Log",
                                           "Neg",
                                           "Not",
                                           "Reciprocal",
                                           "Relu",
                                           "Round",
                                           "Sigmoid",
                                           "Sign",
                                           "Softmax",
                                           "Sqrt",
                                           "Swish",
                                           "Tanh"};

constexpr std::string_view kBroadcast[] = {"Add",  "And",         "Div", "Equal", "Greater", "GreaterOrEqual",
                                           "Less", "LessOrEqual", "Max", "Min",   "Mod",     "Mul",
                                           "Or",   "Pow",         "Sub", "Sum",   "Where",   "Xor"};

// Operators whose outputs are lists of the same rows.
constexpr std::string_view kLists[] = {"ClassNonMaxSuppression", "ClassTopK"};

// Longer ways back are not followed to their end.
constexpr int kMaxDepth = 1024;

template <std::size_t count>
bool is_one_of(const std::string_view (&names)[count], std::string_view name) {
  return std::ranges::find(names, name) != std::end(names);
}

std::optional<SizeWindow> window_of(const Graph& graph, const Node& conv, std::size_t axis) {
  const ValueType& weights = type_of(graph, conv.inputs[1]);
  if (conv.attributes.get_string("auto_pad", "NOTSET") != "NOTSET" || !weights.dims[axis].known()) return std::nullopt;
  const auto nth = [&](std::string_view name, std::size_t position, std::int64_t otherwise) {
    const std::vector<std::int64_t> numbers = conv.attributes.get_ints(name);
    return position < numbers.size() ? numbers[position] : otherwise;
  };
  const std::size_t spatial = axis - 2;
  const std::int64_t reach = nth("dilations", spatial, 1) * (weights.dims[axis].size - 1) + 1;
  const std::int64_t padding = nth("pads", spatial, 0) + nth("pads", spatial + weights.dims.size() - 2, 0);
  return SizeWindow{padding - reach, nth("strides", spatial, 1)};
}

// The axes that an attribute or a constant input names, counted from 0; nothing where they are not known.
std::optional<std::vector<std::size_t>> axes_of(const Graph& graph, ValueId axes, int rank) {
  const auto wanted = constant_ints(graph, axes);
  if (!wanted) return std::nullopt;
  std::vector<std::size_t> result;
  for (const std::int64_t axis : *wanted) {
    if (axis < -rank || axis >= rank) return std::nullopt;
    result.push_back(static_cast<std::size_t>(axis < 0 ? axis + rank : axis));
  }
  std::ranges::sort(result);
  return result;
}

}  // namespace

const SizeOrigin& SizeOrigins::of(ValueId value, std::size_t axis) {
  const auto found = known_.find({value, axis});
  if (found != known_.end()) return found->second;
  ++depth_;
  SizeOrigin origin = find(value, axis);
  --depth_;
  return known_.insert_or_assign({value, axis}, std::move(origin)).first->second;
}

SizeOrigin SizeOrigins::find(ValueId value, std::size_t axis) {
  const ValueType& type = type_of(graph_, value);
  if (type.is_tensor() && type.ranked && axis < type.dims.size() && type.dims[axis].known()) {
    return {.size = type.dims[axis].size};
  }
  const Node* node = depth_ > kMaxDepth ? nullptr : graph_.producer(value);
  if (node != nullptr) {
    if (std::optional<SizeOrigin> origin = through(*node, value, axis)) return *origin;
  }
  return {.value = value, .axis = axis};
}

std::optional<SizeOrigin> SizeOrigins::through(const Node& node, ValueId value, std::size_t axis) {
  const auto of_input = [&](std::size_t position, std::size_t of_axis) -> std::optional<SizeOrigin> {
    if (!has_input(node, position)) return std::nullopt;
    return of(node.inputs[position], of_axis);
  };
  const bool first = node.outputs[0] == value;
  if (first) {
    if (const auto conv = conv_of(graph_, value, true)) {
      if (axis == 1 || (axis >= 2 && axis >= static_cast<std::size_t>(conv->rank))) return std::nullopt;
      if (axis == 0) return of_input(0, 0);
      const std::optional<SizeWindow> window = window_of(graph_, node, axis);
      if (!window) return std::nullopt;
      std::optional<SizeOrigin> origin = of_input(0, axis);
      if (!window->keeps()) origin->windows.insert(origin->windows.begin(), *window);
      return origin;
    }
  }
  if (first && axis + 1 < static_cast<std::size_t>(std::max(rank_of(graph_, value), 0)) && product_of(graph_, value)) {
    return of_input(0, axis);
  }
  if (first && node.op == "ResizeLike" && node.domain == "lanner") return of_input(axis < 2 ? 0 : 1, axis);
  if (!node.domain.empty()) {
    const bool list = is_one_of(kLists, node.op) && axis == 0 && !first && node.outputs[0] != kNoValue;
    return list ? std::optional(of(node.outputs[0], 0)) : std::nullopt;
  }
  if (node.op == "Split") {
    const int rank = rank_of(graph_, value);
    const std::int64_t along = node.attributes.get_int("axis", 0);
    const bool other = rank > 0 && static_cast<std::int64_t>(axis) != (along < 0 ? along + rank : along);
    return other ? of_input(0, axis) : std::nullopt;
  }
  if (node.op == "TopK" && !first && node.outputs[0] != kNoValue) return of(node.outputs[0], axis);
  if (!first) return std::nullopt;
  if (is_one_of(kKeepShape, node.op)) return of_input(0, axis);
  const int rank = rank_of(graph_, value);
  if (rank < 0) return std::nullopt;
  if (is_one_of(kBroadcast, node.op)) return through_broadcast(node, static_cast<std::size_t>(rank), axis);
  if (node.op == "MatMul") {
    if (rank < 2 || rank_of(graph_, input(node, 0)) != rank || rank_of(graph_, input(node, 1)) != rank) {
      return std::nullopt;
    }
    const auto columns = static_cast<std::size_t>(rank) - 1;
    if (axis == columns) return of_input(1, axis);
    return axis + 1 == columns ? of_input(0, axis) : through_broadcast(node, static_cast<std::size_t>(rank), axis);
  }
  if (node.op == "Attention") return axis + 1 < static_cast<std::size_t>(rank) ? of_input(0, axis) : std::nullopt;
  if (node.op == "Reshape") return through_reshape(node, axis);
  if (node.op == "Gather") {
    const int data = rank_of(graph_, input(node, 0));
    const int indices = rank_of(graph_, input(node, 1));
    const std::int64_t wanted = node.attributes.get_int("axis", 0);
    if (data < 0 || indices < 0 || wanted < -data || wanted >= data) return std::nullopt;
    const auto along = static_cast<std::size_t>(wanted < 0 ? wanted + data : wanted);
    const auto count = static_cast<std::size_t>(indices);
    if (axis < along) return of_input(0, axis);
    return axis < along + count ? of_input(1, axis - along) : of_input(0, axis - count + 1);
  }
  if (node.op == "Unsqueeze") {
    const auto axes = axes_of(graph_, input(node, 1), rank);
    if (!axes || std::ranges::binary_search(*axes, axis)) return std::nullopt;
    return of_input(0, axis - static_cast<std::size_t>(std::ranges::lower_bound(*axes, axis) - axes->begin()));
  }
  if (node.op == "Squeeze") {
    const auto axes = axes_of(graph_, input(node, 1), rank_of(graph_, node.inputs[0]));
    if (!axes) return std::nullopt;
    for (const std::size_t gone : *axes) axis += gone <= axis ? 1 : 0;
    return of_input(0, axis);
  }
  if (node.op == "Transpose") {
    const std::vector<std::int64_t> perm = node.attributes.get_ints("perm");
    if (perm.empty()) return of_input(0, static_cast<std::size_t>(rank) - 1 - axis);
    return axis < perm.size() && perm[axis] >= 0 ? of_input(0, static_cast<std::size_t>(perm[axis])) : std::nullopt;
  }
  if (node.op == "Slice") {
    const auto axes = axes_of(graph_, input(node, 3), rank);
    return axes && !std::ranges::binary_search(*axes, axis) ? of_input(0, axis) : std::nullopt;
  }
  if (node.op == "Concat") {
    const std::int64_t along = node.attributes.get_int("axis", 0);
    const bool other = static_cast<std::int64_t>(axis) != (along < 0 ? along + rank : along);
    return other ? of_input(0, axis) : std::nullopt;
  }
  return std::nullopt;
}

std::optional<SizeOrigin> SizeOrigins::through_broadcast(const Node& node, std::size_t rank, std::size_t axis) {
  std::optional<SizeOrigin> result;
  for (const ValueId value : node.inputs) {
    const int own = value == kNoValue ? -1 : rank_of(graph_, value);
    if (own < 0 || static_cast<std::size_t>(own) > rank) return std::nullopt;
    const std::size_t missing = rank - static_cast<std::size_t>(own);
    if (axis < missing) continue;
    const SizeOrigin& origin = of(value, axis - missing);
    if (origin.size == 1) continue;
    if (result && *result != origin) return std::nullopt;
    result = origin;
  }
  return result;
}

std::optional<SizeOrigin> SizeOrigins::through_reshape(const Node& node, std::size_t axis) {
  const auto target = known_elements(graph_, input(node, 1));
  const ValueType& from = type_of(graph_, input(node, 0));
  if (!target || axis >= target->size() || !from.ranked) return std::nullopt;
  const Element& wanted = (*target)[axis];
  if (wanted.is_dim()) return of(wanted.value, static_cast<std::size_t>(wanted.axis));
  if (wanted.number == 0) {
    return node.attributes.get_int("allowzero", 0) == 0 ? std::optional(of(node.inputs[0], axis)) : std::nullopt;
  }
  if (wanted.number > 0) return SizeOrigin{.size = *wanted.number};
  if (wanted.number != -1) return std::nullopt;
  // What is left is the one size that is not known where the others are as many elements on both sides.
  std::int64_t given = 1;
  for (std::size_t i = 0; i < target->size(); ++i) {
    if (i == axis) continue;
    const std::int64_t number = (*target)[i].number.value_or(0);
    if (number <= 0 || __builtin_mul_overflow(given, number, &given)) return std::nullopt;
  }
  std::optional<std::size_t> open;
  std::int64_t present = 1;
  for (std::size_t i = 0; i < from.dims.size(); ++i) {
    if (from.dims[i].known()) {
      if (__builtin_mul_overflow(present, from.dims[i].size, &present)) return std::nullopt;
    } else if (open) {
      return std::nullopt;
    } else {
      open = i;
    }
  }
  return open && present == given ? std::optional(of(node.inputs[0], *open)) : std::nullopt;
}

bool SizeOrigins::same_shape(ValueId a, ValueId b) {
  const int rank = rank_of(graph_, a);
  if (rank < 0 || rank != rank_of(graph_, b)) return false;
  for (std::size_t axis = 0; axis < static_cast<std::size_t>(rank); ++axis) {
    if (of(a, axis) != of(b, axis)) return false;
  }
  return true;
}

bool same_shape(const Graph& graph, ValueId a, ValueId b) {
  return SizeOrigins(graph).same_shape(a, b);
}

}  // namespace lanner::passes
