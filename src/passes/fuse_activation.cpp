// fuse-activation: an activation of the output of a Conv, a MatMul or a Gemm becomes part of the product, which then is
// a FusedConv or a FusedMatMul (kernels/fused.cpp). x * Sigmoid(x) counts as Swish and x * HardSigmoid(x) with alpha
// 1/6 and beta 1/2 as HardSwish; both are the same to the bit.
#include <algorithm>
#include <cmath>

#include "passes/match.h"
#include "passes/product_pattern.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"Clip", "Elu",  "Gelu",    "HardSigmoid", "HardSwish", "LeakyRelu",
                                     "Mul",  "Relu", "Sigmoid", "Swish",       "Tanh"};

// Adds a limit of Clip to `attributes`; false unless it is absent or a constant that a float attribute holds.
bool set_limit(const Graph& graph, const Node& node, std::size_t position, const char* name,
               tensor::Attributes& attributes) {
  if (!has_input(node, position)) return true;
  const std::optional<double> number = constant_scalar(graph, node.inputs[position]);
  if (!number) return false;
  const auto rounded = static_cast<float>(*number);
  if (!(rounded == *number)) return false;
  attributes.set(name, rounded);
  return true;
}

// Whether an operator that fuse-class-activation may join it with reads the value.
bool is_scores(const Graph& graph, ValueId value) {
  return std::ranges::any_of(graph.value(value).users, [&](NodeId user) {
    const Node& node = graph.node(user);
    return node.domain == "lanner" && (node.op == "ClassNonMaxSuppression" || node.op == "ClassTopK");
  });
}

Verdict fuse(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  if (!node.domain.empty() || node.inputs.empty() || node.outputs[0] == kNoValue) return no_match();
  std::string activation = node.op;
  ValueId before = node.inputs[0];
  NodeId gate = kNoNode;  // the Sigmoid of x * Sigmoid(x)
  if (node.op == "Mul") {
    for (std::size_t i = 0; i < 2 && gate == kNoNode; ++i) {
      const Node* factor = graph.producer(node.inputs[i]);
      if (factor == nullptr || factor->inputs.empty() || factor->inputs[0] != node.inputs[1 - i]) continue;
      if (is_op(*factor, "Sigmoid")) activation = "Swish";
      if (is_op(*factor, "HardSigmoid") && factor->attributes.get_float("alpha", 0.2f) == 1.0f / 6 &&
          factor->attributes.get_float("beta", 0.5f) == 0.5f &&
          type_of(graph, node.inputs[i]).element == ElementType::kFloat32) {
        activation = "HardSwish";
      }
      if (activation == "Mul") continue;
      gate = graph.value(node.inputs[i]).producer;
      before = node.inputs[1 - i];
    }
    if (gate == kNoNode) return no_match();
  }
  const std::optional<ProductPattern> product = product_of(graph, before);
  if (!product) return no_match();
  if (product->node->attributes.has("activation")) return near_miss("the product has an activation already");
  if (activation == "Sigmoid" && is_scores(graph, node.outputs[0])) return near_miss("its results are a head's scores");

  Node fused = fused_node(*product);
  fused.attributes.set("activation", activation);
  if (node.op == "Clip") {
    if (!set_limit(graph, node, 1, "min", fused.attributes) || !set_limit(graph, node, 2, "max", fused.attributes)) {
      return near_miss("Clip's limits are not constant, or no float32 holds them");
    }
  } else if (gate == kNoNode) {
    for (const auto& [name, value] : node.attributes.entries()) fused.attributes.set(name, value);
  }
  if (gate != kNoNode && !edit.consume(gate)) return near_miss("{}", edit.blocked());
  if (!edit.consume(product->id)) return near_miss("{}", edit.blocked());
  edit.replace(node.outputs[0], edit.node(std::move(fused), type_of(graph, product->output())));
  return rewrite();
}

}  // namespace

constinit const Rule kFuseActivation{
    "fuse-activation", "Makes an activation part of the convolution or matrix product before it.", kOps, fuse};

}  // namespace lanner::passes
