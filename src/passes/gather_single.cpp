// gather-single: a Gather of the only element along an axis copies nothing that a Squeeze does not show. Torch exports
// the choice of one image of a batch so.
#include "passes/match.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"Gather"};

Verdict show(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  const Tensor* index = constant_of(graph, input(node, 1));
  const int rank = rank_of(graph, input(node, 0));
  if (!node.domain.empty() || node.outputs[0] == kNoValue || index == nullptr || index->element_count() != 1 ||
      index->rank() > 1 || rank < 0) {
    return no_match();
  }
  const std::int64_t axis = node.attributes.get_int("axis", 0);
  if (axis < -rank || axis >= rank) return no_match();
  const auto of = static_cast<std::size_t>(axis < 0 ? axis + rank : axis);
  const std::int64_t wanted = (*constant_ints(graph, node.inputs[1]))[0];
  if (type_of(graph, node.inputs[0]).dims[of].size != 1 || wanted < -1 || wanted > 0) return no_match();
  if (index->rank() == 1) {
    edit.replace(node.outputs[0], node.inputs[0]);
  } else {
    const ValueId axes = edit.constant(int_tensor({static_cast<std::int64_t>(of)}));
    edit.replace(node.outputs[0],
                 edit.node(make_node("Squeeze", {node.inputs[0], axes}), type_of(graph, node.outputs[0])));
  }
  return rewrite();
}

}  // namespace

constinit const Rule kGatherSingle{"gather-single", "Shows the only element along an axis instead of copying it.", kOps,
                                   show};

}  // namespace lanner::passes
