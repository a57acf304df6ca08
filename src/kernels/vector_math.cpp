#include "kernels/vector_math.h"

#include "kernels/element_loops.h"

namespace lanner::kernels::math {

void sigmoid_array(const float* in, float* out, std::int64_t count) {
  map_loop(LogisticSigmoid{}, in, out, count);
}

}  // namespace lanner::kernels::math
