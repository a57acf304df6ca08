// Weights in the layouts that primitives ask for. One process-wide table, so that sessions, plans for several input
// sizes and subgraphs that read the same weights hold them once.
#pragma once

#include <memory>

#include "backends/onednn/engine.h"
#include "lanner/tensor.h"

namespace lanner::backends::onednn {

// `constant`, read as `from`, in layout `to` with every element times `scale`. Shared with whoever holds the same;
// released with the last holder. The constant's own memory, not copied, where nothing needs changing. `constant`
// outlives the result. Thread-safe.
std::shared_ptr<dnnl::memory> packed_weights(const Tensor& constant, const Desc& from, const Desc& to,
                                             float scale = 1.0F);

}  // namespace lanner::backends::onednn
