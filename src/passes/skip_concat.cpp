// skip-concat: a Gather or Slice of one element of a Concat of single elements reads that element directly.
#include <algorithm>

#include "passes/match.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"Gather", "Slice"};

// The elements of a rank 1 value, as far as its type says; -1 otherwise.
std::int64_t count_of(const Graph& graph, ValueId value) {
  return rank_of(graph, value) == 1 ? type_of(graph, value).dims[0].size : -1;
}

Verdict skip(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  if (!node.domain.empty() || node.inputs.empty() || node.outputs[0] == kNoValue) return no_match();
  const Node* concat = node.inputs[0] == kNoValue ? nullptr : graph.producer(node.inputs[0]);
  if (concat == nullptr || !is_op(*concat, "Concat")) return no_match();
  std::int64_t total = 0;
  for (const ValueId part : concat->inputs) {
    const std::int64_t count = count_of(graph, part);
    if (count < 0) return no_match();
    total += count;
  }

  // Which element, and whether the result is a scalar.
  std::int64_t wanted = 0;
  bool scalar = false;
  if (node.op == "Gather") {
    const Tensor* indices = constant_of(graph, input(node, 1));
    const auto index = constant_ints(graph, input(node, 1));
    if (!index || index->size() != 1 || indices->rank() > 1) return no_match();
    wanted = (*index)[0];
    scalar = indices->rank() == 0;
    if (wanted < -total || wanted >= total) return no_match();
    if (wanted < 0) wanted += total;
  } else {
    const auto starts = constant_ints(graph, input(node, 1));
    const auto ends = constant_ints(graph, input(node, 2));
    const auto steps = constant_ints(graph, input(node, 4));
    if (!starts || !ends || starts->size() != 1 || ends->size() != 1) return no_match();
    if (has_input(node, 4) && (!steps || *steps != std::vector<std::int64_t>{1})) return no_match();
    const auto bound = [&](std::int64_t end) {
      return std::clamp<std::int64_t>(end < 0 ? end + total : end, 0, total);
    };
    wanted = bound((*starts)[0]);
    if (bound((*ends)[0]) - wanted != 1) return no_match();
  }

  std::int64_t before = 0;
  for (const ValueId part : concat->inputs) {
    const std::int64_t count = count_of(graph, part);
    if (wanted >= before + count) {
      before += count;
      continue;
    }
    if (count != 1) return near_miss("the element is one of {} of its part", count);
    if (!scalar) {
      edit.replace(node.outputs[0], part);
      return rewrite();
    }
    const Node* unsqueeze = graph.producer(part);
    if (unsqueeze != nullptr && is_op(*unsqueeze, "Unsqueeze") && rank_of(graph, unsqueeze->inputs[0]) == 0) {
      edit.replace(node.outputs[0], unsqueeze->inputs[0]);
    } else {
      edit.replace(node.outputs[0], edit.node(make_node("Squeeze", {part, edit.constant(int_tensor({0}))})));
    }
    return rewrite();
  }
  return no_match();
}

}  // namespace

constinit const Rule kSkipConcat{
    "skip-concat", "Reads a single element that passes through a Concat from where it comes from.", kOps, skip};

}  // namespace lanner::passes
