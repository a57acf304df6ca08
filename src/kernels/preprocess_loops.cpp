// The targets left out are older than AVX2 and newer than what these loops can use; what remains for x86 is AVX-512,
// AVX2 and a portable form.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/preprocess_loops.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first.
#include <hwy/highway.h>

#include "kernels/loops_rows.h"
#include "kernels/preprocess_loops.h"

HWY_BEFORE_NAMESPACE();
namespace lanner::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, 16>;
using FloatVector = hn::Vec<Floats>;
using Bytes = hn::Rebind<std::uint8_t, Floats>;

// Without an instruction that looks up any byte, taking vectors apart is no faster than element by element.
constexpr bool kShufflesBytes = HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128;

HWY_INLINE FloatVector to_floats(FloatVector values) {
  return values;
}
HWY_INLINE FloatVector to_floats(hn::Vec<Bytes> values) {
  return hn::ConvertTo(Floats(), hn::PromoteTo(hn::Rebind<std::int32_t, Floats>(), values));
}

template <typename Tag>
void split(const hn::TFromD<Tag>* from, std::int64_t channels, std::int64_t count, float* to, std::int64_t stride) {
  const Tag tag;
  const Floats floats;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(floats));
  std::int64_t i = 0;
  if constexpr (kShufflesBytes) {
    const auto store = [&](hn::Vec<Tag> values, std::int64_t channel)
                           HWY_ATTR { hn::StoreU(to_floats(values), floats, to + channel * stride + i); };
    if (channels == 1) {
      for (; i + lanes <= count; i += lanes) store(hn::LoadU(tag, from + i), 0);
    } else if (channels == 3) {
      for (; i + lanes <= count; i += lanes) {
        hn::Vec<Tag> a, b, c;
        hn::LoadInterleaved3(tag, from + 3 * i, a, b, c);
        store(a, 0);
        store(b, 1);
        store(c, 2);
      }
    } else if (channels == 4) {
      for (; i + lanes <= count; i += lanes) {
        hn::Vec<Tag> a, b, c, d;
        hn::LoadInterleaved4(tag, from + 4 * i, a, b, c, d);
        store(a, 0);
        store(b, 1);
        store(c, 2);
        store(d, 3);
      }
    }
  }
  for (std::int64_t c = 0; c < channels; ++c) {
    for (std::int64_t k = i; k < count; ++k) to[c * stride + k] = static_cast<float>(from[k * channels + c]);
  }
}

void join(const float* from, std::int64_t stride, std::int64_t channels, std::int64_t count, float* to) {
  const Floats floats;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(floats));
  std::int64_t i = 0;
  if constexpr (kShufflesBytes) {
    const auto load = [&](std::int64_t channel) HWY_ATTR { return hn::LoadU(floats, from + channel * stride + i); };
    if (channels == 3) {
      for (; i + lanes <= count; i += lanes) hn::StoreInterleaved3(load(0), load(1), load(2), floats, to + 3 * i);
    } else if (channels == 4) {
      for (; i + lanes <= count; i += lanes) {
        hn::StoreInterleaved4(load(0), load(1), load(2), load(3), floats, to + 4 * i);
      }
    }
  }
  for (std::int64_t c = 0; c < channels; ++c) {
    for (std::int64_t k = i; k < count; ++k) to[k * channels + c] = from[c * stride + k];
  }
}

constexpr PreprocessLoops kLoops{split<Bytes>, split<Floats>, join};

}  // namespace lanner::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lanner::kernels {

namespace {

constexpr LoopsRow<PreprocessLoops> kRows[] = LANNER_LOOPS_ROWS;

}  // namespace

LoopsOfCpu<PreprocessLoops>& preprocess_loops_of_cpu() {
  static LoopsOfCpu<PreprocessLoops> loops(kRows);
  return loops;
}

}  // namespace lanner::kernels
#endif
