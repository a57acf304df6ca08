#include "passes/concats.h"

#include <algorithm>
#include <cstddef>
#include <unordered_set>

#include "passes/match.h"

namespace lanner::passes {

namespace {

int axis_of(const Graph& graph, const Node& node) {
  const int rank = rank_of(graph, node.outputs[0]);
  const std::int64_t axis = node.attributes.get_int("axis", 0);
  return axis >= 0 ? static_cast<int>(axis) : rank < 0 ? -1 : static_cast<int>(axis) + rank;
}

}  // namespace

std::vector<JoinedParts> find_concats(const Graph& graph, const std::function<bool(ValueId)>& keep) {
  std::vector<JoinedParts> found;
  std::unordered_set<NodeId> taken;
  std::vector<NodeId> order = graph.topological_order();
  std::ranges::reverse(order);  // so that a Concat comes before those it takes in
  for (const NodeId id : order) {
    const Node& node = graph.node(id);
    if (!is_op(node, "Concat") || taken.contains(id)) continue;
    JoinedParts joined{id, axis_of(graph, node), {}, {}};
    if (joined.axis < 0) continue;
    std::vector<ValueId> pending(node.inputs.rbegin(), node.inputs.rend());
    while (!pending.empty()) {
      const ValueId part = pending.back();
      pending.pop_back();
      const Node* producer = graph.producer(part);
      if (producer == nullptr || !is_op(*producer, "Concat") || axis_of(graph, *producer) != joined.axis ||
          graph.value(part).users.size() != 1 || graph.is_output(part) || (keep && keep(part))) {
        joined.parts.push_back(part);
        continue;
      }
      joined.inner.push_back(graph.value(part).producer);
      taken.insert(joined.inner.back());
      pending.insert(pending.end(), producer->inputs.rbegin(), producer->inputs.rend());
    }
    found.push_back(std::move(joined));
  }
  std::ranges::reverse(found);
  return found;
}

}  // namespace lanner::passes
