// The arithmetic that exporters write on sizes, floats in between: floor(128 * min(scale_h, scale_w)) and the like.
// What libonnx's data propagation, which follows integers alone, leaves unknown.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "onnx/proto.h"

namespace lanner::onnx {

using Numbers = std::vector<double>;

// What is known of a value: the elements of one of rank 0 or 1 that is constant or follows from shapes, and the node
// that makes it; nothing and null otherwise.
struct KnownValue {
  std::optional<Numbers> elements;
  const pb::NodeProto* maker = nullptr;
};
using Lookup = std::function<KnownValue(const std::string& name)>;

// The elements of a value of rank 0 or 1, computed by the nodes that make it from what `lookup` knows; nothing where
// one of them is no arithmetic, or there are too many.
std::optional<Numbers> size_arithmetic(const std::string& name, const Lookup& lookup);

}  // namespace lanner::onnx
