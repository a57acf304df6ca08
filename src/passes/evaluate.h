// Running single nodes at compile time, on the portable kernels, with a limit on what they may make.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "passes/rule.h"

namespace lanner::passes {

// Runs `node`, which has a kernel and no nested graphs, on one thread. `inputs` holds null for absent ones. Throws
// what the kernel throws, and `fold.size` when a single output or scratch buffer would exceed `limit_bytes`.
std::vector<Value> run_node(const Node& node, std::span<const Value* const> inputs, std::size_t limit_bytes);

}  // namespace lanner::passes
