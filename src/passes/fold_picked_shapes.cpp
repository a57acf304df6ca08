// fold-picked-shapes: the shape of a list that was brought up to a known length is known, however long the list was.
#include "passes/match.h"
#include "passes/rules.h"
#include "passes/selection.h"

namespace lanner::passes {

namespace {

void fold(Graph& graph, GraphRewriter& rewriter) {
  const Selections selections(graph);
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (!is_op(node, "Shape") || node.outputs[0] == kNoValue) continue;
    const Meaning* meaning = selections.of(node.inputs[0]);
    if (meaning == nullptr || meaning->kind != Meaning::Kind::kPadded) continue;
    const Meaning* shape = selections.of(node.outputs[0]);
    if (shape == nullptr || shape->kind != Meaning::Kind::kNumbers) continue;
    std::vector<std::int64_t> dims;
    for (const Number& number : shape->numbers) {
      if (number.kind == Number::Kind::kConstant) dims.push_back(number.constant);
    }
    if (dims.size() != shape->numbers.size()) continue;
    Edit edit(graph, id);
    edit.replace(node.outputs[0], edit.constant(int_tensor(dims)));
    if (!rewriter.apply(id, edit)) return;
  }
}

}  // namespace

constinit const Rule kFoldPickedShapes{.name = "fold-picked-shapes",
                                       .doc = "Makes the shape of a list of known length after padding a constant.",
                                       .ops = {},
                                       .rewrite_graph = fold};

}  // namespace lanner::passes
