#include "kernels/peak.h"

#include <gtest/gtest.h>

namespace lanner::kernels {
namespace {

TEST(Peak, IsThatOfACpu) {
  for (const int threads : {1, 2}) {
    const double gflops = measure_peak_gflops(threads);
    EXPECT_GT(gflops, 0.01);
    EXPECT_LT(gflops, 1e5 * threads);
  }
}

}  // namespace
}  // namespace lanner::kernels
