// fuse-bias: adding one constant per channel to the output of a Conv, a MatMul or a Gemm without bias becomes its bias;
// a MatMul then is a FusedMatMul. A Conv's weights need not be constant.
#include "passes/match.h"
#include "passes/product_pattern.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"Add"};

Verdict fuse(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  if (!node.domain.empty() || node.inputs.size() != 2) return no_match();
  const bool second = !graph.value(node.inputs[0]).is_constant();
  const std::optional<ProductPattern> product = product_of(graph, node.inputs[second ? 0 : 1]);
  const ValueId operand = node.inputs[second ? 1 : 0];
  if (!product || !product->node->domain.empty() || !graph.value(operand).is_constant() ||
      has_input(*product->node, 2)) {
    return no_match();
  }
  const std::optional<std::vector<double>> bias = per_channel(graph, *product, operand);
  if (!bias) {
    return near_miss("the operand is no constant per channel: it is {}", type_of(graph, operand).to_string());
  }
  if (!edit.consume(product->id)) return near_miss("{}", edit.blocked());
  Node fused = is_op(*product->node, "MatMul") ? fused_node(*product) : copy_node(*product->node);
  fused.stands_for.clear();
  fused.inputs.resize(2);
  fused.inputs.push_back(edit.constant(float_tensor(product->element, {product->channels}, *bias)));
  edit.replace(node.outputs[0], edit.node(std::move(fused), type_of(graph, product->output())));
  return rewrite();
}

}  // namespace

constinit const Rule kFuseBias{
    "fuse-bias", "Makes the addition of one constant per channel the bias of the product before it.", kOps, fuse};

}  // namespace lanner::passes
