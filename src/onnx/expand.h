// Operators that ONNX defines by a function of other operators, written out where there is no kernel for them.
#pragma once

#include <functional>
#include <string_view>

#include "onnx/proto.h"

namespace lanner::onnx {

// Replaces each node of ONNX's domains that has no kernel but a function body by that body, in all graphs; bodies
// are not looked into, so call again, with the next `round`, until it returns false. Needs inferred types and the
// newest opset; new values have no types yet. Throws libonnx's exceptions.
bool expand_functions(pb::ModelProto& model, const std::function<bool(std::string_view)>& has_kernel, int round);

}  // namespace lanner::onnx
