// roll-siblings: N alike subgraphs whose results meet in Concats become one lanner.ForEach, whose body is one of them
// and runs N times. What differs between them, a constant, a part of a Split, any value, is given to each iteration. No
// operator of a body is known here: it is the step for what no other rule recognises.
#include <algorithm>
#include <map>
#include <ranges>
#include <unordered_map>
#include <unordered_set>

#include "kernels/registry.h"
#include "passes/match.h"
#include "passes/region.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::size_t kLeastSiblings = 4;

// An iteration costs about as much as computing 500 elements: giving it its values, and memory for results that outlive
// it. Work is counted in elements, too, and an operator costs kOperatorElements by itself. Sizes that are not known
// count nothing, so a body does at least this much.
constexpr double kOperatorElements = 150;
constexpr double kLeastWork = 6000;

// What backends build for weights and shapes that are known.
constexpr std::string_view kDense[] = {"AveragePool", "Conv",   "ConvTranspose",     "FusedConv",
                                       "FusedMatMul", "Gemm",   "GlobalAveragePool", "GlobalMaxPool",
                                       "MatMul",      "MaxPool"};

class Roller {
 public:
  Roller(Graph& graph, GraphRewriter& rewriter)
      : graph_(graph), rewriter_(rewriter), order_(graph.topological_order()) {
    find_dense();
  }

  // Whether anything was rolled; then the graph is to be read anew. What declined is in declined().
  bool run() {
    const std::vector<JoinedParts> flat = find_concats(graph_);
    if (roll_one(flat)) return true;
    // A Concat that another one takes in may also be the end of a sibling.
    const bool same = std::ranges::all_of(flat, [](const JoinedParts& joined) { return joined.inner.empty(); });
    return !same && roll_one(find_concats(graph_, [](ValueId) { return true; }));
  }

  const std::map<NodeId, std::string>& declined() const { return declined_; }

 private:
  // Dense nodes and, as backends take them together, the elementwise ones behind them.
  void find_dense() {
    for (const NodeId id : order_) {
      const Node& node = graph_.node(id);
      const auto is_behind = [&](ValueId input) {
        return input != kNoValue && dense_.contains(graph_.value(input).producer) &&
               same_static_shape(graph_, input, node.outputs[0]);
      };
      if (std::ranges::find(kDense, node.op) != std::end(kDense) ||
          (node.outputs[0] != kNoValue && std::ranges::any_of(node.inputs, is_behind))) {
        dense_.insert(id);
      }
    }
  }

  // Why the node is no part of a body; empty when it may be.
  std::string objection(NodeId id) const {
    const Node& node = graph_.node(id);
    if (!node.graphs.empty()) return fmt::format("{} has a graph inside", node.op);
    if (is_random(node)) return fmt::format("{} is random", node.op);
    if (dense_.contains(id)) return fmt::format("{} belongs to a dense subgraph", node.op);
    return {};
  }

  // The last Concat first: those before it may be inside a body.
  bool roll_one(const std::vector<JoinedParts>& concats) {
    return std::ranges::any_of(concats | std::views::reverse, [&](const JoinedParts& anchor) {
      return may_join_siblings(anchor) && roll(concats, anchor);
    });
  }

  // Whether there are enough parts, and two neighbours made by the same operator.
  bool may_join_siblings(const JoinedParts& anchor) const {
    if (anchor.parts.size() < kLeastSiblings) return false;
    const auto other_node_same_op = [&](ValueId x, ValueId y) {
      const Node* a = graph_.producer(x);
      const Node* b = graph_.producer(y);
      return a != nullptr && b != nullptr && a != b && a->op == b->op;
    };
    return std::ranges::adjacent_find(anchor.parts, other_node_same_op) != anchor.parts.end();
  }

  bool roll(const std::vector<JoinedParts>& concats, const JoinedParts& anchor) {
    const SiblingCones cones(graph_, order_, concats, anchor, [this](NodeId node) { return objection(node); });
    std::vector<AlikeSiblings> runs;
    std::size_t longest = 1;
    std::string reason;  // against the longest run
    for (std::size_t i = 0; i < anchor.parts.size();) {
      if (cones.nodes(i).empty() || cones.meetings()[0].part_of[i] != i) {
        ++i;
        continue;
      }
      AlikeSiblings run(graph_, cones, i);
      std::string difference;
      while (run.end() < anchor.parts.size() && difference.empty()) difference = run.add_next();
      i = run.end();
      std::string against = objection(cones, run, difference);
      if (against.empty()) {
        runs.push_back(std::move(run));
      } else if ((run.count() > longest || reason.empty()) &&
                 (run.count() >= kLeastSiblings || work(cones, run) >= kLeastWork)) {
        longest = run.count();
        reason = std::move(against);
      }
    }
    if (!runs.empty()) return apply(anchor, cones, runs);
    if (!reason.empty()) declined_.emplace(anchor.node, std::move(reason));
    return false;
  }

  // Why a run is not rolled; empty when it is.
  std::string objection(const SiblingCones& cones, const AlikeSiblings& run, const std::string& difference) const {
    const auto with = [](std::string what, const std::string& why) {
      return why.empty() ? what : fmt::format("{}: {}", what, why);
    };
    if (run.count() == 1) return with("no two siblings are alike", difference);
    if (run.count() < kLeastSiblings) return with(fmt::format("{} siblings are too few", run.count()), difference);
    if (work(cones, run) < kLeastWork) return with("an iteration would do too little", cones.cut(run.first()));
    return {};
  }

  // Of one iteration, in elements.
  double work(const SiblingCones& cones, const AlikeSiblings& run) const {
    double sum = 0;
    for (const NodeId id : cones.nodes(run.first())) {
      const Node& node = graph_.node(id);
      const kernels::OperatorRow* row = kernels::find_operator(node.op);
      if (row != nullptr && row->aliasing == kernels::Aliasing::kView) continue;
      double most = 0;
      const auto count = [&](ValueId value) {
        if (value == kNoValue || !type_of(graph_, value).ranked) return;
        double elements = 1;
        for (const ir::Dim& dim : type_of(graph_, value).dims) {
          elements *= static_cast<double>(std::max<std::int64_t>(dim.size, 0));
        }
        most = std::max(most, elements);
      };
      std::ranges::for_each(node.outputs, count);
      for (const ValueId input : node.inputs) {
        if (cones.owner_of(input) != SiblingCones::kNobody) count(input);
      }
      sum += kOperatorElements + most;
    }
    return sum;
  }

  bool apply(const JoinedParts& anchor, const SiblingCones& cones, const std::vector<AlikeSiblings>& runs) {
    Edit edit(graph_, anchor.node);
    std::vector<std::vector<ValueId>> made;
    for (const AlikeSiblings& run : runs) {
      made.push_back(add_region(graph_, cones, run, kRollSiblings.name, edit));
      if (made.back().empty()) return false;
    }
    for (std::size_t m = 0; m < cones.meetings().size(); ++m) {
      const SiblingMeeting& meeting = cones.meetings()[m];
      std::map<std::size_t, std::size_t> run_at;  // by its first part: this Concat's order need not be the anchor's
      for (std::size_t i = 0; i < runs.size(); ++i) {
        if (made[i][m] != kNoValue) run_at[meeting.part_of[runs[i].first()]] = i;
      }
      if (run_at.empty()) continue;
      std::vector<ValueId> parts;
      for (std::size_t next = 0; next < meeting.joined->parts.size();) {
        const auto at = run_at.find(next);
        parts.push_back(at == run_at.end() ? meeting.joined->parts[next] : made[at->second][m]);
        next += at == run_at.end() ? 1 : runs[at->second].count();
      }
      const ValueId old = graph_.node(meeting.joined->node).outputs[0];
      if (parts.size() > 1) {
        Node rest = make_node("Concat", parts);
        rest.attributes.set("axis", static_cast<std::int64_t>(meeting.joined->axis));
        rest.stands_for = {rest.op};
        parts = {edit.node(std::move(rest), type_of(graph_, old))};
      }
      edit.replace(old, parts[0]);
    }
    return rewriter_.apply(anchor.node, edit);
  }

  Graph& graph_;
  GraphRewriter& rewriter_;
  const std::vector<NodeId> order_;
  std::unordered_set<NodeId> dense_;
  std::map<NodeId, std::string> declined_;
};

void roll_all(Graph& graph, GraphRewriter& rewriter) {
  while (true) {
    Roller roller(graph, rewriter);
    if (roller.run()) continue;
    for (const auto& [node, reason] : roller.declined()) rewriter.near_miss(node, reason);
    return;
  }
}

}  // namespace

constinit const Rule kRollSiblings{
    "roll-siblings", "Runs alike subgraphs whose results meet in Concats as iterations of one.", {}, nullptr, roll_all};

}  // namespace lanner::passes
