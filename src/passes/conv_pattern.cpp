#include "passes/conv_pattern.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "passes/match.h"

namespace lanner::passes {

std::optional<ConvPattern> conv_of(const Graph& graph, ValueId value, bool fused) {
  if (value == kNoValue) return std::nullopt;
  const Node* node = graph.producer(value);
  if (node == nullptr || !(is_op(*node, "Conv") || (fused && node->op == "FusedConv" && node->domain == "lanner"))) {
    return std::nullopt;
  }
  const ValueType& weights = type_of(graph, node->inputs[1]);
  if (!weights.is_tensor() || !weights.ranked || weights.dims.size() < 3 || !weights.dims[0].known()) {
    return std::nullopt;
  }
  if (weights.element != ElementType::kFloat32 && weights.element != ElementType::kFloat64) return std::nullopt;
  return ConvPattern{graph.value(value).producer, node, weights.dims[0].size, static_cast<int>(weights.dims.size()),
                     weights.element};
}

std::optional<std::vector<double>> per_channel(const Graph& graph, const ConvPattern& conv, ValueId value) {
  std::optional<std::vector<double>> elements = constant_floats(graph, value);
  if (!elements || type_of(graph, value).element != conv.element) return std::nullopt;
  const Shape& shape = graph.value(value).constant.shape();
  if (shape.rank() > conv.rank) return std::nullopt;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const bool is_channel = axis + conv.rank - shape.rank() == 1;
    if (shape[axis] != 1 && !(is_channel && shape[axis] == conv.channels)) return std::nullopt;
  }
  if (elements->size() == 1) elements->assign(static_cast<std::size_t>(conv.channels), (*elements)[0]);
  return elements;
}

Verdict scale_conv(const Graph& graph, const ConvPattern& conv, const std::vector<double>& factors,
                   const std::vector<double>& shifts, ValueId replaced, Edit& edit) {
  const Node& node = *conv.node;
  const std::optional<std::vector<double>> weights = constant_floats(graph, node.inputs[1]);
  if (!weights) return near_miss("the convolution's weights are not constant");
  std::vector<double> bias(static_cast<std::size_t>(conv.channels), 0.0);
  if (has_input(node, 2)) {
    const std::optional<std::vector<double>> constant = constant_floats(graph, node.inputs[2]);
    if (!constant || constant->size() != bias.size()) return near_miss("the convolution's bias is not constant");
    bias = *constant;
  }
  if (!edit.consume(conv.id)) return near_miss("{}", edit.blocked());

  std::vector<double> scaled = *weights;
  const std::size_t per_output = bias.empty() ? 0 : scaled.size() / bias.size();
  for (std::size_t i = 0; i < bias.size(); ++i) {
    for (std::size_t k = 0; k < per_output; ++k) scaled[i * per_output + k] *= factors[i];
    bias[i] = bias[i] * factors[i] + shifts[i];
  }
  const double most =
      conv.element == ElementType::kFloat32 ? std::numeric_limits<float>::max() : std::numeric_limits<double>::max();
  const auto fits = [most](double element) { return std::abs(element) <= most; };
  if (!std::ranges::all_of(scaled, fits) || !std::ranges::all_of(bias, fits)) {
    return near_miss("the folded weights would not be finite");
  }
  Node folded = copy_node(node);
  folded.stands_for.clear();
  const Tensor& old_weights = graph.value(node.inputs[1]).constant;
  folded.inputs = {node.inputs[0], edit.constant(float_tensor(conv.element, old_weights.shape(), scaled)),
                   edit.constant(float_tensor(conv.element, {conv.channels}, bias))};
  edit.replace(replaced, edit.node(std::move(folded), type_of(graph, conv.output())));
  return rewrite();
}

}  // namespace lanner::passes
