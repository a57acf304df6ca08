// Type and shape inference over a graph that passes have edited.
#pragma once

#include "ir/graph.h"

namespace lanner::onnx {

// Refines the types of all values, nested graphs included, by ONNX's inference with data propagation: what a value's
// type leaves open may become known, nothing known is lost. Nodes of other domains, and nodes whose inference fails,
// keep the output types they have.
void infer_shapes(ir::Graph& graph);

}  // namespace lanner::onnx
