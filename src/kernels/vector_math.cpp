#include "kernels/vector_math.h"

#include "base/multiversion.h"
#include "kernels/broadcast.h"
#include "kernels/exp.h"

namespace lanner::kernels::math {

namespace {

// Inner linkage: the symbol that chooses a version would be visible outside the shared libraries.
LANNER_MULTIVERSION void exp_versions(const float* in, float* out, std::int64_t count) {
  LANNER_INDEPENDENT_ITERATIONS
  for (std::int64_t i = 0; i < count; ++i) out[i] = exp(in[i]);
}

LANNER_MULTIVERSION void sigmoid_versions(const float* in, float* out, std::int64_t count) {
  LANNER_INDEPENDENT_ITERATIONS
  for (std::int64_t i = 0; i < count; ++i) out[i] = sigmoid(in[i]);
}

}  // namespace

void exp_array(const float* in, float* out, std::int64_t count) {
  exp_versions(in, out, count);
}

void sigmoid_array(const float* in, float* out, std::int64_t count) {
  sigmoid_versions(in, out, count);
}

}  // namespace lanner::kernels::math
