// From the bytes of a model to a checked ModelProto in the one form that the graph is built from: newest opset, no
// model-local functions, no negative dimensions, inferred types, and no tensor above kInlineTensorBytes inside.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "onnx/external_data.h"
#include "onnx/proto.h"

namespace lanner::onnx {

// The tensors that were moved out of a message. What stays behind has type and dimensions and is marked.
class MovedTensors {
 public:
  // The index for mark().
  std::size_t add(Tensor tensor);
  // The moved tensor behind `proto`, or a copy of the data that is still inside.
  Tensor find(const pb::TensorProto& proto) const;
  static void mark(pb::TensorProto& proto, std::size_t index);
  // Puts the dimensions back: they are away while ONNX's checker runs, which wants data where there are elements.
  void restore(pb::TensorProto& proto) const;

 private:
  std::vector<Tensor> tensors_;
};

struct InputSizes;

struct PreparedModel {
  pb::ModelProto proto;
  MovedTensors tensors;
  std::vector<std::pair<std::string, std::string>> properties;
};

// Throws what import_model() documents.
PreparedModel prepare(std::span<const std::byte> bytes, ExternalData& external,
                      const std::function<bool(std::string_view)>& has_kernel, const InputSizes& sizes);

}  // namespace lanner::onnx
