// eliminate-dead-code: removes nodes nobody reads, outputs nobody reads, and what nested graphs need not be given: what
// they do not read, read twice, or could hold as a constant of their own.
#include <ranges>

#include "passes/match.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

bool is_read(const Graph& graph, ValueId value) {
  return value != kNoValue && (!graph.value(value).users.empty() || graph.is_output(value));
}

void erase_capture(Graph& graph, NodeId id, std::size_t position) {
  const std::size_t from_end = graph.node(id).inputs.size() - position;
  for (const auto& [key, nested] : graph.mutable_node(id).graphs) {
    nested->erase_graph_input(nested->inputs().size() - from_end);
  }
  graph.erase_input(id, position);
  --graph.mutable_node(id).capture_count;
}

void simplify_captures(Graph& graph, NodeId id, GraphRewriter& rewriter) {
  const auto inner = [&](Graph& nested, std::size_t position) {
    return nested.inputs()[nested.inputs().size() - (graph.node(id).inputs.size() - position)];
  };
  const std::size_t count = graph.node(id).inputs.size();
  const std::size_t first = count - static_cast<std::size_t>(graph.node(id).capture_count);
  for (std::size_t position = count; position-- > first;) {
    const ValueId outer = graph.node(id).inputs[position];
    const std::string& name = graph.value(outer).name;
    std::size_t same = first;
    while (graph.node(id).inputs[same] != outer) ++same;
    bool read = false;
    for (const auto& [key, nested] : graph.node(id).graphs) read |= is_read(*nested, inner(*nested, position));
    if (read && same == position && !graph.value(outer).is_constant()) continue;
    if (!rewriter.allow(fmt::format("capture '{}' of {} '{}'", name, graph.node(id).op, graph.node(id).name))) return;
    for (const auto& [key, nested] : graph.mutable_node(id).graphs) {
      const ValueId value = inner(*nested, position);
      if (same != position)
        nested->replace_uses(value, inner(*nested, same));
      else if (graph.value(outer).is_constant())
        nested->set_constant(value, graph.value(outer).constant);
    }
    erase_capture(graph, id, position);
  }
}

void eliminate(Graph& graph, GraphRewriter& rewriter) {
  const std::vector<NodeId> order = graph.topological_order();
  for (const NodeId id : order | std::views::reverse) {
    const Node& node = graph.node(id);
    bool live = false;
    for (const ValueId output : node.outputs) live |= is_read(graph, output);
    if (!live) {
      if (!rewriter.allow(fmt::format("{} '{}'", node.op, node.name))) return;
      graph.remove_node(id);
      continue;
    }
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      const ValueId output = node.outputs[i];
      if (output == kNoValue || is_read(graph, output)) continue;
      if (!rewriter.allow(fmt::format("output '{}' of {} '{}'", graph.value(output).name, node.op, node.name))) return;
      graph.drop_output(id, i);
    }
    if (node.capture_count > 0) simplify_captures(graph, id, rewriter);
  }
}

}  // namespace

constinit const Rule kEliminateDeadCode{
    "eliminate-dead-code", "Removes nodes, outputs and captured values that nobody reads.", {}, nullptr, eliminate};

}  // namespace lanner::passes
