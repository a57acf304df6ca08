// inline-if: an If whose condition is a constant becomes the nodes of the branch it takes.
#include <unordered_map>

#include "passes/match.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"If"};

Verdict inline_branch(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  if (!node.domain.empty()) return no_match();
  const std::optional<double> condition = constant_scalar(graph, input(node, 0));
  if (!condition) return no_match();
  const std::string_view wanted = *condition != 0 ? "then_branch" : "else_branch";
  const Graph* branch = nullptr;
  for (const auto& [key, nested] : node.graphs) {
    if (key == wanted) branch = nested.get();
  }
  if (branch == nullptr || branch->outputs().size() != node.outputs.size()) return no_match();

  std::unordered_map<ValueId, ValueId> outer{{kNoValue, kNoValue}};
  const std::size_t first_capture = node.inputs.size() - static_cast<std::size_t>(node.capture_count);
  for (std::size_t i = 0; i < branch->inputs().size(); ++i) outer[branch->inputs()[i]] = node.inputs[first_capture + i];
  const auto resolve = [&](ValueId value) {
    const auto [entry, added] = outer.try_emplace(value, kNoValue);
    if (added) entry->second = edit.constant(branch->value(value).constant, branch->value(value).name);
    return entry->second;
  };
  for (const NodeId id : branch->topological_order()) {
    const Node& inner = branch->node(id);
    Node copy = copy_node(inner);
    if (copy.stands_for.empty()) copy.stands_for = {copy.op};
    for (ValueId& value : copy.inputs) value = resolve(value);
    std::vector<std::pair<std::string, ValueType>> outputs;
    for (const ValueId output : inner.outputs) {
      if (output == kNoValue)
        outputs.push_back({});
      else
        outputs.emplace_back(branch->value(output).name, branch->value(output).type);
    }
    const std::vector<ValueId> made = edit.nodes(std::move(copy), std::move(outputs));
    for (std::size_t i = 0; i < made.size(); ++i) {
      if (inner.outputs[i] != kNoValue) outer[inner.outputs[i]] = made[i];
    }
  }
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i] != kNoValue) edit.replace(node.outputs[i], resolve(branch->outputs()[i]));
  }
  return rewrite();
}

}  // namespace

constinit const Rule kInlineIf{"inline-if", "Replaces an If whose condition is known by the branch it takes.", kOps,
                               inline_branch};

}  // namespace lanner::passes
