// Softmax of rows, as the operator Softmax computes it.
#pragma once

#include <cstdint>

namespace lanner::kernels {

// Of `count` rows of `length` (at least 1) elements, one row after another; `out` may be `in`.
void softmax_rows(const float* in, float* out, std::int64_t length, std::int64_t count);

}  // namespace lanner::kernels
