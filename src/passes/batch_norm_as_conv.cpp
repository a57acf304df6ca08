// batch-norm-as-conv: a BatchNormalization that no Conv before it can take in becomes a convolution of one pixel with
// one channel a group, which is the same arithmetic: so it takes in the activation behind it, and stays in the
// network's layout. DenseNet and the second ResNet normalise what several convolutions read.
#include <algorithm>

#include "passes/match.h"
#include "passes/product_pattern.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"BatchNormalization"};

// Fewer would fill no block of channels.
constexpr std::int64_t kFewestChannels = 8;

// Whether a convolution reads the value, itself or what its only reader, an activation or the like, makes of it.
bool is_read_by_conv(const Graph& graph, ValueId value) {
  const auto reads = [&](ValueId of) {
    return std::ranges::any_of(graph.value(of).users, [&](NodeId user) { return is_conv(graph.node(user)); });
  };
  if (reads(value)) return true;
  const auto& users = graph.value(value).users;
  if (users.size() != 1) return false;
  const Node& only = graph.node(users[0]);
  return only.outputs.size() == 1 && only.outputs[0] != kNoValue && reads(only.outputs[0]);
}

Verdict make(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  if (!node.domain.empty() || node.inputs.size() != 5 || node.outputs[0] == kNoValue) return no_match();
  const ValueType& type = type_of(graph, node.inputs[0]);
  if (!type.is_tensor() || type.element != ElementType::kFloat32 || !type.ranked || type.dims.size() != 4 ||
      graph.producer(node.inputs[0]) == nullptr || !is_read_by_conv(graph, node.outputs[0])) {
    return no_match();
  }
  ChannelMap map;
  if (const Verdict verdict = read_batch_norm(graph, node, map); verdict.kind != Verdict::Kind::kRewrite)
    return verdict;
  const auto channels = static_cast<std::int64_t>(map.factors.size());
  if (channels < kFewestChannels || type.dims[1].size != channels) return no_match();
  Node conv = make_node(
      "Conv", {node.inputs[0], edit.constant(float_tensor(ElementType::kFloat32, {channels, 1, 1, 1}, map.factors)),
               edit.constant(float_tensor(ElementType::kFloat32, {channels}, map.shifts))});
  conv.attributes.set("group", channels);
  conv.attributes.set("kernel_shape", std::vector<std::int64_t>{1, 1});
  edit.replace(node.outputs[0], edit.node(std::move(conv), type_of(graph, node.outputs[0])));
  return rewrite();
}

}  // namespace

constinit const Rule kBatchNormAsConv{
    "batch-norm-as-conv", "Makes a BatchNormalization before a Conv a depthwise convolution of one pixel.", kOps, make};

}  // namespace lanner::passes
