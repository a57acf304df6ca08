// The targets left out are older than AVX2 and newer than what these loops can use; what remains for x86 is AVX-512,
// AVX2 and a portable form. AVX-512 has a second version for CPUs that multiply bytes.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/integer_product_loops.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first.
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "kernels/broadcast.h"
#include "kernels/integer_product_loops.h"
#include "kernels/loops_rows.h"

HWY_BEFORE_NAMESPACE();
namespace lanner::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
#define LANNER_PRODUCTS_OF_BYTES 0
#include "kernels/integer_product_loops-inl.h"
#undef LANNER_PRODUCTS_OF_BYTES
}  // namespace lanner::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_TARGET == HWY_AVX3
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vnni")
namespace lanner::kernels::HWY_NAMESPACE::vnni {
#define LANNER_PRODUCTS_OF_BYTES 1
#include "kernels/integer_product_loops-inl.h"
#undef LANNER_PRODUCTS_OF_BYTES
}  // namespace lanner::kernels::HWY_NAMESPACE::vnni
HWY_POP_ATTRIBUTES
#endif

#if HWY_ONCE
namespace lanner::kernels {

namespace {

#if HWY_TARGETS & HWY_AVX3
#define LANNER_AVX512_VNNI_ROW {"AVX-512 VNNI", cpu_has_avx512_vnni, &N_AVX3::vnni::kLoops},
#else
#define LANNER_AVX512_VNNI_ROW
#endif

constexpr LoopsRow<IntegerProductLoops> kRows[] = {
    // clang-format off
    LANNER_AVX512_VNNI_ROW LANNER_AVX512_ROW LANNER_AVX2_ROW
    {"baseline", [] { return true; }, &HWY_STATIC_DISPATCH(kLoops)},
    // clang-format on
};

}  // namespace

LoopsOfCpu<IntegerProductLoops>& integer_product_loops_of_cpu() {
  static LoopsOfCpu<IntegerProductLoops> loops(kRows);
  return loops;
}

}  // namespace lanner::kernels
#endif
