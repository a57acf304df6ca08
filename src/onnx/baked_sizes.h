// Sizes that an exporter wrote into a model as constants, where they should have followed from the inputs.
#pragma once

#include <onnx/shape_inference/implementation.h>

#include <string>

#include "onnx/prepare.h"

namespace lanner::onnx {

// A model after inference: shapes of its values, and the integers in those that describe shapes.
struct InferredModel {
  const pb::ModelProto& model;
  const pb::shape_inference::DataValueMap& integers;
};

// Throws `option.shapes` where a node of the model keeps a size of `as_exported` although what it reads has another
// size now: it would compute something else than for the exported sizes. Looked at are Reshape, Resize, Slice, TopK and
// the operators that take indices; a size that is not known is not looked at. The error names the node, the old size
// and the new one.
void check_baked_sizes(const InferredModel& as_exported, const InferredModel& now, const MovedTensors& tensors);

// Throws `option.shapes` for a model that became unsound with its new sizes, of which inference said `complaint`. The
// error names the node that libonnx complains of and, where that reads something of the exported size, where that comes
// from.
[[noreturn]] void fail_for_sizes(const InferredModel& as_exported, const InferredModel& now,
                                 const MovedTensors& tensors, const std::string& complaint);

}  // namespace lanner::onnx
