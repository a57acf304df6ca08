// fuse-residual: an Add of the output of a Conv, a MatMul or a Gemm and a tensor of the same shape becomes part of the
// product, which then is a FusedConv or a FusedMatMul (kernels/fused.cpp). An activation that the product has already
// comes before the sum, as in YOLO's bottlenecks.
#include "passes/match.h"
#include "passes/product_pattern.h"
#include "passes/rules.h"
#include "passes/same_shape.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"Add"};

// `activated`: of a product that has an activation, which the residual then comes after.
Verdict fuse_one(const Graph& graph, const Node& node, std::size_t position, bool activated, Edit& edit) {
  const std::optional<ProductPattern> product = product_of(graph, node.inputs[position]);
  const ValueId residual = node.inputs[1 - position];
  if (!product || residual == product->output()) return no_match();
  if (product->node->attributes.has("activation") != activated) return no_match();
  if (has_input(*product->node, 3)) return near_miss("the product has a residual already");
  if (!same_shape(graph, product->output(), residual)) {
    return near_miss("the shapes are not known to be the same: {} and {}",
                     type_of(graph, product->output()).to_string(), type_of(graph, residual).to_string());
  }
  if (type_of(graph, residual).element != product->element) return near_miss("the residual's type is another");
  if (!edit.consume(product->id)) return near_miss("{}", edit.blocked());
  Node fused = fused_node(*product);
  fused.inputs.resize(4, kNoValue);
  fused.inputs[3] = residual;
  if (activated) fused.attributes.set("residual_last", std::int64_t{1});
  edit.replace(node.outputs[0], edit.node(std::move(fused), type_of(graph, product->output())));
  return rewrite();
}

Verdict fuse(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  if (!node.domain.empty() || node.inputs.size() != 2) return no_match();
  // A product without an activation may still get one. Where both are products the first is the one on the longer path
  // in every known exporter's models.
  Verdict result = no_match();
  for (const bool activated : {false, true}) {
    for (const std::size_t position : {0, 1}) {
      Verdict verdict = fuse_one(graph, node, position, activated, edit);
      if (verdict.kind == Verdict::Kind::kRewrite) return verdict;
      if (result.kind == Verdict::Kind::kNoMatch) result = std::move(verdict);
    }
  }
  return result;
}

}  // namespace

constinit const Rule kFuseResidual{
    "fuse-residual", "Makes the addition of a tensor of the same shape part of the product before it.", kOps, fuse};

}  // namespace lanner::passes
