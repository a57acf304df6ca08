#include "placement/place.h"

#include <algorithm>
#include <numeric>
#include <string_view>

#include "base/fail.h"
#include "placement/accepts.h"

namespace lanner::placement {

namespace {

using ir::Graph;
using ir::kNoNode;
using ir::kNoValue;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

struct BackendRow {
  std::string_view name;
  Verdict (*accept)(const Graph& graph, const Node& node);
};

// Best first.
constexpr BackendRow kBackends[] = {{"onednn", accept_onednn}};

constexpr std::string_view kProducts[] = {"Conv", "FusedConv", "ConvTranspose", "MatMul", "Gemm", "FusedMatMul"};
constexpr std::string_view kPools[] = {"MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"};

bool is_one_of(std::string_view op, std::span<const std::string_view> ops) {
  return std::ranges::find(ops, op) != ops.end();
}

// What a subgraph exists for; the other operators only come along.
bool is_dense(const Node& node) {
  return is_one_of(node.op, kProducts) || is_one_of(node.op, kPools);
}

// Whether a node reads one value that is computed; what else it reads says how.
bool is_of_one_value(const Node& node) {
  constexpr std::string_view kWithParameters[] = {"Clip", "Reshape"};
  return node.inputs.size() == 1 || is_one_of(node.op, kWithParameters);
}

constexpr double kWorthItsBorder = 1e5;  // operations
constexpr double kOpenSize = 32;         // what an unknown dimension counts as

// Multiplications and additions of a convolution or product, 0 for other nodes.
double operation_count(const Graph& graph, const Node& node) {
  if (!is_one_of(node.op, kProducts)) return 0;
  const auto known = [](const ir::Dim& dim) { return dim.known() ? static_cast<double>(dim.size) : kOpenSize; };
  double count = 2;
  // Products per output: of a convolution all of a filter; of a matrix product the shared dimension. Per input of a
  // transposed convolution.
  const ir::ValueId each = node.op == "ConvTranspose" ? node.inputs[0] : node.outputs[0];
  for (const ir::Dim& dim : graph.value(each).type.dims) count *= known(dim);
  const std::vector<ir::Dim>& a = graph.value(node.inputs[0]).type.dims;
  const std::vector<ir::Dim>& b = graph.value(node.inputs[1]).type.dims;
  if (node.op == "MatMul") return count * (a.empty() ? 1 : known(a.back()));
  if (node.op == "Gemm" || node.op == "FusedMatMul")
    return count * (b.empty() ? 1 : known(b[node.attributes.get_int("transB", 0) != 0 ? 1 : 0]));
  for (std::size_t i = 1; i < b.size(); ++i) count *= known(b[i]);
  return count;
}

// The deny list, asked for one backend.
class DenyList {
 public:
  explicit DenyList(std::span<const std::string> entries) {
    for (const std::string& entry : entries) {
      const std::size_t at = entry.find('@');
      Rule rule{entry.substr(0, at), at == std::string::npos ? "" : entry.substr(at + 1)};
      if (at != std::string::npos &&
          std::ranges::find(kBackends, rule.backend, &BackendRow::name) == std::end(kBackends)) {
        base::invalid("deny.backend", "'{}' denies backend '{}', but there is only {}", entry, rule.backend,
                      kBackends[0].name);
      }
      rules_.push_back(std::move(rule));
    }
  }

  Verdict accept(const Node& node, std::string_view backend) const {
    for (const Rule& rule : rules_) {
      if (!rule.backend.empty() && rule.backend != backend) continue;
      const bool named =
          rule.op.empty() || rule.op == node.op || std::ranges::find(node.stands_for, rule.op) != node.stands_for.end();
      if (!named) continue;
      if (rule.op.empty()) return Verdict::no("backend {} is denied", backend);
      return Verdict::no("{} is denied{}", rule.op, rule.backend.empty() ? "" : " for " + rule.backend);
    }
    return Verdict::yes();
  }

 private:
  struct Rule {
    std::string op;       // empty: all
    std::string backend;  // empty: all
  };
  std::vector<Rule> rules_;
};

// The nodes by position in topological order, with the edges between them.
struct Order {
  explicit Order(const Graph& graph) : nodes(graph.topological_order()), inputs(nodes.size()), users(nodes.size()) {
    std::size_t id_count = 0;
    for (const NodeId id : nodes) id_count = std::max(id_count, static_cast<std::size_t>(id) + 1);
    std::vector<int> position(id_count, -1);
    for (std::size_t i = 0; i < nodes.size(); ++i) position[static_cast<std::size_t>(nodes[i])] = static_cast<int>(i);
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      for (const ValueId input : graph.node(nodes[i]).inputs) {
        if (input == kNoValue || graph.value(input).producer == kNoNode) continue;
        const int from = position[static_cast<std::size_t>(graph.value(input).producer)];
        inputs[i].push_back(from);
        users[static_cast<std::size_t>(from)].push_back(static_cast<int>(i));
      }
    }
  }

  std::vector<NodeId> nodes;
  std::vector<std::vector<int>> inputs;  // producers
  std::vector<std::vector<int>> users;
};

// Grows convex clusters by joining the two ends of edges. Clusters are named by one of their nodes.
class Clusters {
 public:
  explicit Clusters(const Order& order) : order_(order), leader_(order.nodes.size()), members_(order.nodes.size()) {
    std::iota(leader_.begin(), leader_.end(), 0);
    for (std::size_t i = 0; i < members_.size(); ++i) members_[i] = {static_cast<int>(i)};
    visited_.assign(members_.size(), 0);
  }

  int of(int node) const { return leader_[static_cast<std::size_t>(node)]; }
  const std::vector<int>& members(int cluster) const { return members_[static_cast<std::size_t>(cluster)]; }

  // Joins the clusters of `from` and its user `to`, unless a path from one to the other through a third would then
  // leave the cluster and come back.
  void join(int from, int to) {
    int a = of(from);
    int b = of(to);
    if (a == b || has_detour(a, b)) return;
    if (members(a).size() < members(b).size()) std::swap(a, b);
    std::vector<int>& kept = members_[static_cast<std::size_t>(a)];
    std::vector<int>& moved = members_[static_cast<std::size_t>(b)];
    for (const int node : moved) leader_[static_cast<std::size_t>(node)] = a;
    kept.insert(kept.end(), moved.begin(), moved.end());
    moved.clear();
  }

 private:
  // Whether a path leads from cluster `a` to cluster `b` through any other. Joins keep the clusters acyclic, so none
  // leads back.
  bool has_detour(int a, int b) {
    const int last = *std::ranges::max_element(members(b));
    ++round_;
    std::vector<int> pending;  // clusters
    const auto follow = [&](int cluster) {
      for (const int node : members(cluster)) {
        for (const int user : order_.users[static_cast<std::size_t>(node)]) {
          const int next = of(user);
          if (next == a || visited_[static_cast<std::size_t>(next)] == round_) continue;
          if (next == b) {
            if (cluster != a) return true;
            continue;
          }
          // All of a cluster that comes after b's last node cannot lead to b.
          if (std::ranges::all_of(members(next), [&](int member) { return member > last; })) continue;
          visited_[static_cast<std::size_t>(next)] = round_;
          pending.push_back(next);
        }
      }
      return false;
    };
    if (follow(a)) return true;
    while (!pending.empty()) {
      const int next = pending.back();
      pending.pop_back();
      if (follow(next)) return true;
    }
    return false;
  }

  const Order& order_;
  std::vector<int> leader_;
  std::vector<std::vector<int>> members_;
  std::vector<int> visited_;  // the last round that met the cluster
  int round_ = 0;
};

// Of one cluster, the nodes worth having: dense ones; light ones that a dense one feeds, that lie between dense ones
// or, so that no path leaves and comes back, between kept ones; and at the end of such, functions of one value and
// Concats of nothing but kept ones.
class Trimmer {
 public:
  Trimmer(const Graph& graph, const Order& order, const Clusters& clusters)
      : graph_(graph), order_(order), clusters_(clusters), kept_(order.nodes.size(), 0), mark_(order.nodes.size(), 0) {}

  // Ascending.
  std::vector<int> trim(int cluster) {
    std::vector<int> nodes = clusters_.members(cluster);
    std::ranges::sort(nodes);
    for (const int node : nodes) kept(node) = is_dense(graph_.node(order_.nodes[static_cast<std::size_t>(node)]));
    keep_between(nodes);
    for (const int node : nodes) {
      if (kept(node)) continue;
      const auto& inputs = order_.inputs[static_cast<std::size_t>(node)];
      const Node& self = graph_.node(order_.nodes[static_cast<std::size_t>(node)]);
      const auto is_kept = [&](int input) { return clusters_.of(input) == cluster && kept(input); };
      const bool joins = self.op == "Concat" && inputs.size() == self.inputs.size();
      kept(node) = (joins && std::ranges::all_of(inputs, is_kept)) || std::ranges::any_of(inputs, [&](int input) {
                     return is_kept(input) && (is_of_one_value(self) ||
                                               is_dense(graph_.node(order_.nodes[static_cast<std::size_t>(input)])));
                   });
    }
    keep_between(nodes);
    std::erase_if(nodes, [&](int node) { return !kept(node); });
    return nodes;
  }

 private:
  char& kept(int node) { return kept_[static_cast<std::size_t>(node)]; }

  // Keeps what lies on a path between kept nodes. In a convex cluster all of such a path is in the cluster.
  void keep_between(const std::vector<int>& nodes) {
    const int cluster = clusters_.of(nodes[0]);
    const auto reaches = [&](int node, const std::vector<std::vector<int>>& edges) {
      return std::ranges::any_of(edges[static_cast<std::size_t>(node)], [&](int other) {
        return clusters_.of(other) == cluster && (kept(other) || mark_[static_cast<std::size_t>(other)] != 0);
      });
    };
    for (const int node : nodes) mark_[static_cast<std::size_t>(node)] = reaches(node, order_.inputs);
    std::vector<int> between;
    std::vector<char> follows(nodes.size());
    for (std::size_t i = 0; i < nodes.size(); ++i) follows[i] = mark_[static_cast<std::size_t>(nodes[i])];
    for (const int node : nodes) mark_[static_cast<std::size_t>(node)] = 0;
    for (std::size_t i = nodes.size(); i-- > 0;) {
      mark_[static_cast<std::size_t>(nodes[i])] = reaches(nodes[i], order_.users);
      if (follows[i] && mark_[static_cast<std::size_t>(nodes[i])] != 0) between.push_back(nodes[i]);
    }
    for (const int node : nodes) mark_[static_cast<std::size_t>(node)] = 0;
    for (const int node : between) kept(node) = 1;
  }

  const Graph& graph_;
  const Order& order_;
  const Clusters& clusters_;
  std::vector<char> kept_;
  std::vector<char> mark_;
};

// The connected parts of `nodes`, each ascending.
std::vector<std::vector<int>> connected_parts(const Order& order, const std::vector<int>& nodes) {
  std::vector<std::vector<int>> parts;
  std::vector<char> done(nodes.size(), 0);
  const auto find = [&](int node) {
    const auto at = std::ranges::lower_bound(nodes, node);
    return at != nodes.end() && *at == node ? static_cast<std::ptrdiff_t>(at - nodes.begin()) : -1;
  };
  for (std::size_t first = 0; first < nodes.size(); ++first) {
    if (done[first] != 0) continue;
    done[first] = 1;
    std::vector<int>& part = parts.emplace_back(1, nodes[first]);
    for (std::size_t i = 0; i < part.size(); ++i) {
      const auto at = static_cast<std::size_t>(part[i]);
      for (const auto* edges : {&order.inputs[at], &order.users[at]}) {
        for (const int other : *edges) {
          const std::ptrdiff_t index = find(other);
          if (index < 0 || done[static_cast<std::size_t>(index)] != 0) continue;
          done[static_cast<std::size_t>(index)] = 1;
          part.push_back(other);
        }
      }
    }
    std::ranges::sort(part);
  }
  return parts;
}

}  // namespace

Placement place(const Graph& graph, const PlaceOptions& options) {
  const DenyList deny(options.deny);
  const Order order(graph);
  Placement result;
  std::size_t id_count = 0;
  for (const NodeId id : order.nodes) id_count = std::max(id_count, static_cast<std::size_t>(id) + 1);
  result.nodes_.resize(id_count);
  const auto at = [&](int position) -> NodePlacement& {
    return result.nodes_[static_cast<std::size_t>(order.nodes[static_cast<std::size_t>(position)])];
  };
  const auto node_at = [&](int position) -> const Node& {
    return graph.node(order.nodes[static_cast<std::size_t>(position)]);
  };

  const int count = static_cast<int>(order.nodes.size());
  for (const BackendRow& backend : kBackends) {
    std::vector<char> accepted(order.nodes.size(), 0);
    for (int i = 0; i < count; ++i) {
      if (at(i).subgraph >= 0) continue;
      Verdict verdict = deny.accept(node_at(i), backend.name);
      if (verdict.accepted) verdict = backend.accept(graph, node_at(i));
      accepted[static_cast<std::size_t>(i)] = verdict.accepted;
      at(i).reason = std::move(verdict.reason);
    }

    Clusters clusters(order);
    for (int i = 0; i < count; ++i) {
      if (!accepted[static_cast<std::size_t>(i)]) continue;
      for (const int input : order.inputs[static_cast<std::size_t>(i)]) {
        if (accepted[static_cast<std::size_t>(input)]) clusters.join(input, i);
      }
    }

    Trimmer trimmer(graph, order, clusters);
    for (int i = 0; i < count; ++i) {
      if (!accepted[static_cast<std::size_t>(i)] || clusters.of(i) != i) continue;
      const std::vector<int> nodes = trimmer.trim(i);
      for (const int node : clusters.members(i)) {
        at(node).reason = fmt::format("{} takes it only behind or between dense operators", backend.name);
      }
      for (const std::vector<int>& part : connected_parts(order, nodes)) {
        double most = 0;
        for (const int node : part) most = std::max(most, operation_count(graph, node_at(node)));
        if (static_cast<int>(part.size()) < options.min_nodes && most < kWorthItsBorder) {
          for (const int node : part) {
            at(node).reason = fmt::format("a subgraph of {} operator{} would not pay for its border", part.size(),
                                          part.size() == 1 ? "" : "s");
          }
          continue;
        }
        for (const int node : part) at(node) = {std::string(backend.name), result.subgraph_count_, {}};
        ++result.subgraph_count_;
      }
    }
  }
  return result;
}

}  // namespace lanner::placement
