// What tests of depthwise convolutions share: random problems.
#pragma once

#include <algorithm>
#include <random>

#include "kernels/blocked_image_testing.h"
#include "kernels/depthwise.h"

namespace lanner::kernels::testing {

inline I between(std::mt19937& random, I first, I last) {
  return std::uniform_int_distribution<I>(first, last)(random);
}

// Of up to `most_channels` channels, of float32. Pads may exceed the kernel, and the kernel the picture; with
// `any_height` kernels need not be square.
inline DepthwiseProblem random_depthwise(std::mt19937& random, I most_channels, bool any_height) {
  const I width = kDepthwiseWidths[static_cast<std::size_t>(between(random, 0, 1))];
  const I height = any_height ? between(random, 1, 8) : width;
  const I pads[] = {between(random, 0, height), between(random, 0, width + 1), between(random, 0, height),
                    between(random, 0, width + 1)};
  const I stride = between(random, 1, 2);
  const I rows = between(random, std::max<I>(1, height - pads[0] - pads[2]), 40);
  const I columns = between(random, std::max<I>(1, width - pads[1] - pads[3]), 60);
  return {between(random, 1, 2),
          between(random, 1, most_channels),
          rows,
          columns,
          height,
          width,
          stride,
          pads[0],
          pads[1],
          (rows + pads[0] + pads[2] - height) / stride + 1,
          (columns + pads[1] + pads[3] - width) / stride + 1};
}

}  // namespace lanner::kernels::testing
