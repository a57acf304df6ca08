#include "passes/conv_pattern.h"

#include <algorithm>
#include <cmath>

#include "passes/match.h"
#include "tensor/dispatch.h"

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

std::optional<std::vector<double>> per_channel(const Graph& graph, const Image& image, ValueId value) {
  std::optional<std::vector<double>> elements = constant_floats(graph, value);
  if (!elements || type_of(graph, value).element != image.element) return std::nullopt;
  const Shape& shape = graph.value(value).constant.shape();
  if (shape.rank() > image.rank) return std::nullopt;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const bool is_channel = axis + image.rank - shape.rank() == image.axis;
    if (shape[axis] != 1 && !(is_channel && shape[axis] == image.channels)) return std::nullopt;
  }
  if (elements->size() == 1) elements->assign(static_cast<std::size_t>(image.channels), (*elements)[0]);
  return elements;
}

std::optional<std::vector<double>> per_channel(const Graph& graph, const ConvPattern& conv, ValueId value) {
  return per_channel(graph, Image{conv.rank, 1, conv.channels, conv.element}, value);
}

Verdict scale_conv(const Graph& graph, const ConvPattern& conv, const std::vector<double>& factors,
                   const std::vector<double>& shifts, ValueId replaced, Edit& edit) {
  const Node& node = *conv.node;
  const Tensor* weights = constant_of(graph, node.inputs[1]);
  if (weights == nullptr) return near_miss("the convolution's weights are not constant");
  std::vector<double> bias(static_cast<std::size_t>(conv.channels), 0.0);
  if (has_input(node, 2)) {
    const std::optional<std::vector<double>> constant = constant_floats(graph, node.inputs[2]);
    if (!constant || constant->size() != bias.size()) return near_miss("the convolution's bias is not constant");
    bias = *constant;
  }
  if (!edit.consume(conv.id)) return near_miss("{}", edit.blocked());

  bool finite = true;
  for (std::size_t i = 0; i < bias.size(); ++i) bias[i] = bias[i] * factors[i] + shifts[i];
  const Tensor folded_bias = float_tensor(conv.element, {conv.channels}, bias);
  Node folded = copy_node(node);
  folded.stands_for.clear();
  folded.inputs = {node.inputs[0], node.inputs[1], edit.constant(folded_bias)};
  tensor::dispatch(tensor::FloatTypes{}, conv.element, "Conv", [&]<typename T>() {
    for (const T element : folded_bias.values<T>()) finite &= std::isfinite(element);
    if (std::ranges::all_of(factors, [](double factor) { return factor == 1.0; })) return;  // the same weights do
    Tensor scaled = Tensor::allocate(conv.element, weights->shape());
    const std::int64_t per_channel = weights->shape().element_count(1, conv.rank);
    const T* in = weights->data<T>();
    T* out = scaled.data<T>();
    for (const double factor : factors) {
      for (std::int64_t k = 0; k < per_channel; ++k) {
        *out = static_cast<T>(*in++ * factor);
        finite &= std::isfinite(*out++);
      }
    }
    folded.inputs[1] = edit.constant(std::move(scaled));
  });
  if (!finite) return near_miss("the folded weights would not be finite");
  edit.replace(replaced, edit.node(std::move(folded), type_of(graph, conv.output())));
  return rewrite();
}

}  // namespace lanner::passes
