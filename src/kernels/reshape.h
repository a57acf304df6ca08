// The shape that Reshape gives.
#pragma once

#include <cstdint>
#include <vector>

#include "lanner/tensor.h"

namespace lanner::kernels {

// Of `wanted`, 0 copies the dimension of `from` (unless `allow_zero`) and one -1 takes what is left; throws `op.shape`
// where the elements do not fit.
Shape reshape_target(const Shape& from, const std::vector<std::int64_t>& wanted, bool allow_zero);

}  // namespace lanner::kernels
