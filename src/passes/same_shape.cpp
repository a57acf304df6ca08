#include "passes/same_shape.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "passes/conv_pattern.h"
#include "passes/match.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kKeepShape[] = {
    "BatchNormalization", "Clip", "Elu",     "HardSigmoid", "HardSwish", "Identity",
    "LeakyRelu",          "Relu", "Sigmoid", "Swish",       "Tanh"};

// Longer ways back are not followed to their end.
constexpr int kMaxSteps = 4096;

// What a convolution does to a spatial dimension n: floor((n + slack) / stride) + 1.
struct Window {
  std::int64_t slack;
  std::int64_t stride;
  bool keeps() const { return slack == -1 && stride == 1; }
  friend bool operator==(const Window&, const Window&) = default;
};

// A dimension as where it comes from and the windows it passed on the way, last first. Equal origins are equal numbers.
struct Origin {
  std::int64_t size = -1;  // where it is known
  ValueId value = kNoValue;
  std::size_t axis = 0;
  std::vector<Window> windows;
  friend bool operator==(const Origin&, const Origin&) = default;
};

std::optional<Window> window_of(const Graph& graph, const Node& conv, std::size_t axis) {
  const ValueType& weights = type_of(graph, conv.inputs[1]);
  if (conv.attributes.get_string("auto_pad", "NOTSET") != "NOTSET" || !weights.dims[axis].known()) return std::nullopt;
  const auto nth = [&](std::string_view name, std::size_t position, std::int64_t otherwise) {
    const std::vector<std::int64_t> numbers = conv.attributes.get_ints(name);
    return position < numbers.size() ? numbers[position] : otherwise;
  };
  const std::size_t spatial = axis - 2;
  const std::int64_t reach = nth("dilations", spatial, 1) * (weights.dims[axis].size - 1) + 1;
  const std::int64_t padding = nth("pads", spatial, 0) + nth("pads", spatial + weights.dims.size() - 2, 0);
  return Window{padding - reach, nth("strides", spatial, 1)};
}

Origin origin_of(const Graph& graph, ValueId value, std::size_t axis) {
  Origin origin;
  for (int step = 0; step < kMaxSteps; ++step) {
    origin.value = value;
    origin.axis = axis;
    const ValueType& type = type_of(graph, value);
    if (type.is_tensor() && type.ranked && axis < type.dims.size() && type.dims[axis].known()) {
      origin.size = type.dims[axis].size;
      origin.value = kNoValue;
      origin.axis = 0;
      return origin;
    }
    const Node* node = graph.producer(value);
    if (node == nullptr || node->outputs[0] != value) return origin;
    if (const auto conv = conv_of(graph, value, true)) {
      if (axis == 1) return origin;
      if (axis >= 2) {
        if (axis >= static_cast<std::size_t>(conv->rank)) return origin;
        const std::optional<Window> window = window_of(graph, *node, axis);
        if (!window) return origin;
        if (!window->keeps()) origin.windows.push_back(*window);
      }
    } else if (!node->domain.empty() || std::ranges::find(kKeepShape, node->op) == std::end(kKeepShape)) {
      return origin;
    }
    value = node->inputs[0];
  }
  return origin;
}

}  // namespace

bool same_shape(const Graph& graph, ValueId a, ValueId b) {
  const int rank = rank_of(graph, a);
  if (rank < 0 || rank != rank_of(graph, b)) return false;
  for (std::size_t axis = 0; axis < static_cast<std::size_t>(rank); ++axis) {
    if (origin_of(graph, a, axis) != origin_of(graph, b, axis)) return false;
  }
  return true;
}

}  // namespace lanner::passes
