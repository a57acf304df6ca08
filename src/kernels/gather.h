// Gathering whole runs of elements along one axis, for the operators that are made of it.
#pragma once

#include <cstdint>
#include <span>

#include "lanner/tensor.h"

namespace lanner::kernels {

// Sees `data` as [outer, dim, run] and writes [outer, indices, run] to `out`. Negative indices count from the end;
// throws `op.index` for one out of range. All arrays are dense; `data` and `out` hold elements of `type`.
void gather_runs(int threads, ElementType type, const void* data, std::int64_t outer, std::int64_t dim,
                 std::int64_t run, std::span<const std::int64_t> indices, void* out);

}  // namespace lanner::kernels
