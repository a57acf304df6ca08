// A model for other input sizes than it was exported with.
#pragma once

#include "onnx/import.h"
#include "onnx/prepare.h"

namespace lanner::onnx {

// Gives the inputs of a model, whose opset is the newest, other shapes, and forgets what was declared of the values
// computed from them. Throws `option.shapes` for an input or a dimension that the model does not have, another rank, a
// negative size, or two sizes for one dimension.
void set_input_sizes(pb::ModelProto& model, const InputSizes& sizes);

}  // namespace lanner::onnx
