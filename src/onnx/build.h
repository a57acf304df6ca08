// From a prepared ModelProto to the graph.
#pragma once

#include "ir/graph.h"
#include "onnx/prepare.h"

namespace lanner::onnx {

// Throws `model.invalid` for names that nothing defines, and `model.unsupported` for what Lanner cannot represent.
ir::Graph build_graph(PreparedModel model);

}  // namespace lanner::onnx
