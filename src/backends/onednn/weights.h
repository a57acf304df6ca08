// Weights in the layouts that primitives ask for. One process-wide table, so that sessions, plans for several input
// sizes and subgraphs that read the same weights hold them once.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "backends/onednn/engine.h"
#include "kernels/winograd.h"
#include "lanner/tensor.h"

namespace lanner::backends::onednn {

// `constant`, read as `from`, in layout `to` with every element times `scale`; or, with `winograd`, packed by it,
// `from` being plain and `to` a vector of all it writes.
struct WeightRequest {
  const Tensor* constant;  // outlives what is packed from it
  Desc from;
  Desc to;
  float scale = 1.0F;
  std::optional<kernels::WinogradWeights> winograd = std::nullopt;
};

// One memory for each request. Shared with whoever holds the same; released with the last holder. The constant's own
// memory, not copied, where nothing needs changing. Thread-safe; several weights are packed at once, on `threads`
// threads.
std::vector<std::shared_ptr<dnnl::memory>> pack_weights(std::span<const WeightRequest> requests, int threads);

}  // namespace lanner::backends::onednn
