#include "passes/engine.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/fail.h"

namespace lanner::passes {

namespace {

std::size_t index(NodeId id) {
  return static_cast<std::size_t>(id);
}

std::string node_label(const Node& node) {
  return node.name.empty() ? node.op : fmt::format("{} '{}'", node.op, node.name);
}

std::string node_path(const std::string& path, const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (!node.name.empty() || node.outputs.empty() || node.outputs[0] == kNoValue) return path + node_label(node);
  return fmt::format("{}{} -> '{}'", path, node.op, graph.value(node.outputs[0]).name);
}

// Edit distance, for "did you mean".
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

bool has_nested(const Graph& graph) {
  return std::ranges::any_of(graph.topological_order(), [&](NodeId id) { return !graph.node(id).graphs.empty(); });
}

std::size_t count_nodes(const Graph& graph) {
  std::size_t count = 0;
  for (const NodeId id : graph.topological_order()) {
    ++count;
    for (const auto& [key, nested] : graph.node(id).graphs) count += count_nodes(*nested);
  }
  return count;
}

}  // namespace

// Lends a whole-graph rule the engine, for one graph.
class Engine::Rewriter final : public GraphRewriter {
 public:
  Rewriter(Engine& engine, Graph& graph, const Rule& rule, const std::string& path)
      : engine_(engine), graph_(graph), rule_(rule), path_(path) {}

  bool apply(NodeId at, Edit& edit) override {
    if (!engine_.may_edit()) return false;
    const std::string where = node_path(path_, graph_, at);
    const std::string refused = engine_.apply(graph_, rule_, at, edit, path_);
    if (!refused.empty()) engine_.add_near_miss(rule_, refused, where);
    return refused.empty();
  }

  bool allow(std::string_view where) override {
    if (!engine_.may_edit()) return false;
    ++engine_.report_.edit_count;
    engine_.last_rule_ = rule_.name;
    engine_.report_of(rule_).firings.push_back({path_ + std::string(where), {}});
    return true;
  }

  void near_miss(NodeId at, std::string reason) override {
    engine_.add_near_miss(rule_, reason, node_path(path_, graph_, at));
  }

 private:
  Engine& engine_;
  Graph& graph_;
  const Rule& rule_;
  const std::string& path_;
};

Engine::Engine(Graph& graph, std::span<const Pass> passes, EngineOptions options)
    : graph_(graph), options_(std::move(options)) {
  for (const Pass& pass : passes) {
    for (const Rule* rule : pass.rules) {
      if (!positions_.try_emplace(rule->name, report_.rules.size()).second) continue;
      report_.rules.push_back({std::string(rule->name), std::string(rule->doc), {}, {}, 0});
    }
  }
  for (const std::string& name : options_.disabled) disable(passes, name);
}

void Engine::disable(std::span<const Pass> passes, const std::string& name) {
  if (const auto rule = positions_.find(name); rule != positions_.end()) {
    disabled_.insert(rule->first);
    return;
  }
  if (const auto pass = std::ranges::find(passes, name, &Pass::name); pass != passes.end()) {
    for (const Rule* rule : pass->rules) disabled_.insert(rule->name);
    return;
  }
  std::vector<std::pair<std::size_t, std::string_view>> near;
  for (const auto& [known, position] : positions_) near.emplace_back(distance(name, known), known);
  for (const Pass& pass : passes) near.emplace_back(distance(name, pass.name), pass.name);
  std::ranges::sort(near);
  near.resize(std::min<std::size_t>(near.size(), 3));
  std::vector<std::string> quoted;
  for (const auto& [steps, known] : near) quoted.push_back(fmt::format("'{}'", known));
  base::invalid("rule.unknown", "there is no rule or pass '{}'; the nearest names are {}", name,
                fmt::join(quoted, ", "));
}

bool Engine::may_edit() {
  if (report_.edit_count >= options_.stop_after) {
    report_.stopped = true;
    return false;
  }
  if (report_.edit_count >= edit_limit_) {
    base::fail(ErrorCode::kInternal, "graph.rewrite-loop", "{} edits without an end; the last was by rule '{}'",
               report_.edit_count, last_rule_);
  }
  return true;
}

RuleReport& Engine::report_of(const Rule& rule) {
  return report_.rules[positions_.at(rule.name)];
}

void Engine::add_near_miss(const Rule& rule, std::string_view reason, const std::string& where) {
  std::vector<NearMiss>& known = report_of(rule).near_misses;
  auto found = std::ranges::find(known, reason, &NearMiss::reason);
  if (found == known.end()) found = known.insert(known.end(), NearMiss{std::string(reason), 0, {}});
  ++found->count;
  if (found->where.size() < NearMiss::kMaxNames) found->where.push_back(where);
}

bool Engine::run(const Pass& pass) {
  const int before_count = report_.edit_count;
  const std::string before = options_.trace ? graph_.to_text() : std::string();
  for (const Rule* rule : pass.rules) report_of(*rule).near_misses.clear();
  // Far above what any model needs, far below for ever.
  edit_limit_ = before_count + 1000 + 50 * static_cast<int>(count_nodes(graph_));
  base::with_context([&] { return fmt::format("in pass '{}', after rule '{}'", pass.name, last_rule_); },
                     [&] {
                       run_on(graph_, pass, {});
                       graph_.check();
                     });
  const bool changed = report_.edit_count != before_count;
  if (changed && options_.trace) options_.trace(pass.name, before, graph_.to_text());
  return changed;
}

void Engine::run_on(Graph& graph, const Pass& pass, const std::string& path) {
  run_node_rules(graph, pass, path);
  for (const Rule* rule : pass.rules) {
    if (rule->rewrite_graph == nullptr || disabled_.contains(rule->name)) continue;
    const std::int64_t start = base::now_ns();
    Rewriter rewriter(*this, graph, *rule, path);
    rule->rewrite_graph(graph, rewriter);
    report_of(*rule).duration_ns += base::now_ns() - start;
  }
  if (!has_nested(graph)) return;
  for (const NodeId id : graph.topological_order()) {
    for (const auto& [key, nested] : graph.mutable_node(id).graphs) {
      run_on(*nested, pass, fmt::format("{}{}.{}/", path, node_label(graph.node(id)), key));
    }
  }
}

void Engine::enqueue(NodeId node) {
  if (index(node) >= queued_.size()) queued_.resize(index(node) + 1, false);
  if (queued_[index(node)]) return;
  queued_[index(node)] = true;
  queue_.push_back(node);
}

void Engine::run_node_rules(Graph& graph, const Pass& pass, const std::string& path) {
  std::vector<const Rule*> rules;
  for (const Rule* rule : pass.rules) {
    if (rule->rewrite != nullptr && !disabled_.contains(rule->name)) rules.push_back(rule);
  }
  if (rules.empty()) return;
  std::unordered_map<std::string, std::vector<const Rule*>> rules_of_op;
  const auto find_rules = [&](const std::string& op) -> const std::vector<const Rule*>& {
    const auto [entry, added] = rules_of_op.try_emplace(op);
    if (added) {
      for (const Rule* rule : rules) {
        if (rule->ops.empty() || std::ranges::find(rule->ops, op) != rule->ops.end()) entry->second.push_back(rule);
      }
    }
    return entry->second;
  };

  // The latest near miss of each rule at each node; what has fired or gone since is no near miss.
  std::map<std::pair<NodeId, const Rule*>, std::string> declined;
  queue_.clear();
  queued_.clear();
  for (const NodeId id : graph.topological_order()) enqueue(id);
  while (!queue_.empty()) {
    const NodeId id = queue_.front();
    queue_.pop_front();
    queued_[index(id)] = false;
    if (graph.node(id).removed) continue;
    for (const Rule* rule : find_rules(graph.node(id).op)) {
      const std::int64_t start = base::now_ns();
      Edit edit(graph, id);
      Verdict verdict = rule->rewrite(graph, id, edit);
      bool fired = false;
      if (verdict.kind == Verdict::Kind::kRewrite && may_edit()) {
        std::string refused = apply(graph, *rule, id, edit, path);
        fired = refused.empty();
        if (!fired) verdict = {Verdict::Kind::kNearMiss, std::move(refused)};
      }
      report_of(*rule).duration_ns += base::now_ns() - start;
      if (verdict.kind == Verdict::Kind::kNearMiss) {
        declined[{id, rule}] = std::move(verdict.reason);
      } else {
        declined.erase({id, rule});
      }
      if (report_.stopped) return;
      if (fired) {
        if (!graph.node(id).removed) enqueue(id);
        break;
      }
    }
  }
  for (const auto& [where, reason] : declined) {
    if (!graph.node(where.first).removed) add_near_miss(*where.second, reason, node_path(path, graph, where.first));
  }
}

std::string Engine::refusal(const Graph& graph, const Edit& edit) const {
  for (const NodeId node : edit.consumed_) {
    if (std::string why = edit.escapes(node); !why.empty()) return why;
  }
  for (const auto& [from, to] : edit.replacements_) {
    const ir::Value& old = graph.value(from);
    if (!old.type.compatible_with(edit.type(to))) {
      return fmt::format("the result has type {}, but its replacement {}", old.type.to_string(),
                         edit.type(to).to_string());
    }
  }
  return {};
}

std::string Engine::apply(Graph& graph, const Rule& rule, NodeId at, Edit& edit, const std::string& path) {
  if (std::string refused = refusal(graph, edit); !refused.empty()) return refused;

  Firing firing{node_path(path, graph, at), {}};
  std::vector<std::string> stands_for;
  for (auto it = edit.consumed_.rbegin(); it != edit.consumed_.rend(); ++it) {  // producers were consumed last
    const Node& node = graph.node(*it);
    if (node.stands_for.empty()) stands_for.push_back(node.op);
    stands_for.insert(stands_for.end(), node.stands_for.begin(), node.stands_for.end());
  }
  const std::string name = graph.node(at).name;

  std::vector<ValueId> real(edit.values_.size(), kNoValue);
  const auto resolve = [&](ValueId id) {
    return edit.is_new(id) ? real[static_cast<std::uint32_t>(id) - Edit::kFirstNew] : id;
  };
  for (std::size_t i = 0; i < edit.values_.size(); ++i) {
    Edit::NewValue& value = edit.values_[i];
    if (value.constant.defined()) real[i] = graph.add_constant(value.name, std::move(value.constant));
  }
  std::vector<NodeId> touched;
  for (Edit::NewNode& made : edit.nodes_) {
    for (ValueId& input : made.node.inputs) {
      if (std::ranges::find(edit.replacements_, input, &std::pair<ValueId, ValueId>::first) !=
          edit.replacements_.end()) {
        base::fail(ErrorCode::kInternal, "graph.invalid", "rule '{}' replaces the value '{}' by one made from it",
                   rule.name, graph.value(input).name);
      }
      if (input != kNoValue) input = resolve(input);
    }
    if (made.node.name.empty()) made.node.name = name;
    if (made.node.stands_for.empty()) made.node.stands_for = stands_for;
    made.node.made_by = rule.name;
    firing.made.push_back(node_label(made.node));
    std::vector<std::string> names;
    for (const std::size_t output : made.outputs) names.push_back(edit.values_[output].name);
    const NodeId id = graph.add_node(std::move(made.node), names);
    for (std::size_t i = 0; i < made.outputs.size(); ++i) {
      real[made.outputs[i]] = graph.node(id).outputs[i];
      graph.set_type(graph.node(id).outputs[i], std::move(edit.values_[made.outputs[i]].type));
    }
    touched.push_back(id);
  }

  std::vector<NodeId> candidates = edit.consumed_;
  for (const auto& [from, wanted] : edit.replacements_) {
    const ValueId to = resolve(wanted);
    if (!graph.value(to).is_constant()) {
      ValueType type = graph.value(to).type;
      type.refine(graph.value(from).type);
      graph.set_type(to, std::move(type));
    }
    // A new value without a name of its own goes on under the old one.
    if (edit.is_new(wanted) && edit.values_[static_cast<std::uint32_t>(wanted) - Edit::kFirstNew].name.empty()) {
      graph.swap_names(from, to);
    }
    graph.replace_uses(from, to);
    const ir::Value& value = graph.value(to);
    touched.insert(touched.end(), value.users.begin(), value.users.end());
    if (graph.value(from).producer != kNoNode) candidates.push_back(graph.value(from).producer);
  }
  remove_dead(graph, std::move(candidates));
  for (const NodeId id : touched) enqueue(id);

  ++report_.edit_count;
  last_rule_ = rule.name;
  report_of(rule).firings.push_back(std::move(firing));
  return {};
}

void Engine::remove_dead(Graph& graph, std::vector<NodeId> candidates) {
  while (!candidates.empty()) {
    const NodeId id = candidates.back();
    candidates.pop_back();
    const Node& node = graph.node(id);
    if (node.removed || std::ranges::any_of(node.outputs, [&](ValueId output) {
          return output != kNoValue && (!graph.value(output).users.empty() || graph.is_output(output));
        })) {
      continue;
    }
    const std::vector<ValueId> inputs = node.inputs;
    graph.remove_node(id);
    for (const ValueId input : inputs) {
      if (input == kNoValue) continue;
      const ir::Value& value = graph.value(input);
      if (value.producer != kNoNode) {
        candidates.push_back(value.producer);
        enqueue(value.producer);
      }
      // The memory of constants that nobody needs any more is given back at once: weights are large.
      if (value.is_constant() && value.users.empty() && !graph.is_output(input)) graph.set_constant(input, {});
      // One user less may be what a rule at the last one waits for.
      if (value.users.size() == 1) enqueue(value.users[0]);
    }
  }
}

}  // namespace lanner::passes
