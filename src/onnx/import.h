// Reading an ONNX model into a graph.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string_view>

#include "ir/graph.h"
#include "lanner/compile.h"

namespace lanner::onnx {

// Whether an operator of ONNX's own domain has a kernel. Those without one are written out as the functions by which
// ONNX defines them, where it does; without a predicate, none is.
using HasKernel = std::function<bool(std::string_view op)>;

// What inputs are to be instead of what the model says.
struct InputSizes {
  std::span<const InputShape> shapes;
  std::span<const DimensionSize> dimensions;

  bool empty() const { return shapes.empty() && dimensions.empty(); }
};

// The graph of a model: upgraded to the newest opset, model-local functions inlined, types inferred, nested graphs
// closed, Constant nodes and initializers as constants. An initializer that is also a graph input becomes the input's
// default, except in files before IR version 4, where it had to be listed and is a constant. Nodes of foreign domains
// stay as they are. Weights in external files are mapped, and stay so as long as their tensors live.
//
// With `sizes`, inputs have those and all else follows from them.
//
// Reasons of errors: `option.shapes` (specialize.h), `file.not_found`, `file.unreadable`, `model.empty`,
// `model.too_large`, `model.parse` (not protobuf, or truncated), `model.invalid` (breaks ONNX's rules), `model.opset`
// (newer than known, or no way to upgrade), `model.unsupported` (valid, but beyond Lanner), `model.external_data`.
ir::Graph import_model(const std::filesystem::path& file, const HasKernel& has_kernel = {},
                       const InputSizes& sizes = {});
// External data is looked for in `folder`.
ir::Graph import_model(std::span<const std::byte> bytes, const HasKernel& has_kernel = {},
                       std::optional<std::filesystem::path> folder = std::nullopt, const InputSizes& sizes = {});

}  // namespace lanner::onnx
