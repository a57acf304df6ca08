// fuse-class-activation: ClassNonMaxSuppression or ClassTopK whose scores are the Sigmoid or the Softmax of something
// reads that and computes the scores itself, of those elements or rows that can pass its threshold: few of anchors
// times classes.
#include <algorithm>

#include "passes/match.h"
#include "passes/rules.h"
#include "passes/same_shape.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"ClassNonMaxSuppression", "ClassTopK"};

// Where such an operator has its scores and its thresholds.
struct Inputs {
  std::size_t scores;
  std::vector<std::size_t> thresholds;
};

// Whether the siblings are columns of all rows along the last axis of `scores`.
bool are_columns_of_rows(const Graph& graph, const Node& node, const ValueType& scores) {
  if (!scores.ranked || scores.dims.size() < 2) return false;
  const auto& dims = scores.dims;
  const std::vector<std::int64_t> offsets = node.attributes.get_ints("offsets");
  if (offsets.empty() || !dims.back().known() || dims.back().size != node.attributes.get_int("row_stride", 0) ||
      std::ranges::max(offsets) >= dims.back().size) {
    return false;
  }
  std::size_t row_axis = 0;
  for (std::size_t axis = 0; axis + 1 < dims.size(); ++axis) {
    if (!dims[axis].known() || dims[axis].size != 1) row_axis = axis;
  }
  for (std::size_t axis = 0; axis + 1 < dims.size(); ++axis) {
    if (axis != row_axis && !(dims[axis].known() && dims[axis].size == 1)) return false;
  }
  if (node.op == "ClassTopK") {
    const std::int64_t count = node.attributes.get_int("row_count", -1);
    return count >= 0 ? dims[row_axis].known() && dims[row_axis].size == count
                      : node.attributes.get_int("row_axis", 0) == static_cast<std::int64_t>(row_axis);
  }
  const ValueType& boxes = type_of(graph, node.inputs[0]);
  return boxes.ranked && boxes.dims.size() >= 2 && same_size(boxes.dims[boxes.dims.size() - 2], dims[row_axis]);
}

Verdict fuse(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  const Inputs inputs = node.op == "ClassTopK" ? Inputs{0, {1}} : Inputs{1, {2, 5}};
  const ValueId scores = node.inputs[inputs.scores];
  const Node* activation = graph.producer(scores);
  if (activation == nullptr || node.attributes.has("activation")) return no_match();
  if (!is_op(*activation, "Sigmoid") && !is_op(*activation, "Softmax")) return no_match();
  if (std::ranges::none_of(inputs.thresholds, [&](std::size_t position) { return has_input(node, position); })) {
    return near_miss("without a threshold all scores are needed");
  }
  if (is_op(*activation, "Softmax")) {
    const std::int64_t axis = activation->attributes.get_int("axis", -1);
    if (axis != -1 && axis != rank_of(graph, scores) - 1) return near_miss("the Softmax is not along the last axis");
    if (!are_columns_of_rows(graph, node, type_of(graph, scores))) {
      return near_miss("classes are not known to be columns of what the Softmax makes");
    }
  }
  if (!edit.consume(graph.value(scores).producer)) return near_miss("{}", edit.blocked());
  Node fused = copy_node(node);
  fused.inputs[inputs.scores] = activation->inputs[0];
  fused.attributes.set("activation", std::string(activation->op));
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

constinit const Rule kFuseClassActivation{
    "fuse-class-activation", "Computes the Sigmoid or Softmax before a batched head operator only where it is needed.",
    kOps, fuse};

}  // namespace lanner::passes
