#include "compile/report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "program/program.h"

namespace lanner::compiler {

void ReportWriter::add_placement(const ir::Graph& graph, const placement::Placement& placement) {
  int next = subgraph_count_;
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    const placement::NodePlacement& place = placement.of(id);
    // Subgraphs are numbered through all graphs of the model.
    const int subgraph = place.subgraph < 0 ? -1 : subgraph_count_ + place.subgraph;
    next = std::max(next, subgraph + 1);
    std::string op = node.stands_for.empty() ? node.op : program::joined_operators(node.stands_for);
    rows_.push_back({node.name, std::move(op), place.backend, place.reason, node.made_by,
                     node.outputs.empty() || node.outputs[0] == ir::kNoValue ? "" : graph.value(node.outputs[0]).name,
                     subgraph});
  }
  subgraph_count_ = next;
}

std::string ReportWriter::json(const passes::Report& report, const PrecisionReport& precision) const {
  using nlohmann::json;
  json nodes = json::array();
  for (const Row& row : rows_) {
    nodes.push_back({{"node", row.node},
                     {"operator", row.op},
                     {"backend", row.backend},
                     {"subgraph", row.subgraph < 0 ? json(nullptr) : json(row.subgraph)},
                     {"reason", row.reason},
                     {"rules", row.made_by.empty() ? json::array() : json::array({row.made_by})}});
    const auto decision = std::ranges::find(precision.decisions, row.value, &PrecisionDecision::value);
    if (decision == precision.decisions.end()) continue;
    nodes.back()["precision"] = decision->bf16 ? "bf16" : "f32";
    nodes.back()["precision_reason"] = decision->reason;
  }
  json rules = json::array();
  for (const passes::RuleReport& rule : report.rules) {
    json fired = json::array();
    for (const passes::Firing& firing : rule.firings) fired.push_back({{"where", firing.where}, {"made", firing.made}});
    json declined = json::array();
    for (const passes::NearMiss& miss : rule.near_misses) {
      declined.push_back({{"reason", miss.reason}, {"count", miss.count}, {"where", miss.where}});
    }
    rules.push_back({{"rule", rule.name},
                     {"doc", rule.doc},
                     {"fired", std::move(fired)},
                     {"declined", std::move(declined)},
                     {"ms", static_cast<double>(rule.duration_ns) * 1e-6}});
  }
  json judged = json::array();
  for (const JudgedValue& value : precision.judged) {
    // JSON has no infinity.
    judged.push_back(
        {{"value", value.value}, {"error", std::isfinite(value.error) ? json(value.error) : json(nullptr)}});
  }
  json numbers{{"wanted", precision.wanted},
               {"tolerance", precision.tolerance ? json(*precision.tolerance) : json(nullptr)},
               {"judged", std::move(judged)},
               {"warnings", precision.warnings}};
  // Names come from models and need not be valid UTF-8.
  const json all{{"nodes", std::move(nodes)}, {"rules", std::move(rules)}, {"precision", std::move(numbers)}};
  return all.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace lanner::compiler
