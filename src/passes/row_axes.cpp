#include "passes/row_axes.h"

#include <algorithm>
#include <string_view>

#include "passes/match.h"

namespace lanner::passes {

namespace {

// The first input keeps its axes; others are settings.
constexpr std::string_view kElementwise[] = {
    "Abs",       "Cast",     "Ceil",    "Clip",  "Elu",       "Erf",  "Exp",   "Floor", "HardSigmoid",
    "HardSwish", "Identity", "IsInf",   "IsNaN", "LeakyRelu", "Log",  "Neg",   "Not",   "Reciprocal",
    "Relu",      "Round",    "Sigmoid", "Sign",  "Softplus",  "Sqrt", "Swish", "Tanh"};

constexpr std::string_view kBroadcast[] = {"Add",  "And",         "Div", "Equal", "Greater", "GreaterOrEqual",
                                           "Less", "LessOrEqual", "Max", "Min",   "Mod",     "Mul",
                                           "Or",   "Pow",         "Sub", "Sum",   "Where",   "Xor"};

using Axes = std::optional<std::vector<int>>;

template <std::size_t count>
bool is_one_of(const std::string_view (&names)[count], std::string_view name) {
  return std::ranges::find(names, name) != std::end(names);
}

std::size_t at(int axis) {
  return static_cast<std::size_t>(axis);
}

// The rows are in the first input alone.
Axes first_has_them(const Node& node, int axis) {
  std::vector<int> axes(node.inputs.size(), kNoRows);
  axes[0] = axis;
  return axes;
}

// An axis counted from 0.
std::optional<int> counted(std::int64_t axis, int rank) {
  if (axis < -rank || axis >= rank) return std::nullopt;
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

std::optional<std::vector<int>> constant_axes(const Graph& graph, ValueId value, int rank) {
  const auto wanted = constant_ints(graph, value);
  if (!wanted) return std::nullopt;
  std::vector<int> result;
  for (const std::int64_t axis : *wanted) {
    const std::optional<int> found = counted(axis, rank);
    if (!found) return std::nullopt;
    result.push_back(*found);
  }
  std::ranges::sort(result);
  return result;
}

Axes broadcast(const Graph& graph, SizeOrigins& sizes, const Node& node, ValueId output, int axis) {
  const int rank = rank_of(graph, output);
  std::vector<int> axes;
  for (const ValueId value : node.inputs) {
    const int own = value == kNoValue ? -1 : rank_of(graph, value);
    if (own < 0) return std::nullopt;
    const int of = axis - (rank - own);
    if (of < 0 || sizes.of(value, at(of)).size == 1) {
      axes.push_back(kNoRows);
    } else if (sizes.of(value, at(of)) == sizes.of(output, at(axis))) {
      axes.push_back(of);
    } else {
      return std::nullopt;  // it may be broadcast, or not
    }
  }
  if (std::ranges::all_of(axes, [](int of) { return of == kNoRows; })) return std::nullopt;
  return axes;
}

Axes gather(const Graph& graph, const Node& node, int axis) {
  const int data = rank_of(graph, input(node, 0));
  const int indices = rank_of(graph, input(node, 1));
  const std::optional<int> along = counted(node.attributes.get_int("axis", 0), data);
  if (data < 0 || indices < 0 || !along) return std::nullopt;
  if (axis < *along) return std::vector<int>{axis, kNoRows};
  if (axis < *along + indices) return std::vector<int>{kNoRows, axis - *along};
  return std::vector<int>{axis - indices + 1, kNoRows};
}

// Whatever the number of rows, each has as many elements before and after.
Axes reshape(const Graph& graph, const Node& node, ValueId output, int axis) {
  const auto target = constant_ints(graph, input(node, 1));
  const ValueType& from = type_of(graph, input(node, 0));
  const ValueType& to = type_of(graph, output);
  if (!target || !from.ranked || !to.ranked || target->size() != to.dims.size()) return std::nullopt;
  const std::int64_t wanted = (*target)[at(axis)];
  const bool copies = wanted == 0 && node.attributes.get_int("allowzero", 0) == 0;
  if (wanted != -1 && !copies) return std::nullopt;
  const auto is_one = [](const tensor::Dim& dim) { return dim.size == 1; };
  if (!std::all_of(to.dims.begin(), to.dims.begin() + axis, is_one)) return std::nullopt;
  const auto row_size = [](const ValueType& type, std::size_t first) -> std::optional<std::int64_t> {
    std::int64_t size = 1;
    for (std::size_t i = first; i < type.dims.size(); ++i) {
      if (type.dims[i].size <= 0 || __builtin_mul_overflow(size, type.dims[i].size, &size)) return std::nullopt;
    }
    return size;
  };
  const std::optional<std::int64_t> size = row_size(to, at(axis) + 1);
  if (!size) return std::nullopt;
  for (std::size_t of = 0; of < from.dims.size(); ++of) {
    if (row_size(from, of + 1) == size && !is_one(from.dims[of])) {
      return copies && static_cast<int>(of) != axis ? std::nullopt : first_has_them(node, static_cast<int>(of));
    }
    if (!is_one(from.dims[of])) return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

Axes row_axes(const Graph& graph, SizeOrigins& sizes, const Node& node, ValueId output, int axis) {
  const int rank = rank_of(graph, output);
  if (!node.domain.empty() || !node.graphs.empty() || node.inputs.empty() || axis < 0 || axis >= rank) {
    return std::nullopt;
  }
  if (is_one_of(kElementwise, node.op)) return first_has_them(node, axis);
  if (is_one_of(kBroadcast, node.op)) return broadcast(graph, sizes, node, output, axis);
  if (node.op == "Gather") return gather(graph, node, axis);
  if (node.op == "Reshape") return reshape(graph, node, output, axis);
  if (node.op == "Flatten") {
    return axis == 0 && node.attributes.get_int("axis", 1) == 1 ? first_has_them(node, 0) : std::nullopt;
  }
  if (node.op == "Transpose") {
    const std::vector<std::int64_t> perm = node.attributes.get_ints("perm");
    if (perm.empty()) return first_has_them(node, rank - 1 - axis);
    const std::optional<int> of = at(axis) < perm.size() ? counted(perm[at(axis)], rank) : std::nullopt;
    return of ? first_has_them(node, *of) : std::nullopt;
  }
  if (node.op == "Concat" || node.op == "Split") {
    const std::optional<int> along = counted(node.attributes.get_int("axis", 0), rank);
    if (!along || *along == axis) return std::nullopt;
    return node.op == "Split" ? first_has_them(node, axis) : std::vector<int>(node.inputs.size(), axis);
  }
  if (node.op == "Slice") {
    const auto axes = constant_axes(graph, input(node, 3), rank);
    return axes && !std::ranges::binary_search(*axes, axis) ? first_has_them(node, axis) : std::nullopt;
  }
  if (node.op == "Unsqueeze") {
    const auto axes = constant_axes(graph, input(node, 1), rank);
    if (!axes || std::ranges::binary_search(*axes, axis)) return std::nullopt;
    return first_has_them(node, axis - static_cast<int>(std::ranges::lower_bound(*axes, axis) - axes->begin()));
  }
  if (node.op == "Squeeze") {
    const auto axes = constant_axes(graph, input(node, 1), rank_of(graph, node.inputs[0]));
    if (!axes) return std::nullopt;
    for (const int gone : *axes) axis += gone <= axis ? 1 : 0;
    return first_has_them(node, axis);
  }
  return std::nullopt;
}

}  // namespace lanner::passes
