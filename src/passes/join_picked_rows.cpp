// join-picked-rows: what is computed in the same way from several lists of picked rows, each row by itself, and joined
// in the end, is computed once from the joined lists. Detectors with a pyramid of features decode the boxes of each
// level so, and join the levels before they suppress.
//
// A column is N values, one of each list, that are made by N nodes which differ in nothing but what they read of their
// list. From each Concat the columns it depends on are followed back. A column is joined where its nodes' results are
// read by joined columns and by Concats of just them; what a joined column reads of one that is not is concatenated.
// Rows that are looked up in a table of each list are looked up in one table, where the tables lie in one.
#include <algorithm>
#include <cstring>
#include <map>
#include <numeric>
#include <unordered_map>

#include "passes/joined_tables.h"
#include "passes/known_sign.h"
#include "passes/match.h"
#include "passes/row_axes.h"
#include "passes/rules.h"
#include "passes/siblings.h"

namespace lanner::passes {

namespace {

// Values side by side, with rows along one axis.
struct Column {
  std::vector<ValueId> parts;
  int axis = 0;
  friend auto operator<=>(const Column&, const Column&) = default;
};

// Nodes side by side; row_axes() of each of them.
struct Step {
  std::vector<NodeId> nodes;
  int axis = 0;
  std::vector<int> input_axes;
  std::optional<JoinedTables> tables;  // of Gathers that each read another table
  std::size_t root = 0;                // the first Concat that needs it
  bool joined = false;
};

struct Root {
  NodeId concat;
  Column column;
};

constexpr std::string_view kPicking[] = {"ClassNonMaxSuppression", "ClassTopK", "Compress", "GroupNonMaxSuppression",
                                         "NonMaxSuppression",      "NonZero",   "TopK"};

class Joiner {
 public:
  Joiner(Graph& graph, GraphRewriter& rewriter)
      : graph_(graph), rewriter_(rewriter), sizes_(graph), selections_(graph), order_(graph.topological_order()) {
    for (std::size_t i = 0; i < order_.size(); ++i) position_[order_[i]] = i;
  }

  // Whether anything was joined; then the graph is to be read anew.
  bool run() {
    find_roots();
    group_.resize(roots_.size());
    std::iota(group_.begin(), group_.end(), std::size_t{0});
    for (std::size_t i = 0; i < roots_.size(); ++i) follow(i);
    choose();
    for (std::size_t i = 0; i < roots_.size(); ++i) {
      if (group_of(i) == i && join(i)) return true;
    }
    for (const auto& [node, reason] : declined_) rewriter_.near_miss(node, reason);
    return false;
  }

 private:
  void find_roots() {
    for (const NodeId id : order_) {
      const Node& node = graph_.node(id);
      if (!is_op(node, "Concat") || node.inputs.size() < 2) continue;
      const int rank = rank_of(graph_, node.outputs[0]);
      if (rank < 1) continue;
      const std::int64_t axis = node.attributes.get_int("axis", 0);
      Root root{id, {node.inputs, static_cast<int>(axis < 0 ? axis + rank : axis)}};
      concats_.try_emplace(root.column, node.outputs[0]);
      root_of_[id] = roots_.size();
      roots_.push_back(std::move(root));
    }
  }

  std::size_t group_of(std::size_t root) const {
    while (group_[root] != root) root = group_[root];
    return root;
  }

  // Finds the steps that a root depends on. Roots that share one are of one group.
  void follow(std::size_t root) {
    std::vector<Column> left{roots_[root].column};
    while (!left.empty()) {
      const Column column = std::move(left.back());
      left.pop_back();
      std::optional<Step> step = step_of(column);
      if (!step) continue;
      step->root = root;
      const auto [found, added] = steps_.try_emplace({step->nodes, step->axis}, *step);
      if (!added) {
        group_[group_of(root)] = group_of(found->second.root);
        continue;
      }
      for (std::size_t i = 0; i < step->input_axes.size(); ++i) {
        if (step->input_axes[i] != kNoRows) left.push_back(input_column(*step, i));
      }
    }
  }

  Column input_column(const Step& step, std::size_t position) const {
    Column column{{}, step.input_axes[position]};
    for (const NodeId id : step.nodes) column.parts.push_back(graph_.node(id).inputs[position]);
    return column;
  }

  // The nodes that make a column, where they are alike and compute row by row.
  std::optional<Step> step_of(const Column& column) {
    Step step{{}, column.axis, {}, {}};
    for (const ValueId part : column.parts) {
      const Node* node = part == kNoValue ? nullptr : graph_.producer(part);
      if (node == nullptr || rank_of(graph_, part) != rank_of(graph_, column.parts[0])) return std::nullopt;
      const NodeId id = graph_.value(part).producer;
      if (std::ranges::find(step.nodes, id) != step.nodes.end()) return std::nullopt;
      step.nodes.push_back(id);
    }
    const Node& first = graph_.node(step.nodes[0]);
    const auto output = std::ranges::find(first.outputs, column.parts[0]) - first.outputs.begin();
    for (std::size_t k = 0; k < step.nodes.size(); ++k) {
      const Node& node = graph_.node(step.nodes[k]);
      if (node.op != first.op || !(node.attributes == first.attributes) || node.inputs.size() != first.inputs.size() ||
          node.outputs.size() != first.outputs.size() ||
          node.outputs[static_cast<std::size_t>(output)] != column.parts[k]) {
        return std::nullopt;
      }
      const auto axes = row_axes(graph_, sizes_, node, column.parts[k], column.axis);
      if (!axes || (k > 0 && *axes != step.input_axes)) return std::nullopt;
      step.input_axes = *axes;
    }
    for (std::size_t i = 0; i < first.inputs.size(); ++i) {
      if (step.input_axes[i] != kNoRows) continue;
      const bool same = std::ranges::all_of(
          step.nodes, [&](NodeId id) { return same_value(first.inputs[i], graph_.node(id).inputs[i]); });
      if (same) continue;
      if (i == 0 && first.op == "Gather") step.tables = tables_of(step);
      if (!step.tables) return std::nullopt;
    }
    return step;
  }

  // The table that Gathers along axis 0 by lists of rows can all read.
  std::optional<JoinedTables> tables_of(const Step& step) const {
    std::vector<ValueId> tables;
    for (const NodeId id : step.nodes) {
      const Node& node = graph_.node(id);
      const ValueType& rows = type_of(graph_, node.inputs[1]);
      if (node.attributes.get_int("axis", 0) != 0 || step.axis != 0 || rows.dims.size() != 1 ||
          rows.element != ElementType::kInt64 || !never_negative(graph_, node.inputs[1])) {
        return std::nullopt;
      }
      tables.push_back(node.inputs[0]);
    }
    return joined_tables(selections_, tables);
  }

  // One value, or constants of equal content.
  bool same_value(ValueId a, ValueId b) const {
    if (a == b) return true;
    const Tensor* x = constant_of(graph_, a);
    const Tensor* y = constant_of(graph_, b);
    return x != nullptr && y != nullptr && x->element_type() == y->element_type() && x->shape() == y->shape() &&
           x->element_type() != ElementType::kString && std::memcmp(x->raw_data(), y->raw_data(), x->byte_count()) == 0;
  }

  // Users come before what they use.
  void choose() {
    std::vector<Step*> steps;
    for (auto& [key, step] : steps_) steps.push_back(&step);
    std::ranges::sort(steps, std::greater<>(), [&](const Step* step) { return position_.at(step->nodes[0]); });
    for (Step* step : steps) {
      if (!is_picked(*step)) continue;
      step->joined = is_read_by_joined(*step);
      if (!step->joined) {
        explain(*step);
        continue;
      }
      for (const NodeId id : step->nodes) step_of_node_[id] = step;
    }
  }

  // Of steps right before a Concat, why they are not joined.
  void explain(const Step& step) {
    const auto root = std::ranges::find_if(roots_, [&](const Root& of) { return makes(step, of.column); });
    if (root == roots_.end()) return;
    declined_.emplace_back(root->concat, fmt::format("what {} nodes of {} make is read elsewhere, too",
                                                     step.nodes.size(), graph_.node(step.nodes[0]).op));
  }

  bool is_read_by_joined(const Step& step) const {
    const std::size_t outputs = graph_.node(step.nodes[0]).outputs.size();
    for (std::size_t o = 0; o < outputs; ++o) {
      const Column column = output_column(step, o);
      for (std::size_t k = 0; k < step.nodes.size(); ++k) {
        const ValueId value = column.parts[k];
        if (value == kNoValue) continue;
        if (graph_.is_output(value)) return false;
        for (const NodeId user : graph_.value(value).users) {
          if (!reads_column(user, k, column)) return false;
        }
      }
    }
    return true;
  }

  // Whether a node that reads part k of a column reads it as a Concat of the column or as a joined step's node does.
  bool reads_column(NodeId user, std::size_t k, const Column& column) const {
    const Node& node = graph_.node(user);
    if (const auto root = root_of_.find(user); root != root_of_.end() && roots_[root->second].column == column) {
      return true;
    }
    const auto found = step_of_node_.find(user);
    if (found == step_of_node_.end()) return false;
    const Step& step = *found->second;
    if (step.nodes.size() != column.parts.size() || step.nodes[k] != user) return false;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.inputs[i] != column.parts[k]) continue;
      // What begins at a row of its own in a table has to be apart.
      if (step.tables || step.input_axes[i] != column.axis || input_column(step, i) != column) return false;
    }
    return true;
  }

  // Whether the rows were picked: where they are all there are, little is gained, and what makes them may be better off
  // with what follows it.
  bool is_picked(const Step& step) {
    const Node& node = graph_.node(step.nodes[0]);
    for (std::size_t i = 0; i < step.input_axes.size(); ++i) {
      if (step.input_axes[i] != kNoRows && is_picked(node.inputs[i], step.input_axes[i])) return true;
    }
    return false;
  }

  bool is_picked(ValueId value, int axis) {
    const auto [found, added] = picked_.try_emplace({value, axis}, false);
    if (!added) return found->second;
    const Node* node = graph_.producer(value);
    if (node == nullptr) return false;
    bool result = std::ranges::find(kPicking, node->op) != std::end(kPicking);
    const auto axes = result ? std::nullopt : row_axes(graph_, sizes_, *node, value, axis);
    for (std::size_t i = 0; axes && i < axes->size() && !result; ++i) {
      result = (*axes)[i] != kNoRows && is_picked(node->inputs[i], (*axes)[i]);
    }
    return picked_[{value, axis}] = result;
  }

  bool join(std::size_t group) {
    // Those of the group, from what is read to what reads.
    std::vector<const Step*> steps;
    for (const auto& [key, step] : steps_) {
      if (step.joined && group_of(step.root) == group) steps.push_back(&step);
    }
    std::ranges::sort(steps, {}, [&](const Step* step) { return position_.at(step->nodes[0]); });
    std::vector<const Root*> roots;
    for (std::size_t i = 0; i < roots_.size(); ++i) {
      const auto found = step_of_node_.find(graph_.value(roots_[i].column.parts[0]).producer);
      if (group_of(i) != group || found == step_of_node_.end() || !makes(*found->second, roots_[i].column)) continue;
      roots.push_back(&roots_[i]);
    }
    if (roots.empty()) return false;
    Join join{Edit(graph_, roots[0]->concat), {}, {}, 0};
    std::size_t removed = roots.size();
    for (const Step* step : steps) {
      removed += step->nodes.size() - 1;
      add(join, *step);
    }
    if (join.added >= removed) {
      declined_.emplace_back(roots[0]->concat, "it would take as many operators to join the lists before");
      return false;
    }
    for (const Root* root : roots) {
      join.edit.replace(graph_.node(root->concat).outputs[0], join.values.at(root->column));
    }
    return rewriter_.apply(roots[0]->concat, join.edit);
  }

  // An edit and the joined columns it has so far.
  struct Join {
    Edit edit;
    std::map<Column, ValueId> values;
    std::map<std::pair<Column, std::vector<std::int64_t>>, ValueId> shifted;
    std::size_t added;  // nodes beside those of joined steps
  };

  ValueId joined(Join& join, const Column& column) const {
    const auto [found, is_new] = join.values.try_emplace(column, kNoValue);
    if (!is_new) return found->second;
    const auto concat = concats_.find(column);
    return found->second = concat != concats_.end() ? concat->second : concatenated(join, column.parts, column);
  }

  // `parts` have the types of the column's.
  ValueId concatenated(Join& join, std::vector<ValueId> parts, const Column& column) const {
    ++join.added;
    tensor::Attributes axis;
    axis.set("axis", static_cast<std::int64_t>(column.axis));
    return join.edit.node(stand_in(make_node("Concat", std::move(parts), std::move(axis)), "Concat", 1),
                          joined_type(column));
  }

  // A column of rows, each list's counted from where its table starts.
  ValueId shifted(Join& join, const Column& column, const std::vector<std::int64_t>& starts) const {
    const auto [found, is_new] = join.shifted.try_emplace({column, starts}, kNoValue);
    if (!is_new) return found->second;
    std::vector<ValueId> parts;
    for (std::size_t k = 0; k < starts.size(); ++k) {
      parts.push_back(column.parts[k]);
      if (starts[k] == 0) continue;
      ++join.added;
      const ValueId start = join.edit.constant(Tensor::scalar<std::int64_t>(starts[k]));
      parts.back() =
          join.edit.node(stand_in(make_node("Add", {parts.back(), start}), "Add", 1), type_of(graph_, column.parts[k]));
    }
    return found->second = concatenated(join, std::move(parts), column);
  }

  ValueId table(Join& join, const JoinedTables& tables, ElementType element) const {
    if (tables.value == kNoValue) return join.edit.constant(tables.constant);
    const auto& present = type_of(graph_, tables.value).dims;
    if (std::ranges::equal(present, tables.dims, {}, &tensor::Dim::size)) return tables.value;
    ++join.added;
    const ValueId shape = join.edit.constant(int_tensor(tables.dims));
    return join.edit.node(stand_in(make_node("Reshape", {tables.value, shape}), "Reshape", 1),
                          list_type(element, tables.dims));
  }

  // The one node for a step's.
  void add(Join& join, const Step& step) const {
    Node node = copy_node(graph_.node(step.nodes[0]));
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      if (step.input_axes[i] == kNoRows) continue;
      const Column column = input_column(step, i);
      node.inputs[i] = step.tables ? shifted(join, column, step.tables->starts) : joined(join, column);
    }
    if (step.tables) node.inputs[0] = table(join, *step.tables, type_of(graph_, node.inputs[0]).element);
    node.stands_for.clear();
    for (const NodeId id : step.nodes) {
      const Node& old = graph_.node(id);
      node.stands_for.insert(node.stands_for.end(), old.stands_for.begin(), old.stands_for.end());
    }
    if (node.stands_for.empty()) node.stands_for.assign(step.nodes.size(), node.op);
    std::vector<Column> columns;
    std::vector<std::pair<std::string, ValueType>> outputs;
    for (std::size_t o = 0; o < graph_.node(step.nodes[0]).outputs.size(); ++o) {
      columns.push_back(output_column(step, o));
      const bool made = columns.back().parts[0] != kNoValue;
      outputs.emplace_back("", made ? joined_type(columns.back()) : ValueType{});
    }
    const std::vector<ValueId> made = join.edit.nodes(std::move(node), std::move(outputs));
    for (std::size_t o = 0; o < made.size(); ++o) join.values[columns[o]] = made[o];
  }

  Column output_column(const Step& step, std::size_t position) const {
    Column column{{}, step.axis};
    for (const NodeId id : step.nodes) column.parts.push_back(graph_.node(id).outputs[position]);
    return column;
  }

  bool makes(const Step& step, const Column& column) const {
    for (std::size_t o = 0; o < graph_.node(step.nodes[0]).outputs.size(); ++o) {
      if (output_column(step, o) == column) return true;
    }
    return false;
  }

  // The parts' type, with the sum of their rows.
  ValueType joined_type(const Column& column) const {
    ValueType type = type_of(graph_, column.parts[0]);
    tensor::Dim rows{0, {}};
    for (const ValueId part : column.parts) {
      const auto& dims = type_of(graph_, part).dims;
      const std::int64_t size = dims[static_cast<std::size_t>(column.axis)].size;
      rows.size = size < 0 || rows.size < 0 ? tensor::Dim{}.size : rows.size + size;
      for (std::size_t i = 0; i < type.dims.size(); ++i) {
        if (type.dims[i].size != dims[i].size) type.dims[i] = {};
      }
    }
    type.dims[static_cast<std::size_t>(column.axis)] = rows;
    return type;
  }

  Graph& graph_;
  GraphRewriter& rewriter_;
  SizeOrigins sizes_;
  const Selections selections_;
  const std::vector<NodeId> order_;
  std::unordered_map<NodeId, std::size_t> position_;
  std::vector<Root> roots_;
  std::unordered_map<NodeId, std::size_t> root_of_;
  std::vector<std::size_t> group_;
  std::map<Column, ValueId> concats_;
  std::map<std::pair<std::vector<NodeId>, int>, Step> steps_;
  std::unordered_map<NodeId, const Step*> step_of_node_;
  std::map<std::pair<ValueId, int>, bool> picked_;
  std::vector<std::pair<NodeId, std::string>> declined_;
};

void join_all(Graph& graph, GraphRewriter& rewriter) {
  const auto picks = [&](NodeId id) { return std::ranges::find(kPicking, graph.node(id).op) != std::end(kPicking); };
  if (std::ranges::none_of(graph.topological_order(), picks)) return;
  while (Joiner(graph, rewriter).run()) {
  }
}

}  // namespace

constinit const Rule kJoinPickedRows{
    .name = "join-picked-rows",
    .doc =
        "Computes once, from all rows, what is computed alike from several lists of picked rows that are then joined.",
    .ops = {},
    .rewrite_graph = join_all};

}  // namespace lanner::passes
