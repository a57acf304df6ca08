// Who runs what: every node of a graph is native's or belongs to a numbered subgraph of another backend, with the
// reason in words where a backend did not get it.
//
// Subgraphs are convex (no path leaves one and comes back), connected (parallel branches become subgraphs of their own)
// and worth their border: elementwise operators belong to one only where they follow a dense operator or lie between
// dense ones, and small subgraphs without real work are dropped.
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"

namespace lanner::placement {

struct PlaceOptions {
  // "OP" keeps an operator from every backend but native, "OP@BACKEND" from one, "@BACKEND" leaves out a backend.
  // A fused node counts as every operator it stands for.
  std::vector<std::string> deny;
  int min_nodes = 3;  // of a subgraph without a convolution or product of 100,000 operations or more
};

struct NodePlacement {
  std::string backend = "native";
  int subgraph = -1;   // counted from 0 within the graph; -1: none
  std::string reason;  // why no backend but native has the node; empty inside a subgraph
};

class Placement {
 public:
  const NodePlacement& of(ir::NodeId node) const { return nodes_[static_cast<std::size_t>(node)]; }
  int subgraph_count() const { return subgraph_count_; }

 private:
  friend Placement place(const ir::Graph& graph, const PlaceOptions& options);
  std::vector<NodePlacement> nodes_;
  int subgraph_count_ = 0;
};

// Places the nodes of `graph`; those of nested graphs are placed by a call of their own. Throws `deny.backend` for a
// deny entry with an unknown backend.
Placement place(const ir::Graph& graph, const PlaceOptions& options);

}  // namespace lanner::placement
