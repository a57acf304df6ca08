// What compile() decided and why, as the JSON text that a program carries and `lanner explain` shows.
#pragma once

#include <string>

#include "compile/precision.h"
#include "ir/graph.h"
#include "passes/pipeline.h"
#include "placement/place.h"

namespace lanner::compiler {

// Collects while a model is compiled.
class ReportWriter {
 public:
  // Adds the nodes of a graph, nested ones excluded.
  void add_placement(const ir::Graph& graph, const placement::Placement& placement);
  // {"nodes": [{"node", "operator", "backend", "subgraph" or null, "reason", "rules", "precision",
  // "precision_reason"}],
  //  "rules": [{"rule", "doc", "fired": [{"where", "made"}], "declined": [{"reason", "count", "where"}], "ms"}],
  //  "precision": {"wanted", "tolerance" or null, "judged": [{"value", "error"}], "warnings"}}
  // The two keys of a node's precision are there where others than float32 were considered.
  std::string json(const passes::Report& report, const PrecisionReport& precision) const;

 private:
  struct Row {
    std::string node, op, backend, reason, made_by, value;
    int subgraph;
  };
  std::vector<Row> rows_;
  int subgraph_count_ = 0;
};

}  // namespace lanner::compiler
