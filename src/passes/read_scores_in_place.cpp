// read-scores-in-place: ClassNonMaxSuppression or ClassTopK over scores that are a part of another value, in the order
// they have there (a Split, Slice, Gather or Reshape of it), reads them from that value. The levels of a pyramid are
// often split from one tensor of all scores, which would be copied for no other purpose.
#include <algorithm>

#include "passes/match.h"
#include "passes/rules.h"
#include "passes/selection.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"ClassNonMaxSuppression", "ClassTopK"};

// Makes the operator read its scores elsewhere; false where they are nothing but themselves.
bool read(Graph& graph, GraphRewriter& rewriter, const Selections& selections, NodeId at) {
  const Node& node = graph.node(at);
  const std::size_t position = node.op == "ClassTopK" ? 0 : 1;
  const ValueId scores = node.inputs[position];
  const Meaning* meaning = selections.of(scores);
  // Softmax is along the last axis of what it reads, and an unknown number of rows is the size of an axis of it.
  if (meaning == nullptr || meaning->kind != Meaning::Kind::kData || meaning->rows != nullptr ||
      meaning->layout.base == scores || !is_dense(meaning->layout) ||
      node.attributes.get_string("activation", "") == "Softmax" ||
      (node.op == "ClassTopK" && node.attributes.get_int("row_count", -1) < 0)) {
    return false;
  }
  Node moved = copy_node(node);
  moved.inputs[position] = meaning->layout.base;
  std::vector<std::int64_t> offsets = node.attributes.get_ints("offsets");
  for (std::int64_t& offset : offsets) offset += meaning->layout.offset;
  moved.attributes.set("offsets", std::move(offsets));
  Edit edit(graph, at);
  std::vector<std::pair<std::string, ValueType>> outputs;
  for (const ValueId output : node.outputs) {
    outputs.emplace_back("", output == kNoValue ? ValueType{} : type_of(graph, output));
  }
  const std::vector<ValueId> old = node.outputs;
  const std::vector<ValueId> made = edit.nodes(std::move(moved), std::move(outputs));
  for (std::size_t i = 0; i < made.size(); ++i) {
    if (old[i] != kNoValue) edit.replace(old[i], made[i]);
  }
  return rewriter.apply(at, edit);
}

void read_all(Graph& graph, GraphRewriter& rewriter) {
  const auto read_one = [&] {
    const Selections selections(graph);
    return std::ranges::any_of(graph.topological_order(), [&](NodeId id) {
      const Node& node = graph.node(id);
      return node.domain == "lanner" && std::ranges::find(kOps, node.op) != std::end(kOps) &&
             read(graph, rewriter, selections, id);
    });
  };
  const auto present = [&](NodeId id) { return std::ranges::find(kOps, graph.node(id).op) != std::end(kOps); };
  if (std::ranges::none_of(graph.topological_order(), present)) return;
  while (read_one()) {
  }
}

}  // namespace

constinit const Rule kReadScoresInPlace{
    .name = "read-scores-in-place",
    .doc = "Reads the scores of a batched head operator from the value that they are a part of.",
    .ops = {},
    .rewrite_graph = read_all};

}  // namespace lanner::passes
