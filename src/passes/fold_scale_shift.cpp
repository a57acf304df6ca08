// fold-scale-shift: multiplying a Conv's output by, or adding to it, one constant per channel becomes part of the
// Conv's weights and bias. Frozen batch normalization is exported so. (The first bias of a Conv is fuse-bias's.)
#include "passes/match.h"
#include "passes/product_pattern.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"Add", "Div", "Mul", "Sub"};

Verdict fold(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  if (!node.domain.empty() || node.inputs.size() != 2) return no_match();
  const bool second = !graph.value(node.inputs[0]).is_constant();  // which operand is the constant
  const std::optional<ProductPattern> conv = conv_of(graph, node.inputs[second ? 0 : 1]);
  const ValueId operand = node.inputs[second ? 1 : 0];
  if (!conv || !graph.value(operand).is_constant()) return no_match();
  if (node.op == "Add" && !has_input(*conv->node, 2)) return no_match();
  if (node.op == "Div" && !second) return no_match();
  const std::optional<std::vector<double>> numbers = per_channel(graph, *conv, operand);
  if (!numbers) {
    return near_miss("the operand is no constant per channel: it is {}", type_of(graph, operand).to_string());
  }
  std::vector<double> factors(numbers->size(), 1.0);
  std::vector<double> shifts(numbers->size(), 0.0);
  for (std::size_t i = 0; i < numbers->size(); ++i) {
    const double number = (*numbers)[i];
    if (node.op == "Mul")
      factors[i] = number;
    else if (node.op == "Div")
      factors[i] = 1.0 / number;
    else
      shifts[i] = node.op == "Sub" && second ? -number : number;
    if (node.op == "Sub" && !second) factors[i] = -1.0;
  }
  return scale_conv(graph, *conv, factors, shifts, node.outputs[0], edit);
}

}  // namespace

constinit const Rule kFoldScaleShift{
    "fold-scale-shift", "Folds arithmetic with one constant per channel into the Conv before it.", kOps, fold};

}  // namespace lanner::passes
