// How fast this machine can multiply and add at best.
#pragma once

namespace lanner::kernels {

// Fused products and sums of float32 that `threads` threads do in a second while nothing has to be loaded, each counted
// as two operations, in GFLOP/s. Measures for some 20 ms.
double measure_peak_gflops(int threads);

}  // namespace lanner::kernels
