#include "passes/product_pattern.h"

#include <algorithm>
#include <cmath>

#include "passes/match.h"
#include "tensor/dispatch.h"

namespace lanner::passes {

namespace {

bool is_fused(const Node& node, std::string_view op) {
  return node.op == op && node.domain == "lanner";
}

bool is_floating(const ValueType& type) {
  return type.element == ElementType::kFloat32 || type.element == ElementType::kFloat64;
}

std::optional<ProductPattern> matrix_product_of(const Graph& graph, ValueId value) {
  const Node* node = value == kNoValue ? nullptr : graph.producer(value);
  if (node == nullptr) return std::nullopt;
  const bool gemm = is_op(*node, "Gemm");
  if (!gemm && !is_op(*node, "MatMul") && !is_fused(*node, "FusedMatMul")) return std::nullopt;
  if (gemm && (node->attributes.get_int("transA", 0) != 0 || node->attributes.get_float("alpha", 1.0f) != 1.0f ||
               node->attributes.get_float("beta", 1.0f) != 1.0f)) {
    return std::nullopt;
  }
  const Tensor* right = constant_of(graph, node->inputs[1]);
  const int rank = rank_of(graph, node->inputs[0]);
  if (right == nullptr || right->rank() != 2 || rank < 2 || !is_floating(type_of(graph, node->inputs[1]))) {
    return std::nullopt;
  }
  const std::int64_t columns = right->shape()[node->attributes.get_int("transB", 0) != 0 ? 0 : 1];
  if (has_input(*node, 2)) {
    const Tensor* bias = constant_of(graph, node->inputs[2]);
    if (bias == nullptr || bias->shape() != Shape{columns}) return std::nullopt;
  }
  return ProductPattern{{rank, rank - 1, columns, right->element_type()}, graph.value(value).producer, node};
}

}  // namespace

bool is_conv(const Node& node) {
  return is_op(node, "Conv") || is_fused(node, "FusedConv");
}

std::optional<ProductPattern> conv_of(const Graph& graph, ValueId value, bool fused) {
  if (value == kNoValue) return std::nullopt;
  const Node* node = graph.producer(value);
  if (node == nullptr || !(is_op(*node, "Conv") || (fused && is_fused(*node, "FusedConv")))) return std::nullopt;
  const ValueType& weights = type_of(graph, node->inputs[1]);
  if (!weights.is_tensor() || !weights.ranked || weights.dims.size() < 3 || !weights.dims[0].known()) {
    return std::nullopt;
  }
  if (!is_floating(weights)) return std::nullopt;
  return ProductPattern{{static_cast<int>(weights.dims.size()), 1, weights.dims[0].size, weights.element},
                        graph.value(value).producer,
                        node};
}

std::optional<ProductPattern> product_of(const Graph& graph, ValueId value) {
  std::optional<ProductPattern> conv = conv_of(graph, value, true);
  return conv ? conv : matrix_product_of(graph, value);
}

Node fused_node(const ProductPattern& product) {
  Node node = copy_node(*product.node);
  node.stands_for.clear();
  if (node.domain.empty()) {
    node.domain = "lanner";
    node.op = node.op == "Conv" ? "FusedConv" : "FusedMatMul";
    // Of Gemm; what they are called may be an activation's.
    for (const char* name : {"alpha", "beta", "transA"}) node.attributes.erase(name);
  }
  return node;
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

Verdict read_batch_norm(const Graph& graph, const Node& node, ChannelMap& map) {
  if (node.attributes.get_int("training_mode", 0) != 0) return near_miss("it is in training mode");
  for (std::size_t i = 1; i < node.outputs.size(); ++i) {
    if (node.outputs[i] != kNoValue) return near_miss("its running statistics are read");
  }
  constexpr std::string_view kParameters[] = {"scale", "bias", "mean", "variance"};
  std::vector<double> parameters[4];
  for (std::size_t i = 0; i < 4; ++i) {
    const auto constant = constant_floats(graph, node.inputs[i + 1]);
    if (!constant) return near_miss("the {} is not constant", kParameters[i]);
    if (i > 0 && constant->size() != parameters[0].size()) return no_match();
    parameters[i] = *constant;
  }
  const auto& [scale, bias, mean, variance] = parameters;
  const double epsilon = node.attributes.get_float("epsilon", 1e-5f);
  for (std::size_t i = 0; i < scale.size(); ++i) {
    map.factors.push_back(scale[i] / std::sqrt(variance[i] + epsilon));
    map.shifts.push_back(bias[i] - mean[i] * map.factors[i]);
  }
  return rewrite();
}

Verdict scale_conv(const Graph& graph, const ProductPattern& conv, const std::vector<double>& factors,
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
