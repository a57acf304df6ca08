// fold-shapes: a value that only arithmetic on known dimensions makes is a constant, even where other dimensions of
// the same tensor are unknown.
#include "passes/known_elements.h"
#include "passes/match.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"Add",     "Cast",      "Concat",     "Div",   "Gather", "Max",
                                     "Min",     "Mul",       "ReduceProd", "Shape", "Size",   "Slice",
                                     "Squeeze", "Unsqueeze", "Where",      "Sub",   "Reshape"};

Verdict fold(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  if (!node.domain.empty() || node.outputs[0] == kNoValue) return no_match();
  const ValueId output = node.outputs[0];
  ElementType element = type_of(graph, output).element;
  int rank = rank_of(graph, output);
  if (node.op == "Shape" || node.op == "Size") {
    element = ElementType::kInt64;
    rank = node.op == "Shape" ? 1 : 0;
  }
  if ((element != ElementType::kInt64 && element != ElementType::kInt32) || (rank != 0 && rank != 1)) {
    return no_match();
  }
  const std::optional<std::vector<Element>> elements = known_elements(graph, output);
  if (!elements || (rank == 0 && elements->size() != 1)) return no_match();
  for (std::size_t i = 0; i < elements->size(); ++i) {
    if ((*elements)[i].number) continue;
    if (node.op != "Shape") return no_match();
    return near_miss("dimension {} is not known", (*elements)[i].axis);
  }
  Shape shape;
  if (rank == 1) shape.push_back(static_cast<std::int64_t>(elements->size()));
  Tensor folded = Tensor::allocate(element, shape);
  for (std::size_t i = 0; i < elements->size(); ++i) {
    if (element == ElementType::kInt64)
      folded.data<std::int64_t>()[i] = *(*elements)[i].number;
    else
      folded.data<std::int32_t>()[i] = static_cast<std::int32_t>(*(*elements)[i].number);
  }
  edit.replace(output, edit.constant(std::move(folded)));
  return rewrite();
}

}  // namespace

constinit const Rule kFoldShapes{"fold-shapes", "Replaces arithmetic on dimensions that are known by its result.", kOps,
                                 fold};

}  // namespace lanner::passes
