// Functions of exp.h over arrays of float, on the widest vectors that the CPU has; the same bits on every CPU.
#pragma once

#include <cstdint>

namespace lanner::kernels::math {

// out[i] = sigmoid(in[i]); `out` may be `in`.
void sigmoid_array(const float* in, float* out, std::int64_t count);

}  // namespace lanner::kernels::math
