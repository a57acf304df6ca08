// slice-concat: a Slice that takes, along the axis of a Concat, elements of one input only reads that input. A decoder
// that joins boxes and scores to one table is followed by a filter that takes them apart again.
#include <algorithm>

#include "passes/match.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"Slice"};

Verdict slice(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  const Node* concat = graph.producer(node.inputs[0]);
  if (!node.domain.empty() || node.outputs[0] == kNoValue || concat == nullptr || !is_op(*concat, "Concat")) {
    return no_match();
  }
  const int rank = rank_of(graph, node.inputs[0]);
  const auto joined = known_axis(concat->attributes.get_int("axis", 0), rank);
  const auto taken = sliced_axis(graph, node);
  if (!joined || !taken || taken->axis != *joined || taken->step != 1) return no_match();

  const auto size_of = [&](ValueId value) {
    return type_of(graph, value).dims[static_cast<std::size_t>(*joined)].size;
  };
  std::int64_t total = 0;
  for (const ValueId part : concat->inputs) {
    if (rank_of(graph, part) != rank || size_of(part) < 0) return near_miss("the sizes of the parts are not known");
    total += size_of(part);
  }
  const auto bound = [&](std::int64_t end) { return std::clamp<std::int64_t>(end < 0 ? end + total : end, 0, total); };
  const std::int64_t first = bound(taken->start);
  const std::int64_t last = bound(taken->end);
  if (first >= last) return no_match();
  std::int64_t before = 0;
  for (const ValueId part : concat->inputs) {
    const std::int64_t size = size_of(part);
    if (first >= before + size) {
      before += size;
      continue;
    }
    if (last > before + size) return near_miss("it takes elements of several parts");
    if (last - first == size) {
      edit.replace(node.outputs[0], part);
      return rewrite();
    }
    Node smaller =
        make_node("Slice", {part, edit.constant(int_tensor({first - before})),
                            edit.constant(int_tensor({last - before})), edit.constant(int_tensor({*joined}))});
    edit.replace(node.outputs[0], edit.node(std::move(smaller), type_of(graph, node.outputs[0])));
    return rewrite();
  }
  return no_match();
}

}  // namespace

constinit const Rule kSliceConcat{"slice-concat", "Reads what a Slice takes of one input of a Concat from that input.",
                                  kOps, slice};

}  // namespace lanner::passes
