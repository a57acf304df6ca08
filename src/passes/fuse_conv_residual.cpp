// fuse-conv-residual: an Add of a Conv's output and a tensor of the same shape becomes part of the convolution, which
// then is a FusedConv (kernels/fused_conv.cpp).
#include "passes/conv_pattern.h"
#include "passes/match.h"
#include "passes/rules.h"
#include "passes/same_shape.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"Add"};

Verdict fuse_one(const Graph& graph, const Node& node, std::size_t position, Edit& edit) {
  const std::optional<ConvPattern> conv = conv_of(graph, node.inputs[position], true);
  const ValueId residual = node.inputs[1 - position];
  if (!conv || residual == conv->output()) return no_match();
  if (has_input(*conv->node, 3)) return near_miss("the convolution has a residual already");
  if (conv->node->attributes.has("activation"))
    return near_miss("the convolution has an activation, which comes first");
  if (!same_shape(graph, conv->output(), residual)) {
    return near_miss("the shapes are not known to be the same: {} and {}", type_of(graph, conv->output()).to_string(),
                     type_of(graph, residual).to_string());
  }
  if (type_of(graph, residual).element != conv->element) return near_miss("the residual's type is another");
  if (!edit.consume(conv->id)) return near_miss("{}", edit.blocked());
  Node fused = copy_node(*conv->node);
  fused.op = "FusedConv";
  fused.domain = "lanner";
  fused.stands_for.clear();
  fused.inputs.resize(4, kNoValue);
  fused.inputs[3] = residual;
  edit.replace(node.outputs[0], edit.node(std::move(fused), type_of(graph, conv->output())));
  return rewrite();
}

Verdict fuse(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  if (!node.domain.empty() || node.inputs.size() != 2) return no_match();
  // Where both are convolutions the first is the one on the longer path in every known exporter's models.
  Verdict first = fuse_one(graph, node, 0, edit);
  if (first.kind == Verdict::Kind::kRewrite) return first;
  Verdict second = fuse_one(graph, node, 1, edit);
  return second.kind == Verdict::Kind::kNoMatch ? first : second;
}

}  // namespace

constinit const Rule kFuseConvResidual{
    "fuse-conv-residual", "Makes the addition of a tensor of the same shape part of the convolution before it.", kOps,
    fuse};

}  // namespace lanner::passes
