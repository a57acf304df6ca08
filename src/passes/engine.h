// Applies rewrite rules to a graph and the graphs nested in it. For every rule alike the engine
//  - refuses an edit that would drop a graph output or a value with other users, or change a value's type; outputs keep
//    their positions and names whatever value takes their place;
//  - turns changed constants into new ones: a constant that others share is never written;
//  - removes what an edit leaves without users;
//  - records which rule made a node and which ONNX operators the node stands for;
//  - checks the graph after each pass;
//  - counts and times rules, keeps near misses, honours disabled rules and a limit on the number of edits.
// Not thread-safe; one engine per graph.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "passes/rule.h"

namespace lanner::passes {

// One edit: the node it was proposed for and the nodes it made.
struct Firing {
  std::string where;
  std::vector<std::string> made;  // "Conv 'features.0'"
};

// A guard that declined, with the nodes it did so for.
struct NearMiss {
  static constexpr std::size_t kMaxNames = 8;
  std::string reason;
  int count = 0;
  std::vector<std::string> where;  // the first kMaxNames
};

struct RuleReport {
  std::string name;
  std::string doc;
  std::vector<Firing> firings;
  std::vector<NearMiss> near_misses;  // as of the rule's last run, so of the nodes that are left
  std::int64_t duration_ns = 0;
};

struct Report {
  std::vector<RuleReport> rules;  // in pipeline order, also those that never fired
  int edit_count = 0;
  bool stopped = false;  // at the limit on edits
};

struct EngineOptions {
  static constexpr int kNoLimit = std::numeric_limits<int>::max();
  std::vector<std::string> disabled;  // names of rules, or of passes for all their rules
  int stop_after = kNoLimit;          // edits; for finding the one that breaks a model by bisection
  // Called with the graph's text before and after each pass that changed it.
  std::function<void(std::string_view pass, const std::string& before, const std::string& after)> trace;
};

// A group of rules that run together: those on nodes until none fires, then those on the whole graph in order.
struct Pass {
  std::string_view name;
  std::span<const Rule* const> rules;
};

class Engine {
 public:
  // `passes` are all that may run. Throws `rule.unknown` when `options.disabled` has a name that is neither one of them
  // nor a rule of theirs.
  Engine(Graph& graph, std::span<const Pass> passes, EngineOptions options);

  // Whether anything changed. Throws `graph.invalid` when the result contradicts itself and `graph.rewrite-loop` when
  // the rules undo each other for ever; both are bugs of a rule.
  bool run(const Pass& pass);

  const Report& report() const { return report_; }

 private:
  class Rewriter;
  struct Declined {
    std::size_t rule;
    NodeId node;
    std::string reason;
  };

  void run_on(Graph& graph, const Pass& pass, const std::string& path);
  void run_node_rules(Graph& graph, const Pass& pass, const std::string& path);
  // Empty when the edit was made, else why not.
  std::string apply(Graph& graph, const Rule& rule, NodeId at, Edit& edit, const std::string& path);
  std::string refusal(const Graph& graph, const Edit& edit) const;
  void remove_dead(Graph& graph, std::vector<NodeId> candidates);
  void enqueue(NodeId node);
  void disable(std::span<const Pass> passes, const std::string& name);
  bool may_edit();
  RuleReport& report_of(const Rule& rule);
  void add_near_miss(const Rule& rule, std::string_view reason, const std::string& where);

  Graph& graph_;
  EngineOptions options_;
  std::unordered_set<std::string_view> disabled_;
  std::unordered_map<std::string_view, std::size_t> positions_;  // of rules in the report
  Report report_;
  std::string last_rule_;
  int edit_limit_ = 0;  // of the running pass

  // The worklist of the graph that run_node_rules() is at.
  std::deque<NodeId> queue_;
  std::vector<bool> queued_;
};

}  // namespace lanner::passes
