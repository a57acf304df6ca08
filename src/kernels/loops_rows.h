// The rows of a LoopsOfCpu (loops_of_cpu.h) in a file that Highway compiles for AVX-512, AVX2 and the build's own
// instruction set, each with a table `kLoops`. Included after <hwy/highway.h>; a macro, because each file has its own
// targets.
#pragma once

#include "kernels/loops_of_cpu.h"

#if (HWY_TARGETS & HWY_AVX3) && HWY_STATIC_TARGET != HWY_AVX3
#define LANNER_AVX512_ROW {"AVX-512", cpu_has_avx512, &N_AVX3::kLoops},
#else
#define LANNER_AVX512_ROW
#endif

#if (HWY_TARGETS & HWY_AVX2) && HWY_STATIC_TARGET != HWY_AVX2
#define LANNER_AVX2_ROW {"AVX2", cpu_has_avx2, &N_AVX2::kLoops},
#else
#define LANNER_AVX2_ROW
#endif

// The initialiser of an array of LoopsRow, best first.
#define LANNER_LOOPS_ROWS                                           \
  {                                                                 \
    LANNER_AVX512_ROW LANNER_AVX2_ROW {                             \
      "baseline", [] { return true; }, &HWY_STATIC_DISPATCH(kLoops) \
    }                                                               \
  }
