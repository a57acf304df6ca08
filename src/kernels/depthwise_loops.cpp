// What is left for x86 is AVX-512 and AVX2; other CPUs have no form.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/depthwise_loops.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first.
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/blocked_image_loops.h"
#include "kernels/depthwise_loops.h"

HWY_BEFORE_NAMESPACE();
namespace lanner::kernels::HWY_NAMESPACE {

#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2

// The most neighbouring outputs that are made together. Their sums, a row of the kernel and one input are in registers.
constexpr std::size_t most_outputs(std::size_t width) {
  return ((HWY_TARGET == HWY_AVX3 ? 30 : 18) - width) / 2;
}

// activation(sums + bias) of `count` vectors.
template <typename Element>
void finish_all(const float* sums, std::size_t count, const ImageEpilogue& epilogue, Element* to) {
  const Floats d;
  const auto bias = hn::Load(d, epilogue.bias);
  const auto exists = hn::FirstN(d, epilogue.channels);
  with_activation(epilogue.activation, [&](auto activate) HWY_ATTR {
    for (std::size_t i = 0; i < count; ++i) {
      const auto value = activate(hn::Add(hn::Load(d, sums + i * kLanes), bias));
      store_elements(hn::IfThenElseZero(exists, value), to + i * kLanes);
    }
  });
}

// kOutputs neighbours from `x` on, whose kernels lie inside the input.
template <std::size_t kOutputs, std::size_t kWidth, std::size_t kStride, typename Element, typename Finish>
HWY_INLINE void make_inside(const DepthwiseRow& row, std::int64_t x, const Finish& finish) {
  const Floats d;
  FloatVector sums[kOutputs];
  unrolled<kOutputs>([&](auto i) HWY_ATTR { sums[i] = hn::Zero(d); });
  const std::int64_t first = x * static_cast<std::int64_t>(kStride) - row.pad_left;
  const Element* input = static_cast<const Element*>(row.input) + first * static_cast<std::int64_t>(kLanes);
  const float* weights = row.weights;
  for (std::size_t r = 0; r < row.rows; ++r, input += row.input_stride, weights += kWidth * kLanes) {
    FloatVector kernel[kWidth];
    unrolled<kWidth>([&](auto i) HWY_ATTR { kernel[i] = hn::Load(d, weights + i * kLanes); });
    unrolled<(kOutputs - 1) * kStride + kWidth>([&](auto column) HWY_ATTR {
      auto value = load_elements(input + column * kLanes);
      asm("" : "+v"(value.raw));  // or GCC reads it from memory again for each product
      unrolled<kOutputs>([&](auto i) HWY_ATTR {
        constexpr std::size_t kColumn = column;
        constexpr std::size_t kBegin = i * kStride;
        if constexpr (kColumn >= kBegin && kColumn < kBegin + kWidth) {
          sums[i] = hn::MulAdd(value, kernel[kColumn - kBegin], sums[i]);
        }
      });
    });
  }
  unrolled<kOutputs>([&](auto i) HWY_ATTR {
    finish.store(sums[i], (x + static_cast<std::int64_t>(i)) * static_cast<std::int64_t>(kLanes));
  });
}

// One output, whose kernel may reach outside. Its sum has the same order.
template <std::size_t kWidth, std::size_t kStride, typename Element, typename Finish>
HWY_INLINE void make_at_edge(const DepthwiseRow& row, std::int64_t x, const Finish& finish) {
  const Floats d;
  const std::int64_t first = x * static_cast<std::int64_t>(kStride) - row.pad_left;
  const auto begin = std::max<std::int64_t>(0, -first);
  const auto end = std::min<std::int64_t>(kWidth, row.input_width - first);
  auto sum = hn::Zero(d);
  for (std::size_t r = 0; r < row.rows; ++r) {
    const Element* const input = static_cast<const Element*>(row.input) + r * row.input_stride;
    const float* const weights = row.weights + r * kWidth * kLanes;
    for (std::int64_t column = begin; column < end; ++column) {
      sum = hn::MulAdd(load_elements(input + (first + column) * static_cast<std::int64_t>(kLanes)),
                       hn::Load(d, weights + column * static_cast<std::int64_t>(kLanes)), sum);
    }
  }
  finish.store(sum, x * static_cast<std::int64_t>(kLanes));
}

// The outputs [from, to) of a row.
template <std::size_t kWidth, std::size_t kStride, typename Element, typename Finish>
void make_columns(const DepthwiseRow& given, std::int64_t from, std::int64_t to, const Finish& given_finish) {
  const DepthwiseRow row = given;  // copies, which the stores of the loop cannot change
  const Finish finish = given_finish;
  constexpr auto kStep = static_cast<std::int64_t>(kStride);
  constexpr auto kMost = static_cast<std::int64_t>(most_outputs(kWidth));
  constexpr auto kHalf = kMost / 2;
  constexpr auto kFew = kHalf / 2;
  // The kernels of the outputs in [begin, end) lie inside.
  const std::int64_t room = row.input_width + row.pad_left - static_cast<std::int64_t>(kWidth);
  const std::int64_t begin = std::clamp((row.pad_left + kStep - 1) / kStep, from, to);
  const std::int64_t end = room < 0 ? begin : std::clamp(room / kStep + 1, begin, to);
  std::int64_t x = from;
  for (; x < begin; ++x) make_at_edge<kWidth, kStride, Element>(row, x, finish);
  // What is left in the end is made together with outputs that are made already, once more.
  const auto fits = [&](std::int64_t outputs, std::int64_t smaller) {
    return end - x > smaller && end - begin >= outputs;
  };
  while (x < end) {
    if (fits(kMost, kHalf)) {
      make_inside<kMost, kWidth, kStride, Element>(row, std::min(x, end - kMost), finish);
      x += kMost;
    } else if (fits(kHalf, kFew)) {
      make_inside<kHalf, kWidth, kStride, Element>(row, std::min(x, end - kHalf), finish);
      x += kHalf;
    } else if (fits(kFew, 0)) {
      make_inside<kFew, kWidth, kStride, Element>(row, std::min(x, end - kFew), finish);
      x += kFew;
    } else {
      make_at_edge<kWidth, kStride, Element>(row, x++, finish);
    }
  }
  for (x = end; x < to; ++x) make_at_edge<kWidth, kStride, Element>(row, x, finish);
}

// Keeps sums for a pass of their own.
class Keeper {
 public:
  Keeper(float* sums, std::size_t first) : sums_(sums), first_(static_cast<std::ptrdiff_t>(first * kLanes)) {}
  HWY_INLINE void store(FloatVector value, std::ptrdiff_t at) const { hn::Store(value, Floats(), sums_ + at - first_); }

 private:
  float* sums_;
  std::ptrdiff_t first_;
};

// Makes `count` vectors by make(from, to, where their sums go), some at a time, and finishes them.
template <typename Element, typename Make>
void in_portions(std::size_t count, const ImageEpilogue& epilogue, Element* to, Make&& make) {
  constexpr std::size_t kAtOnce = 64;
  HWY_ALIGN float sums[kAtOnce * kLanes];
  for (std::size_t from = 0; from < count; from += kAtOnce) {
    const std::size_t end = std::min(from + kAtOnce, count);
    make(from, end, Keeper(sums, from));
    finish_all(sums, end - from, epilogue, to + from * kLanes);
  }
}

template <std::size_t kWidth, std::size_t kStride, typename Element>
void make_row(const DepthwiseRow& row) {
  if (is_simple(row.epilogue)) {
    return make_columns<kWidth, kStride, Element>(row, 0, row.output_width,
                                                  Finisher<Element, false, true>(row.epilogue, row.output));
  }
  in_portions(static_cast<std::size_t>(row.output_width), row.epilogue, static_cast<Element*>(row.output),
              [&](std::size_t from, std::size_t to, const Keeper& keeper) {
                make_columns<kWidth, kStride, Element>(row, static_cast<std::int64_t>(from),
                                                       static_cast<std::int64_t>(to), keeper);
              });
}

// Pixels whose sums, and the weights of one input channel, are in registers.
constexpr std::size_t kMostPixels = HWY_TARGET == HWY_AVX3 ? 28 : 12;

// kCount pixels from `first` on.
template <std::size_t kCount, typename Finish>
HWY_INLINE void make_some_pixels(const PointwisePixels& pixels, std::size_t first, const Finish& finish) {
  const Floats d;
  FloatVector sums[kCount];
  unrolled<kCount>([&](auto i) HWY_ATTR { sums[i] = hn::Zero(d); });
  const float* plane = pixels.input + first * kLanes;
  const float* weights = pixels.weights;
  for (std::size_t c = 0; c < pixels.inputs; c += kLanes, plane += pixels.plane_stride) {
    const std::size_t exist = std::min(kLanes, pixels.inputs - c);
    for (std::size_t lane = 0; lane < exist; ++lane, weights += kLanes) {
      const auto kernel = hn::Load(d, weights);
      unrolled<kCount>([&](auto i)
                           HWY_ATTR { sums[i] = hn::MulAdd(hn::Set(d, plane[i * kLanes + lane]), kernel, sums[i]); });
    }
  }
  unrolled<kCount>([&](auto i) HWY_ATTR { finish.store(sums[i], static_cast<std::ptrdiff_t>((first + i) * kLanes)); });
}

// The pixels [from, to).
template <typename Finish>
void make_pixel_range(const PointwisePixels& given, std::size_t from, std::size_t to, const Finish& given_finish) {
  const PointwisePixels pixels = given;  // copies, as in make_columns
  const Finish finish = given_finish;
  constexpr std::size_t kHalf = kMostPixels / 2;
  // What is left in the end is made together with pixels that are made already, once more.
  for (std::size_t i = from; i < to;) {
    const std::size_t left = to - i;
    if (left > kHalf && to - from >= kMostPixels) {
      make_some_pixels<kMostPixels>(pixels, std::min(i, to - kMostPixels), finish);
      i += kMostPixels;
    } else if (to - from >= kHalf) {
      make_some_pixels<kHalf>(pixels, std::min(i, to - kHalf), finish);
      i += kHalf;
    } else {
      make_some_pixels<1>(pixels, i++, finish);
    }
  }
}

void make_pixels(const PointwisePixels& pixels) {
  if (is_simple(pixels.epilogue)) {
    return make_pixel_range(pixels, 0, pixels.count, Finisher<float, false, true>(pixels.epilogue, pixels.output));
  }
  in_portions(
      pixels.count, pixels.epilogue, pixels.output,
      [&](std::size_t from, std::size_t to, const Keeper& keeper) { make_pixel_range(pixels, from, to, keeper); });
}

template <std::size_t kWidth, std::size_t kStride>
constexpr std::array<DepthwiseLoops::MakeRow, 2> kNumbers = {make_row<kWidth, kStride, float>,
                                                             make_row<kWidth, kStride, Bfloat16>};

constexpr DepthwiseLoops kLoops = {
    kLanes, {{{kNumbers<3, 1>, kNumbers<3, 2>}, {kNumbers<5, 1>, kNumbers<5, 2>}}}, make_pixels};

#endif

}  // namespace lanner::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lanner::kernels {

namespace {

constexpr std::array kRows = {
#if HWY_TARGETS & HWY_AVX3
    LoopsRow<DepthwiseLoops>{"AVX-512", cpu_has_avx512, &N_AVX3::kLoops},
#endif
#if HWY_TARGETS & HWY_AVX2
    LoopsRow<DepthwiseLoops>{"AVX2", cpu_has_avx2, &N_AVX2::kLoops},
#endif
    LoopsRow<DepthwiseLoops>{"none", [] { return false; }, nullptr},
};

}  // namespace

std::span<const LoopsRow<DepthwiseLoops>> depthwise_loops_rows() {
  return std::span(kRows).first(kRows.size() - 1);
}

}  // namespace lanner::kernels
#endif
