// fuse-columns: nodes that take apart, compute and put together the columns of values with few columns and many rows
// become one ColumnMap. Decoding boxes is 30 to 50 such nodes, each of which walks all rows.
#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "passes/column_reader.h"
#include "passes/match.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

using kernels::ColumnOperand;
using kernels::ColumnProgram;
using kernels::ColumnResult;

// Fewer are not worth an operator of their own.
constexpr std::size_t kFewestSaved = 3;
// Columns and results of a region; the kernel keeps those that are needed at the same time in a limited space.
constexpr std::size_t kMostColumns = 400;

constexpr std::string_view kDense[] = {"BatchNormalization", "Conv", "ConvTranspose", "FusedConv",
                                       "FusedMatMul",        "Gemm", "MatMul"};

// Nodes of which the rule may make one, in topological order.
struct Region {
  struct Member {
    NodeId node;
    NodeReading reading;
  };
  std::vector<Member> members;
};

// The latest reason for each node that a region ends at.
using Declined = std::map<NodeId, std::string>;

// Finds regions: connected nodes with as many rows, no path from one of them to another through a node that is none.
class RegionFinder {
 public:
  RegionFinder(const Graph& graph, const std::unordered_set<NodeId>& excluded, Declined& declined)
      : graph_(graph), excluded_(excluded), declined_(declined), reader_(graph) {}

  std::vector<Region> find() {
    for (const NodeId id : graph_.topological_order()) visit(id);
    // Members that are connected.
    std::map<std::size_t, Region> regions;
    for (std::size_t i = 0; i < members_.size(); ++i) regions[root(i)].members.push_back(std::move(members_[i]));
    std::vector<Region> result;
    for (auto& [first, region] : regions) result.push_back(std::move(region));
    return result;
  }
  const ColumnReader& reader() const { return reader_; }

 private:
  void visit(NodeId id) {
    const Node& node = graph_.node(id);
    // Row counts that nodes before this one were regions of.
    std::set<RowCount> behind;
    bool after_dense = false;
    for (const ValueId input : node.inputs) {
      if (input == kNoValue) continue;
      const NodeId producer = graph_.value(input).producer;
      if (producer == kNoNode) continue;
      if (const auto found = behind_.find(producer); found != behind_.end()) {
        behind.insert(found->second.begin(), found->second.end());
      }
      after_dense = after_dense || after_dense_.contains(producer);
    }
    const bool dense = std::ranges::find(kDense, node.op) != std::end(kDense);
    if (dense || (after_dense && computes_columns(node))) after_dense_.insert(id);
    std::optional<RowCount> own;
    // What follows a convolution element by element is done with it.
    if (!dense && !(after_dense && computes_columns(node)) && !excluded_.contains(id)) own = join(id, node, behind);
    for (const ValueId input : node.inputs) {
      if (input == kNoValue) continue;
      const auto found = member_of_.find(graph_.value(input).producer);
      if (found == member_of_.end()) continue;
      const RowCount rows = members_[found->second].reading.rows;
      if (rows != own) behind.insert(rows);
    }
    if (!behind.empty()) behind_.emplace(id, std::move(behind));
  }

  // Makes the node a member if it can be one; returns its rows.
  std::optional<RowCount> join(NodeId id, const Node& node, const std::set<RowCount>& behind) {
    auto reading = reader_.read(node);
    if (!reading) {
      if (reader_.too_wide() > 0 && reads_computed(node)) {
        declined_[id] = fmt::format("a value has {} columns, more than {}", reader_.too_wide(), kMaxFormColumns);
      }
      return std::nullopt;
    }
    if (behind.contains(reading->rows)) return std::nullopt;
    const std::size_t member = members_.size();
    parents_.push_back(member);
    for (const ValueId input : node.inputs) {
      if (input == kNoValue || graph_.value(input).is_constant()) continue;
      if (reader_.form(input) != nullptr) {
        unite(member_of_.at(graph_.value(input).producer), member);
      } else if (const auto [other, added] = readers_.try_emplace({input, reading->rows}, member); !added) {
        unite(other->second, member);
      }
    }
    reader_.keep(*reading);
    member_of_.emplace(id, member);
    const RowCount rows = reading->rows;
    members_.push_back({id, std::move(*reading)});
    return rows;
  }

  bool reads_computed(const Node& node) const {
    return std::ranges::any_of(node.inputs, [&](ValueId input) {
      const ColumnForm* form = input == kNoValue ? nullptr : reader_.form(input);
      return form != nullptr && form->computed();
    });
  }

  std::size_t root(std::size_t member) {
    while (parents_[member] != member) member = parents_[member] = parents_[parents_[member]];
    return member;
  }
  void unite(std::size_t a, std::size_t b) {
    const std::size_t first = root(a);
    const std::size_t second = root(b);
    parents_[std::max(first, second)] = std::min(first, second);
  }

  const Graph& graph_;
  const std::unordered_set<NodeId>& excluded_;
  Declined& declined_;
  ColumnReader reader_;
  std::vector<Region::Member> members_;
  std::vector<std::size_t> parents_;
  std::unordered_map<NodeId, std::size_t> member_of_;
  std::map<std::pair<ValueId, RowCount>, std::size_t> readers_;  // of values that are no member's
  std::unordered_map<NodeId, std::set<RowCount>> behind_;
  std::unordered_set<NodeId> after_dense_;
};

// Turns a region into a program and the edit that puts it in the region's place.
class RegionFuser {
 public:
  RegionFuser(const Graph& graph, const ColumnReader& reader, const Region& region)
      : graph_(graph), reader_(reader), region_(region) {
    for (const Region::Member& member : region.members) nodes_.insert(member.node);
    find_outputs();
  }

  bool worthwhile_kind() const {
    bool moves = false;
    bool computes = false;
    for (const Region::Member& member : region_.members) {
      moves = moves || member.reading.rearranges;
      computes = computes || member.reading.kind == NodeReading::Kind::kCompute;
    }
    return moves && computes && !outputs_.empty();
  }
  // The node that is asked about: the last that makes an output.
  NodeId at() const { return graph_.value(outputs_.back().first).producer; }

  // Empty when the edit is complete, else the guard that declined.
  std::string fuse(Edit& edit) {
    ColumnProgram program;
    for (const auto& [value, form] : outputs_) program.results.push_back(result_of(value, *form, program));
    if (program.steps.size() + columns_.size() > kMostColumns) {
      return fmt::format("it has {} columns, more than {}", program.steps.size() + columns_.size(), kMostColumns);
    }
    Node fused = make_node("ColumnMap", inputs_, kernels::column_attributes(program), "lanner");
    std::vector<std::pair<std::string, ValueType>> types;
    for (const auto& [value, form] : outputs_) types.emplace_back("", graph_.value(value).type);
    const std::vector<ValueId> made = edit.nodes(std::move(fused), std::move(types));
    for (std::size_t i = 0; i < made.size(); ++i) edit.replace(outputs_[i].first, made[i]);
    // Nodes whose results others still read stay.
    std::size_t consumed = 0;
    for (auto member = region_.members.rbegin(); member != region_.members.rend(); ++member) {
      consumed += edit.consume(member->node) ? 1 : 0;
    }
    if (consumed < kFewestSaved + 1)
      return fmt::format("it would save {} operators", std::max<std::size_t>(consumed, 1) - 1);
    return {};
  }

 private:
  // What is read outside and computed here. Columns of sources are left to the nodes that move them, and another shape
  // of an output to the node that gives it.
  void find_outputs() {
    std::unordered_set<ValueId> chosen;
    for (const Region::Member& member : region_.members) {
      for (const auto& [value, form] : member.reading.outputs) {
        if (!form.computed() || !is_read_outside(value)) continue;
        const bool view = member.reading.kind == NodeReading::Kind::kView;
        if (view && chosen.contains(graph_.node(member.node).inputs[0])) continue;
        chosen.insert(value);
        outputs_.emplace_back(value, &form);
      }
    }
  }

  bool is_read_outside(ValueId value) const {
    return graph_.is_output(value) ||
           std::ranges::any_of(graph_.value(value).users, [&](NodeId user) { return !nodes_.contains(user); });
  }

  ColumnResult result_of(ValueId value, const ColumnForm& form, ColumnProgram& program) {
    ColumnResult result;
    const std::vector<tensor::Dim>& dims = graph_.value(value).type.dims;
    for (int i = 0; i < static_cast<int>(dims.size()); ++i) {
      const tensor::Dim& dim = dims[static_cast<std::size_t>(i)];
      const bool row = i >= form.row_begin && i < form.row_end;
      const bool open = row && (form.row_end - form.row_begin == 1 || !dim.known());
      result.axes.push_back({open ? ColumnResult::kOpen : dim.size, row});
    }
    for (const Column& column : form.columns) result.columns.push_back(operand_of(column, program));
    return result;
  }

  ColumnOperand operand_of(const Column& column, ColumnProgram& program) {
    if (const auto* source = std::get_if<SourceColumn>(&column)) return input_of(*source, program);
    if (const auto* computed = std::get_if<StepColumn>(&column)) return step_of(computed->step, program);
    return std::get<float>(column);
  }

  ColumnOperand input_of(const SourceColumn& source, ColumnProgram& program) {
    const auto [input, added] =
        input_numbers_.try_emplace({source.value, source.layout}, static_cast<std::uint32_t>(inputs_.size()));
    if (added) {
      inputs_.push_back(source.value);
      program.layouts.push_back(source.layout);
    }
    columns_.insert({input->second, source.column});
    return kernels::InputColumn{input->second, source.column};
  }

  // Operands before the step, without recursion: chains may be long.
  ColumnOperand step_of(std::uint32_t step, ColumnProgram& program) {
    std::vector<std::uint32_t> pending{step};
    while (!pending.empty()) {
      const std::uint32_t next = pending.back();
      const ReadStep& read = reader_.steps()[next];
      bool ready = true;
      if (!step_numbers_.contains(next)) {
        for (auto operand = read.operands.rbegin(); operand != read.operands.rend(); ++operand) {
          const auto* computed = std::get_if<StepColumn>(&*operand);
          if (computed == nullptr || step_numbers_.contains(computed->step)) continue;
          pending.push_back(computed->step);
          ready = false;
        }
        if (!ready) continue;
        kernels::ColumnStep made{read.op, {}};
        for (const Column& operand : read.operands) {
          const auto* computed = std::get_if<StepColumn>(&operand);
          made.operands.push_back(computed != nullptr
                                      ? ColumnOperand(kernels::StepResult{step_numbers_.at(computed->step)})
                                      : operand_of(operand, program));
        }
        step_numbers_.emplace(next, static_cast<std::uint32_t>(program.steps.size()));
        program.steps.push_back(std::move(made));
      }
      pending.pop_back();
    }
    return kernels::StepResult{step_numbers_.at(step)};
  }

  const Graph& graph_;
  const ColumnReader& reader_;
  const Region& region_;
  std::unordered_set<NodeId> nodes_;
  std::vector<std::pair<ValueId, const ColumnForm*>> outputs_;
  std::vector<ValueId> inputs_;
  std::map<std::pair<ValueId, std::string>, std::uint32_t> input_numbers_;
  std::set<std::pair<std::uint32_t, std::uint32_t>> columns_;
  std::unordered_map<std::uint32_t, std::uint32_t> step_numbers_;
};

// An edit changes what is connected with what, so regions are found anew after each. Nodes of regions that were
// declined take part in none, which may set others free.
void fuse(Graph& graph, GraphRewriter& rewriter) {
  std::unordered_set<NodeId> excluded;
  Declined declined;
  for (bool changed = true; changed;) {
    changed = false;
    RegionFinder finder(graph, excluded, declined);
    for (const Region& region : finder.find()) {
      RegionFuser fuser(graph, finder.reader(), region);
      if (fuser.worthwhile_kind()) {
        const NodeId at = fuser.at();
        Edit edit(graph, at);
        std::string why = fuser.fuse(edit);
        if (why.empty() && rewriter.apply(at, edit)) {
          changed = true;
          break;
        }
        if (!why.empty()) declined[at] = std::move(why);
      }
      for (const Region::Member& member : region.members) changed = excluded.insert(member.node).second || changed;
    }
  }
  for (auto& [node, why] : declined) {
    if (!graph.node(node).removed) rewriter.near_miss(node, std::move(why));
  }
}

}  // namespace

constinit const Rule kFuseColumns{"fuse-columns",
                                  "Computes boxes, points and the like column by column in one pass over their rows.",
                                  {},
                                  nullptr,
                                  fuse};

}  // namespace lanner::passes
