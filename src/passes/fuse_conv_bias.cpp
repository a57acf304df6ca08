// fuse-conv-bias: adding one constant per channel to the output of a Conv without bias becomes its bias. The weights
// need not be constant.
#include "passes/conv_pattern.h"
#include "passes/match.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"Add"};

Verdict fuse(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  if (!node.domain.empty() || node.inputs.size() != 2) return no_match();
  const bool second = !graph.value(node.inputs[0]).is_constant();
  const std::optional<ConvPattern> conv = conv_of(graph, node.inputs[second ? 0 : 1]);
  const ValueId operand = node.inputs[second ? 1 : 0];
  if (!conv || !graph.value(operand).is_constant() || has_input(*conv->node, 2)) return no_match();
  const std::optional<std::vector<double>> bias = per_channel(graph, *conv, operand);
  if (!bias) {
    return near_miss("the operand is no constant per channel: it is {}", type_of(graph, operand).to_string());
  }
  if (!edit.consume(conv->id)) return near_miss("{}", edit.blocked());
  Node fused = copy_node(*conv->node);
  fused.stands_for.clear();
  fused.inputs.resize(2);
  fused.inputs.push_back(edit.constant(float_tensor(conv->element, {conv->channels}, *bias)));
  edit.replace(node.outputs[0], edit.node(std::move(fused), type_of(graph, conv->output())));
  return rewrite();
}

}  // namespace

constinit const Rule kFuseConvBias{
    "fuse-conv-bias", "Makes the addition of one constant per channel the bias of the Conv before it.", kOps, fuse};

}  // namespace lanner::passes
