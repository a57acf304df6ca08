// What the rules around products share: is this value the result of a convolution or a matrix product, which constants
// act per channel on it, the product with other weights, and the operator that takes in what follows it.
#pragma once

#include <optional>
#include <vector>

#include "passes/rule.h"

namespace lanner::passes {

// An image: the channels lie along `axis`.
struct Image {
  int rank = 0;
  int axis = 1;
  std::int64_t channels = 0;
  ElementType element = ElementType::kUndefined;
};

// What makes an image: a product with inputs X, W and, if present, a bias. Of a matrix product the channels are
// columns.
struct ProductPattern : Image {
  NodeId id = kNoNode;
  const Node* node = nullptr;

  ValueId output() const { return node->outputs[0]; }
};

// A Conv or FusedConv, whatever its weights are.
bool is_conv(const Node& node);

// The convolution that makes `value`: a Conv with a known number of output channels and float32 or float64 weights or,
// if `fused`, a FusedConv too.
std::optional<ProductPattern> conv_of(const Graph& graph, ValueId value, bool fused = false);
// That, or what may become a FusedMatMul or is one: a MatMul, or a Gemm that neither scales nor transposes the left
// side, with a constant matrix of float32 or float64 on the right and a constant bias of one value per column, if any.
std::optional<ProductPattern> product_of(const Graph& graph, ValueId value);
// The FusedConv or FusedMatMul (kernels/fused.cpp) that does what the product does, for more to be added.
Node fused_node(const ProductPattern& product);

// A constant that broadcasts over the image as one number per channel (or for all), one per channel.
std::optional<std::vector<double>> per_channel(const Graph& graph, const Image& image, ValueId value);

// y = x * factor + shift, with one of each a channel.
struct ChannelMap {
  std::vector<double> factors;
  std::vector<double> shifts;
};
// Sets `map` to what a BatchNormalization of five inputs does, or says why it is no such map.
Verdict read_batch_norm(const Graph& graph, const Node& node, ChannelMap& map);

// Adds to `edit` the convolution with outputs y * factors + shifts instead of y, and has it replace `replaced`.
// Computed in double. A near miss when weights are not constant or would leave the range of their type, or when the
// convolution has other users.
Verdict scale_conv(const Graph& graph, const ProductPattern& conv, const std::vector<double>& factors,
                   const std::vector<double>& shifts, ValueId replaced, Edit& edit);

}  // namespace lanner::passes
