// A model for other input sizes than it was exported with.
#pragma once

#include "onnx/import.h"
#include "onnx/prepare.h"

namespace lanner::onnx {

// Gives the inputs of a model, whose opset is the newest, other shapes, and forgets what was declared of the values
// computed from them. Throws `option.shapes` for an input or a dimension that the model does not have, another rank, a
// negative size, or two sizes for one dimension.
void set_input_sizes(pb::ModelProto& model, const InputSizes& sizes);

// Throws `option.shapes` where `model` cannot have the input sizes that it was given: `as_exported` is what it was, and
// both have been inferred. The error names the node with a constant that holds the old size.
void check_sizes(const pb::ModelProto& as_exported, const pb::ModelProto& model, const MovedTensors& tensors);

}  // namespace lanner::onnx
