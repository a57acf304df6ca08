// fold-batch-norm: BatchNormalization after a Conv becomes part of the Conv's weights and bias.
#include <cmath>

#include "passes/match.h"
#include "passes/product_pattern.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"BatchNormalization"};

Verdict fold(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  if (!node.domain.empty() || node.inputs.size() != 5) return no_match();
  const std::optional<ProductPattern> conv = conv_of(graph, node.inputs[0]);
  if (!conv) return no_match();
  if (node.attributes.get_int("training_mode", 0) != 0) return near_miss("it is in training mode");
  for (std::size_t i = 1; i < node.outputs.size(); ++i) {
    if (node.outputs[i] != kNoValue) return near_miss("its running statistics are read");
  }
  constexpr std::string_view kParameters[] = {"scale", "bias", "mean", "variance"};
  std::vector<double> parameters[4];
  for (std::size_t i = 0; i < 4; ++i) {
    const auto constant = constant_floats(graph, node.inputs[i + 1]);
    if (!constant) return near_miss("the {} is not constant", kParameters[i]);
    if (constant->size() != static_cast<std::size_t>(conv->channels)) return no_match();
    parameters[i] = *constant;
  }
  const auto& [scale, bias, mean, variance] = parameters;
  const double epsilon = node.attributes.get_float("epsilon", 1e-5f);
  std::vector<double> factors(scale.size());
  std::vector<double> shifts(scale.size());
  for (std::size_t i = 0; i < scale.size(); ++i) {
    factors[i] = scale[i] / std::sqrt(variance[i] + epsilon);
    shifts[i] = bias[i] - mean[i] * factors[i];
  }
  return scale_conv(graph, *conv, factors, shifts, node.outputs[0], edit);
}

}  // namespace

constinit const Rule kFoldBatchNorm{
    "fold-batch-norm", "Folds a BatchNormalization into the weights and bias of the Conv before it.", kOps, fold};

}  // namespace lanner::passes
