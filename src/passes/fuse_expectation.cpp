// fuse-expectation: constants weighted by a Softmax and added up, written as a convolution of one output channel or a
// product with one column, are a lanner.Expectation. Boxes that are predicted as distributions over distances are
// decoded so.
#include <algorithm>
#include <optional>

#include "passes/match.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"Conv", "MatMul"};

// The axis that is summed up, where the node's second input holds one weight for each element along it.
std::optional<int> summed_axis(const Graph& graph, const Node& node, int rank) {
  const Tensor* weights = constant_of(graph, input(node, 1));
  if (weights == nullptr || weights->element_type() != ElementType::kFloat32) return std::nullopt;
  const Shape& shape = weights->shape();
  if (node.op == "MatMul") {
    if (rank < 2 || shape.rank() != 2 || shape[1] != 1) return std::nullopt;
    return rank - 1;
  }
  if (rank < 3 || shape.rank() != rank || shape.element_count() != shape[1] || has_input(node, 2)) return std::nullopt;
  const auto all = [&](const char* name, std::int64_t value) {
    return std::ranges::all_of(node.attributes.get_ints(name), [=](std::int64_t n) { return n == value; });
  };
  if (node.attributes.get_int("group", 1) != 1 || !all("strides", 1) || !all("pads", 0)) return std::nullopt;
  return 1;
}

Verdict fuse(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  if (!node.domain.empty() || node.inputs.size() < 2) return no_match();
  const Node* softmax = graph.producer(node.inputs[0]);
  if (softmax == nullptr || !is_op(*softmax, "Softmax")) return no_match();
  const int rank = rank_of(graph, node.inputs[0]);
  const auto axis = summed_axis(graph, node, rank);
  if (!axis || type_of(graph, node.inputs[0]).element != ElementType::kFloat32) return no_match();
  if (known_axis(softmax->attributes.get_int("axis", -1), rank) != axis) {
    return near_miss("the Softmax is along another axis");
  }
  const Tensor& weights = *constant_of(graph, node.inputs[1]);
  const auto& length = type_of(graph, node.inputs[0]).dims[static_cast<std::size_t>(*axis)];
  if (length.known() && length.size != weights.element_count()) return no_match();
  if (!edit.consume(graph.value(node.inputs[0]).producer)) return near_miss("{}", edit.blocked());
  tensor::Attributes attributes;
  attributes.set("axis", std::int64_t{*axis});
  const ValueId flat = edit.constant(Tensor::of<float>({weights.element_count()}, weights.values<float>()));
  edit.replace(node.outputs[0],
               edit.node(make_node("Expectation", {softmax->inputs[0], flat}, std::move(attributes), "lanner"),
                         type_of(graph, node.outputs[0])));
  return rewrite();
}

}  // namespace

constinit const Rule kFuseExpectation{
    "fuse-expectation", "Adds up constants weighted by a Softmax without computing the weights first.", kOps, fuse};

}  // namespace lanner::passes
