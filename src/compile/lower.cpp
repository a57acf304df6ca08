#include "compile/lower.h"

#include <algorithm>
#include <map>
#include <queue>
#include <tuple>
#include <unordered_map>

#include "base/fail.h"

namespace lanner::compiler {

namespace {

using ir::Graph;
using ir::kNoNode;
using ir::kNoValue;
using ir::Node;
using ir::NodeId;
using ir::ValueId;
using program::Block;
using program::Instruction;
using program::kNoSlot;
using program::SlotIndex;

// What becomes one instruction: a node, or the nodes of a subgraph in topological order.
struct Unit {
  std::vector<NodeId> nodes;
  std::string backend = "native";
  bool is_subgraph = false;
};

class Lowering {
 public:
  Lowering(program::Program& program, const PlaceGraph& place) : program_(program), place_(place) {}

  Block whole_graph(const Graph& graph) {
    BlockWriter writer(*this, graph);
    for (const ValueId input : graph.inputs()) writer.block.inputs.push_back(writer.new_slot(input));
    for (const Unit& unit : units_in_order(graph, place_(graph))) {
      writer.block.instructions.push_back(unit.is_subgraph ? subgraph(writer, unit)
                                                           : single(writer, graph.node(unit.nodes.front())));
    }
    for (const ValueId output : graph.outputs()) writer.block.outputs.push_back(writer.slot(output));
    program::set_data_dependencies(writer.block);
    return std::move(writer.block);
  }

  std::uint32_t constant(const Tensor& tensor) {
    // Two tensors with the same memory, type and shape are the same constant.
    const auto key = std::tuple(tensor.raw_data(), tensor.element_type(), tensor.shape().to_string());
    const auto [at, is_new] = constants_.emplace(key, static_cast<std::uint32_t>(program_.constants.size()));
    if (is_new) program_.constants.push_back(tensor);
    return at->second;
  }

 private:
  // A block under construction and the slots its values have there.
  struct BlockWriter {
    BlockWriter(Lowering& owner, const Graph& from) : lowering(owner), graph(from) {}

    SlotIndex new_slot(ValueId id) {
      const auto slot = static_cast<SlotIndex>(block.slots.size());
      block.slots.push_back({graph.value(id).name, graph.value(id).type});
      slots.emplace(id, slot);
      return slot;
    }

    // The slot of a value that is read: a constant gets its slot, and its binding, at its first use.
    SlotIndex slot(ValueId id) {
      if (id == kNoValue) return kNoSlot;
      if (const auto at = slots.find(id); at != slots.end()) return at->second;
      if (!graph.value(id).is_constant()) {
        base::fail(ErrorCode::kInternal, "graph.invalid", "value '{}' is read before it is made", graph.value(id).name);
      }
      const SlotIndex slot = new_slot(id);
      block.constants.push_back({slot, lowering.constant(graph.value(id).constant)});
      return slot;
    }

    Lowering& lowering;
    const Graph& graph;
    Block block;
    std::map<ValueId, SlotIndex> slots;
  };

  Instruction single(BlockWriter& writer, const Node& node) {
    Instruction instruction;
    instruction.op = node.op;
    instruction.name = node.name;
    instruction.attributes = node.attributes;
    instruction.stands_for = node.stands_for;
    instruction.capture_count = static_cast<std::uint32_t>(node.capture_count);
    for (const ValueId input : node.inputs) instruction.inputs.push_back(writer.slot(input));
    for (const ValueId output : node.outputs) {
      instruction.outputs.push_back(output == kNoValue ? kNoSlot : writer.new_slot(output));
    }
    for (const auto& [key, graph] : node.graphs) instruction.blocks.push_back({key, whole_graph(*graph)});
    // The program has If's branches in one order, whatever order the model had.
    std::ranges::sort(instruction.blocks, std::ranges::greater{}, &program::NamedBlock::name);
    return instruction;
  }

  Instruction subgraph(BlockWriter& outer, const Unit& unit) {
    BlockWriter inner(*this, outer.graph);
    Instruction instruction;
    instruction.op = program::kSubgraph;
    instruction.backend = unit.backend;
    instruction.name = outer.graph.node(unit.nodes.front()).name;

    std::unordered_map<NodeId, char> inside;
    for (const NodeId id : unit.nodes) inside.emplace(id, 1);
    const auto made_inside = [&](ValueId id) { return inside.contains(outer.graph.value(id).producer); };
    for (const NodeId id : unit.nodes) {
      for (const ValueId input : outer.graph.node(id).inputs) {
        if (input == kNoValue || outer.graph.value(input).is_constant() || made_inside(input) ||
            inner.slots.contains(input)) {
          continue;
        }
        inner.block.inputs.push_back(inner.new_slot(input));
        instruction.inputs.push_back(outer.slot(input));
      }
    }
    for (const NodeId id : unit.nodes) inner.block.instructions.push_back(single(inner, outer.graph.node(id)));
    for (const NodeId id : unit.nodes) {
      for (const ValueId output : outer.graph.node(id).outputs) {
        if (output == kNoValue) continue;
        const auto& users = outer.graph.value(output).users;
        const bool read_outside = std::ranges::any_of(users, [&](NodeId user) { return !inside.contains(user); });
        if (!read_outside && !outer.graph.is_output(output)) continue;
        inner.block.outputs.push_back(inner.slot(output));
        instruction.outputs.push_back(outer.new_slot(output));
      }
    }
    program::set_data_dependencies(inner.block);
    instruction.blocks.push_back({"body", std::move(inner.block)});
    return instruction;
  }

  // Units such that each comes after those it reads from, the one with the earliest node first among the ready ones.
  static std::vector<Unit> units_in_order(const Graph& graph, const placement::Placement& placement) {
    std::vector<Unit> units;
    std::map<int, std::size_t> unit_of_subgraph;
    std::map<NodeId, std::size_t> unit_of;
    for (const NodeId id : graph.topological_order()) {
      const placement::NodePlacement& place = placement.of(id);
      std::size_t unit = units.size();
      if (place.subgraph >= 0) {
        const auto [at, is_new] = unit_of_subgraph.emplace(place.subgraph, unit);
        unit = at->second;
        if (is_new) units.push_back({{}, place.backend, true});
      } else {
        units.push_back({{}, "native", false});
      }
      units[unit].nodes.push_back(id);
      unit_of[id] = unit;
    }

    std::vector<int> missing(units.size(), 0);
    std::vector<std::vector<std::size_t>> readers(units.size());
    for (std::size_t unit = 0; unit < units.size(); ++unit) {
      for (const NodeId id : units[unit].nodes) {
        for (const ValueId input : graph.node(id).inputs) {
          if (input == kNoValue || graph.value(input).producer == kNoNode) continue;
          const std::size_t from = unit_of.at(graph.value(input).producer);
          if (from == unit) continue;
          readers[from].push_back(unit);
          ++missing[unit];
        }
      }
    }
    std::priority_queue<std::size_t, std::vector<std::size_t>, std::greater<>> ready;
    for (std::size_t unit = 0; unit < units.size(); ++unit) {
      if (missing[unit] == 0) ready.push(unit);
    }
    std::vector<Unit> ordered;
    while (!ready.empty()) {
      const std::size_t next = ready.top();
      ready.pop();
      ordered.push_back(units[next]);
      for (const std::size_t reader : readers[next]) {
        if (--missing[reader] == 0) ready.push(reader);
      }
    }
    if (ordered.size() != units.size()) {
      base::fail(ErrorCode::kInternal, "placement.cycle", "the subgraphs depend on each other in a circle");
    }
    return ordered;
  }

  program::Program& program_;
  const PlaceGraph& place_;
  std::map<std::tuple<const void*, ElementType, std::string>, std::uint32_t> constants_;
};

}  // namespace

program::Program lower(const Graph& graph, const PlaceGraph& place) {
  program::Program program;
  program.properties = graph.properties;
  Lowering lowering(program, place);
  program.main = lowering.whole_graph(graph);
  program.output_names.assign(graph.output_names().begin(), graph.output_names().end());
  for (const auto& [input, tensor] : graph.input_defaults) {
    const auto position = std::ranges::find(graph.inputs(), input) - graph.inputs().begin();
    program.input_defaults.push_back(
        {program.main.inputs[static_cast<std::size_t>(position)], lowering.constant(tensor)});
  }
  return program;
}

}  // namespace lanner::compiler
