// skip-concat: a Gather or Slice of one element of a Concat of single elements reads that element directly, and a Split
// of a Concat into its inputs gives those inputs. Torchvision joins the levels of a pyramid and splits them again.
#include <algorithm>

#include "passes/match.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"Gather", "Slice", "Split"};

// The elements of a rank 1 value, as far as its type says; -1 otherwise.
std::int64_t count_of(const Graph& graph, ValueId value) {
  return rank_of(graph, value) == 1 ? type_of(graph, value).dims[0].size : -1;
}

// The inputs of a Concat in place of a Split's outputs.
Verdict undo(const Graph& graph, const Node& split, const Node& concat, Edit& edit) {
  const int rank = rank_of(graph, split.inputs[0]);
  const auto axis_of = [&](const Node& node) {
    const std::int64_t axis = node.attributes.get_int("axis", 0);
    return axis < 0 ? axis + rank : axis;
  };
  const std::int64_t axis = axis_of(split);
  if (rank < 0 || axis < 0 || axis >= rank || axis != axis_of(concat)) return no_match();
  if (split.outputs.size() != concat.inputs.size()) return near_miss("the parts are not those that were joined");
  const auto size_of = [&](ValueId value) {
    return rank_of(graph, value) == rank ? type_of(graph, value).dims[static_cast<std::size_t>(axis)].size : -1;
  };
  const auto sizes = constant_ints(graph, input(split, 1));
  for (std::size_t i = 0; i < split.outputs.size(); ++i) {
    const std::int64_t size = size_of(concat.inputs[i]);
    // Without sizes, all parts are as large, but the last may be smaller.
    const bool same = sizes ? sizes->size() == split.outputs.size() && size == (*sizes)[i]
                            : !has_input(split, 1) && size == size_of(concat.inputs[0]);
    if (size < 0 || !same) return near_miss("the parts are not known to be those that were joined");
  }
  for (std::size_t i = 0; i < split.outputs.size(); ++i) {
    if (split.outputs[i] != kNoValue) edit.replace(split.outputs[i], concat.inputs[i]);
  }
  return rewrite();
}

Verdict skip(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  if (!node.domain.empty() || node.inputs.empty()) return no_match();
  const Node* concat = node.inputs[0] == kNoValue ? nullptr : graph.producer(node.inputs[0]);
  if (concat == nullptr || !is_op(*concat, "Concat")) return no_match();
  if (node.op == "Split") return undo(graph, node, *concat, edit);
  if (node.outputs[0] == kNoValue) return no_match();
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
    "skip-concat", "Reads a single element, or the parts, that pass through a Concat from where they come from.", kOps,
    skip};

}  // namespace lanner::passes
