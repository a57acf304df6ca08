// What the rules around convolutions share: is this value a convolution's, which constants act per channel on it, and
// the convolution with other weights.
#pragma once

#include <optional>
#include <vector>

#include "passes/rule.h"

namespace lanner::passes {

// A Conv with a known number of output channels and float32 or float64 weights, or a FusedConv.
struct ConvPattern {
  NodeId id = kNoNode;
  const Node* node = nullptr;
  std::int64_t channels = 0;
  int rank = 0;  // of input and output
  ElementType element = ElementType::kUndefined;

  ValueId output() const { return node->outputs[0]; }
};

// The convolution that makes `value`: a Conv or, if `fused`, a FusedConv too.
std::optional<ConvPattern> conv_of(const Graph& graph, ValueId value, bool fused = false);

// An image: the channels lie along `axis`.
struct Image {
  int rank = 0;
  int axis = 1;
  std::int64_t channels = 0;
  ElementType element = ElementType::kUndefined;
};

// A constant that broadcasts over the image as one number per channel (or for all), one per channel.
std::optional<std::vector<double>> per_channel(const Graph& graph, const Image& image, ValueId value);
// The same over the convolution's output.
std::optional<std::vector<double>> per_channel(const Graph& graph, const ConvPattern& conv, ValueId value);

// Adds to `edit` the convolution with outputs y * factors + shifts instead of y, and has it replace `replaced`.
// Computed in double. A near miss when weights are not constant or would leave the range of their type, or when the
// convolution has other users.
Verdict scale_conv(const Graph& graph, const ConvPattern& conv, const std::vector<double>& factors,
                   const std::vector<double>& shifts, ValueId replaced, Edit& edit);

}  // namespace lanner::passes
