// fuse-class-sigmoid: ClassNonMaxSuppression whose scores are the sigmoid of something reads that and computes the
// scores itself, of those elements that can pass its threshold: few of anchors times classes.
#include "passes/match.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"ClassNonMaxSuppression"};

Verdict fuse(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  const Node* sigmoid = graph.producer(node.inputs[1]);
  if (sigmoid == nullptr || !is_op(*sigmoid, "Sigmoid") || node.attributes.has("activation")) return no_match();
  if (!has_input(node, 2) && !has_input(node, 5)) return near_miss("without a threshold all scores are needed");
  if (!edit.consume(graph.value(node.inputs[1]).producer)) return near_miss("{}", edit.blocked());
  Node fused = copy_node(node);
  fused.inputs[1] = sigmoid->inputs[0];
  fused.attributes.set("activation", std::string("Sigmoid"));
  fused.stands_for.clear();
  std::vector<std::pair<std::string, ValueType>> outputs;
  for (const ValueId output : node.outputs) {
    outputs.emplace_back("", output == kNoValue ? ValueType{} : type_of(graph, output));
  }
  const std::vector<ValueId> made = edit.nodes(std::move(fused), std::move(outputs));
  for (std::size_t i = 0; i < made.size(); ++i) {
    if (node.outputs[i] != kNoValue) edit.replace(node.outputs[i], made[i]);
  }
  return rewrite();
}

}  // namespace

constinit const Rule kFuseClassSigmoid{
    "fuse-class-sigmoid", "Computes the Sigmoid before ClassNonMaxSuppression only where it is needed.", kOps, fuse};

}  // namespace lanner::passes
