// Changing an ONNX model in ways that leave most of it a model: operators, attributes, names, types, tensors, versions.
#pragma once

#include <string>

#include "fuzz/execute.h"

namespace lanner::fuzz {

// A changed copy of the serialised model; `bytes` as they are where they are none.
std::string mutate_model(const std::string& bytes, Random& random);

}  // namespace lanner::fuzz
