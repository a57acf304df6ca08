// Scan as a Loop: what a Loop does not do by itself, taking slices and joining along other axes or backwards, are nodes
// around and inside it.
#pragma once

#include <functional>
#include <string>

#include "onnx/proto.h"

namespace lanner::onnx {

// Writes nodes that do what `scan` does into `function`, reading and making the same names; values of their own begin
// with `prefix`. `rank_of` says an output's rank, -1 where it is not known. Throws `model.invalid` where the body does
// not fit the node, and `model.unsupported` for a join along an inner axis of unknown rank.
void expand_scan(const pb::NodeProto& scan, const std::string& prefix,
                 const std::function<int(const std::string&)>& rank_of, pb::FunctionProto& function);

}  // namespace lanner::onnx
