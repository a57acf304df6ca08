// fold-batch-norm: BatchNormalization after a Conv becomes part of the Conv's weights and bias.
#include "passes/match.h"
#include "passes/product_pattern.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"BatchNormalization"};

Verdict fold(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  if (!node.domain.empty() || node.inputs.size() != 5) return no_match();
  const std::optional<ProductPattern> conv = conv_of(graph, node.inputs[0]);
  if (!conv) return no_match();
  ChannelMap map;
  if (const Verdict verdict = read_batch_norm(graph, node, map); verdict.kind != Verdict::Kind::kRewrite)
    return verdict;
  if (map.factors.size() != static_cast<std::size_t>(conv->channels)) return no_match();
  return scale_conv(graph, *conv, map.factors, map.shifts, node.outputs[0], edit);
}

}  // namespace

constinit const Rule kFoldBatchNorm{
    "fold-batch-norm", "Folds a BatchNormalization into the weights and bias of the Conv before it.", kOps, fold};

}  // namespace lanner::passes
