// combine-transposes: a Transpose of a Transpose is one Transpose, or none where they undo each other.
#include <numeric>

#include "passes/match.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"Transpose"};

Verdict combine(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  if (!node.domain.empty() || node.outputs[0] == kNoValue) return no_match();
  std::vector<std::int64_t> perm = permutation_of(graph, node);
  if (perm.empty()) return no_match();
  ValueId from = node.inputs[0];
  const Node* before = graph.producer(from);
  if (before != nullptr && is_op(*before, "Transpose")) {
    const std::vector<std::int64_t> first = permutation_of(graph, *before);
    if (first.size() != perm.size()) return no_match();
    for (std::int64_t& axis : perm) axis = first.at(static_cast<std::size_t>(axis));
    from = before->inputs[0];
  }
  std::vector<std::int64_t> identity(perm.size());
  std::iota(identity.begin(), identity.end(), 0);
  if (perm == identity) {
    edit.replace(node.outputs[0], from);
    return rewrite();
  }
  if (from == node.inputs[0]) return no_match();
  Node combined = make_node("Transpose", {from});
  combined.attributes.set("perm", perm);
  edit.replace(node.outputs[0], edit.node(std::move(combined), type_of(graph, node.outputs[0])));
  return rewrite();
}

}  // namespace

constinit const Rule kCombineTransposes{
    "combine-transposes", "Merges a Transpose with the Transpose before it and drops one that moves nothing.", kOps,
    combine};

}  // namespace lanner::passes
