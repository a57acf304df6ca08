// Concats as meeting points: what one joins, whether a node does it or several in a row.
#pragma once

#include <functional>
#include <vector>

#include "passes/rule.h"

namespace lanner::passes {

// A Concat, those that only feed it taken in.
struct JoinedParts {
  NodeId node = kNoNode;
  int axis = 0;
  std::vector<ValueId> parts;
  std::vector<NodeId> inner;  // the Concats taken in
};

// The Concats of a graph that are not taken in by another, in topological order. One along the same axis that nobody
// else reads is taken in, unless `keep` says of its result that it stays one part. Those of unknown axis are left out.
std::vector<JoinedParts> find_concats(const Graph& graph, const std::function<bool(ValueId)>& keep = {});

}  // namespace lanner::passes
