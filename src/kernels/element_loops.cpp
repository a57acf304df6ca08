// The targets left out are older than AVX2 and newer than what these loops can use; what remains for x86 is AVX-512,
// AVX2 and a portable form. The loops are ordinary ones, in the compiler's vectors.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/element_loops.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first.
#include <hwy/highway.h>

#include "kernels/broadcast.h"
#include "kernels/element_loops.h"
#include "kernels/loops_rows.h"

HWY_BEFORE_NAMESPACE();
namespace lanner::kernels::HWY_NAMESPACE {

// Flattened, because a function that is not inlined would be that of the oldest CPU.
template <typename Op, typename T, typename R>
[[gnu::flatten]] HWY_ATTR void map(const void* op, const void* in, void* out, std::int64_t count) {
  const Op function = *static_cast<const Op*>(op);
  const T* x = static_cast<const T*>(in);
  R* y = static_cast<R*>(out);
  LANNER_INDEPENDENT_ITERATIONS
  for (std::int64_t i = 0; i < count; ++i) y[i] = function(x[i]);
}

template <typename Op, typename T, typename R>
[[gnu::flatten]] HWY_ATTR void zip(const void* op, const void* a, const void* b, void* out, std::int64_t count,
                                   unsigned moving) {
  const Op function = *static_cast<const Op*>(op);
  const T* x = static_cast<const T*>(a);
  const T* y = static_cast<const T*>(b);
  R* z = static_cast<R*>(out);
  if (moving == 0b01) {
    const T right = *y;
    LANNER_INDEPENDENT_ITERATIONS
    for (std::int64_t i = 0; i < count; ++i) z[i] = function(x[i], right);
  } else if (moving == 0b10) {
    const T left = *x;
    LANNER_INDEPENDENT_ITERATIONS
    for (std::int64_t i = 0; i < count; ++i) z[i] = function(left, y[i]);
  } else {
    LANNER_INDEPENDENT_ITERATIONS
    for (std::int64_t i = 0; i < count; ++i) z[i] = function(x[i], y[i]);
  }
}

template <typename T>
HWY_ATTR void select(const std::uint8_t* condition, const void* a, const void* b, void* out, std::int64_t count,
                     unsigned moving) {
  const T* x = static_cast<const T*>(a);
  const T* y = static_cast<const T*>(b);
  T* z = static_cast<T*>(out);
  const T left = *x;
  const T right = *y;
  switch (moving >> 1) {
    case 0b00:
      LANNER_INDEPENDENT_ITERATIONS
      for (std::int64_t i = 0; i < count; ++i) z[i] = condition[i] != 0 ? left : right;
      break;
    case 0b01:
      LANNER_INDEPENDENT_ITERATIONS
      for (std::int64_t i = 0; i < count; ++i) {
        const T value = x[i];
        z[i] = condition[i] != 0 ? value : right;
      }
      break;
    case 0b10:
      LANNER_INDEPENDENT_ITERATIONS
      for (std::int64_t i = 0; i < count; ++i) {
        const T value = y[i];
        z[i] = condition[i] != 0 ? left : value;
      }
      break;
    default:
      LANNER_INDEPENDENT_ITERATIONS
      for (std::int64_t i = 0; i < count; ++i) {
        const T one = x[i];
        const T other = y[i];
        z[i] = condition[i] != 0 ? one : other;
      }
  }
}

template <typename... Ops, typename... Ts, typename... Rs>
constexpr std::array<ElementLoops::MapLoop, sizeof...(Ops)> all_maps(tensor::TypeList<Map<Ops, Ts, Rs>...>) {
  return {map<Ops, Ts, Rs>...};
}
template <typename... Ops, typename... Ts, typename... Rs>
constexpr std::array<ElementLoops::ZipLoop, sizeof...(Ops)> all_zips(tensor::TypeList<Zip<Ops, Ts, Rs>...>) {
  return {zip<Ops, Ts, Rs>...};
}
template <typename... Ts>
constexpr std::array<ElementLoops::SelectLoop, sizeof...(Ts)> all_selections(tensor::TypeList<Ts...>) {
  return {select<Ts>...};
}

constexpr ElementLoops kLoops{all_maps(MapsOfLoops{}), all_zips(ZipsOfLoops{}), all_selections(SelectionsOfLoops{})};

}  // namespace lanner::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lanner::kernels {

namespace {

constexpr LoopsRow<ElementLoops> kRows[] = LANNER_LOOPS_ROWS;

}  // namespace

LoopsOfCpu<ElementLoops>& element_loops_of_cpu() {
  static LoopsOfCpu<ElementLoops> loops(kRows);
  return loops;
}

}  // namespace lanner::kernels
#endif
