// fuse-pad-conv: padding a Conv's input with zeros becomes the Conv's own padding.
#include <algorithm>

#include "passes/match.h"
#include "passes/product_pattern.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"Conv"};

Verdict fuse(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  const std::optional<ProductPattern> conv = conv_of(graph, node.outputs[0]);
  if (!conv) return no_match();
  const Node* pad = graph.producer(node.inputs[0]);
  if (pad == nullptr || !is_op(*pad, "Pad")) return no_match();
  if (pad->attributes.get_string("mode", "constant") != "constant") return near_miss("the padding is not constant");
  if (has_input(*pad, 2) && constant_scalar(graph, pad->inputs[2]) != 0.0) return near_miss("the padding is not 0");
  const auto amounts = constant_ints(graph, input(*pad, 1));
  if (!amounts) return near_miss("the padding's size is not constant");
  std::vector<std::int64_t> axes;
  if (has_input(*pad, 3)) {
    const auto constant = constant_ints(graph, pad->inputs[3]);
    if (!constant) return near_miss("the padding's axes are not constant");
    axes = *constant;
  } else {
    for (int axis = 0; axis < conv->rank; ++axis) axes.push_back(axis);
  }
  if (amounts->size() != 2 * axes.size()) return no_match();

  const std::string auto_pad = node.attributes.get_string("auto_pad", "NOTSET");
  if (auto_pad != "NOTSET" && auto_pad != "VALID") return near_miss("the convolution pads by itself, {}", auto_pad);
  const auto spatial = static_cast<std::size_t>(conv->rank - 2);
  std::vector<std::int64_t> pads(2 * spatial, 0);
  if (const auto own = node.attributes.get_ints("pads"); auto_pad == "NOTSET" && own.size() == pads.size()) pads = own;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::int64_t axis = axes[i] < 0 ? axes[i] + conv->rank : axes[i];
    const std::int64_t begin = (*amounts)[i];
    const std::int64_t end = (*amounts)[i + axes.size()];
    if (begin == 0 && end == 0) continue;
    if (axis < 2 || begin < 0 || end < 0) return near_miss("it pads batch or channels, or cuts");
    pads[static_cast<std::size_t>(axis - 2)] += begin;
    pads[static_cast<std::size_t>(axis - 2) + spatial] += end;
  }
  if (!edit.consume(graph.value(node.inputs[0]).producer)) return near_miss("{}", edit.blocked());
  Node fused = copy_node(node);
  fused.stands_for.clear();
  fused.attributes.erase("auto_pad");
  fused.attributes.set("pads", pads);
  fused.inputs[0] = pad->inputs[0];
  edit.replace(node.outputs[0], edit.node(std::move(fused), type_of(graph, node.outputs[0])));
  return rewrite();
}

}  // namespace

constinit const Rule kFusePadConv{"fuse-pad-conv", "Makes padding with zeros part of the Conv after it.", kOps, fuse};

}  // namespace lanner::passes
