// fold-constants: a node that reads only constants is run now.
#include <algorithm>
#include <memory>

#include "kernels/registry.h"
#include "lanner/error.h"
#include "passes/evaluate.h"
#include "passes/match.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

// A folded constant costs memory and program size; what only shrinks its inputs is always worth it.
constexpr std::size_t kLimitBytes = std::size_t{64} << 20;

Verdict fold(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  if (!node.graphs.empty()) return no_match();
  for (const ValueId value : node.inputs) {
    if (value != kNoValue && !graph.value(value).is_constant()) return no_match();
  }
  if (is_random(node)) return near_miss("{} is random", node.op);
  const bool known_domain = node.domain.empty() || node.domain == "lanner";
  if (!known_domain || kernels::find_operator(node.op) == nullptr) return near_miss("{} has no kernel", node.op);

  std::vector<Value> values;
  values.reserve(node.inputs.size());
  std::vector<const Value*> inputs;
  std::size_t input_bytes = 0;
  for (const ValueId value : node.inputs) {
    inputs.push_back(nullptr);
    if (value == kNoValue) continue;
    values.emplace_back(graph.value(value).constant);
    inputs.back() = &values.back();
    input_bytes += graph.value(value).constant.byte_count();
  }
  std::vector<Value> outputs;
  try {
    outputs = run_node(node, inputs, std::max(kLimitBytes, input_bytes));
  } catch (const Error& error) {
    return near_miss("left for run time, where it fails or fits: {}", error.message());
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (node.outputs[i] == kNoValue) continue;
    if (!outputs[i].is_tensor()) return near_miss("{} makes no tensor", node.op);
    edit.replace(node.outputs[i], edit.constant(outputs[i].tensor()));
  }
  return rewrite();
}

}  // namespace

constinit const Rule kFoldConstants{
    "fold-constants", "Runs nodes whose inputs are all constants at compile time.", {}, fold};

}  // namespace lanner::passes
