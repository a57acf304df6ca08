// Scan as opset 8 has it: every input and output has a batch dimension in front, which libonnx's converter drops from
// the model instead of keeping what it means.
#pragma once

#include "onnx/proto.h"

namespace lanner::onnx {

// Writes each Scan of a model of opset 8 as two of opset 9, one inside the other: the outer one goes over the batch.
// The converter is not to touch them, so they are in disguise until undisguise_scans(). Throws `model.unsupported`
// where sequences have lengths of their own.
void disguise_batched_scans(pb::ModelProto& model);
void undisguise_scans(pb::ModelProto& model);

}  // namespace lanner::onnx
