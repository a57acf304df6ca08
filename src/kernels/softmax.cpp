// Softmax, LogSoftmax, Hardmax. Softmax subtracts each line's maximum first; a line's sum is added in an order that
// does not depend on the number of threads.
#include "kernels/softmax.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "base/multiversion.h"
#include "base/parallel.h"
#include "kernels/elementwise.h"
#include "kernels/exp.h"
#include "kernels/kernel.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

using tensor::FloatTypes;

// What is normalised: `length` elements, `inner` apart, for each of outer * inner lines.
struct Lines {
  std::int64_t outer;
  std::int64_t length;
  std::int64_t inner;
};

Lines lines_along(const Shape& shape, std::int64_t axis_attribute) {
  const int axis = normalize_axis(axis_attribute, shape.rank());
  return {shape.element_count(0, axis), shape[axis], shape.element_count(axis + 1, shape.rank())};
}

// Independent partial results of a reduction along a contiguous line; they keep the order of additions fixed. In vectors
// of 32 bytes: larger ones the compiler takes apart, element by element, for a CPU that has not got them.
template <typename T>
struct Partials {
  static constexpr std::int64_t kCount = 16;
  static constexpr std::int64_t kLanes = 32 / static_cast<std::int64_t>(sizeof(T));
  static constexpr std::int64_t kVectors = kCount / kLanes;
  using Vector [[gnu::vector_size(32)]] = T;

  Vector vectors[kVectors];

  [[gnu::always_inline]] static void load(const T* from, Vector& to) { std::memcpy(&to, from, sizeof(to)); }
  [[gnu::always_inline]] T operator[](std::int64_t i) const { return vectors[i / kLanes][i % kLanes]; }
};

template <typename T>
[[gnu::always_inline]] inline T largest_of(const T* in, std::int64_t length) {
  using P = Partials<T>;
  P partial;
  for (auto& most : partial.vectors) most = typename P::Vector{} - std::numeric_limits<T>::infinity();
  std::int64_t i = 0;
  for (; i + P::kCount <= length; i += P::kCount) {
    for (std::int64_t v = 0; v < P::kVectors; ++v) {
      typename P::Vector x;
      P::load(in + i + v * P::kLanes, x);
      partial.vectors[v] = x > partial.vectors[v] ? x : partial.vectors[v];
    }
  }
  T largest = -std::numeric_limits<T>::infinity();
  for (std::int64_t k = 0; k < P::kCount; ++k) largest = partial[k] > largest ? partial[k] : largest;
  for (; i < length; ++i) largest = in[i] > largest ? in[i] : largest;
  return largest;
}

template <typename T>
[[gnu::always_inline]] inline T sum_of(const T* in, std::int64_t length) {
  using P = Partials<T>;
  P partial{};
  std::int64_t i = 0;
  for (; i + P::kCount <= length; i += P::kCount) {
    for (std::int64_t v = 0; v < P::kVectors; ++v) {
      typename P::Vector x;
      P::load(in + i + v * P::kLanes, x);
      partial.vectors[v] += x;
    }
  }
  T sum = 0;
  for (std::int64_t k = 0; k < P::kCount; ++k) sum += partial[k];
  for (; i < length; ++i) sum += in[i];
  return sum;
}

// Softmax, or its logarithm, of `count` contiguous lines. The exponentials are taken over all lines at once: a line is
// seldom a multiple of the vector's length.
template <bool kLog, typename T>
[[gnu::always_inline]] inline void softmax_lines(const T* in, T* out, std::int64_t length, std::int64_t count) {
  for (std::int64_t line = 0; line < count; ++line) {
    const T* x = in + line * length;
    T* y = out + line * length;
    const T largest = largest_of(x, length);
    LANNER_INDEPENDENT_ITERATIONS
    for (std::int64_t i = 0; i < length; ++i) y[i] = x[i] - largest;
  }
  if constexpr (kLog) {
    for (std::int64_t line = 0; line < count; ++line) {
      T* y = out + line * length;
      // In parts, so that the differences, which are the result's larger part, need not be computed twice.
      constexpr std::int64_t kPart = 256;
      std::array<T, kPart> part;
      T sum = 0;
      for (std::int64_t begin = 0; begin < length; begin += kPart) {
        const std::int64_t n = std::min(kPart, length - begin);
        LANNER_INDEPENDENT_ITERATIONS
        for (std::int64_t i = 0; i < n; ++i) part[static_cast<std::size_t>(i)] = math::exp(y[begin + i]);
        sum += sum_of(part.data(), n);
      }
      const T log_sum = std::log(sum);
      LANNER_INDEPENDENT_ITERATIONS
      for (std::int64_t i = 0; i < length; ++i) y[i] -= log_sum;
    }
  } else {
    LANNER_INDEPENDENT_ITERATIONS
    for (std::int64_t i = 0; i < count * length; ++i) out[i] = math::exp(out[i]);
    for (std::int64_t line = 0; line < count; ++line) {
      T* y = out + line * length;
      const T scale = 1 / sum_of(y, length);
      LANNER_INDEPENDENT_ITERATIONS
      for (std::int64_t i = 0; i < length; ++i) y[i] *= scale;
    }
  }
}

// Neighbouring lines that are handled together when their elements are not contiguous.
constexpr std::int64_t kLineBlock = 128;

// The same for `width` neighbouring lines whose elements are `stride` apart.
template <bool kLog, typename T>
[[gnu::always_inline]] inline void softmax_block(const T* in, T* out, std::int64_t length, std::int64_t stride,
                                                 std::int64_t width) {
  std::array<T, kLineBlock> largest;
  std::array<T, kLineBlock> sum{};
  largest.fill(-std::numeric_limits<T>::infinity());
  T* const top = largest.data();
  T* const total = sum.data();
  for (std::int64_t i = 0; i < length; ++i) {
    const T* x = in + i * stride;
    for (std::int64_t k = 0; k < width; ++k) top[k] = x[k] > top[k] ? x[k] : top[k];
  }
  for (std::int64_t i = 0; i < length; ++i) {
    const T* x = in + i * stride;
    T* y = out + i * stride;
    LANNER_INDEPENDENT_ITERATIONS
    for (std::int64_t k = 0; k < width; ++k) {
      const T e = math::exp(x[k] - top[k]);
      y[k] = e;
      total[k] += e;
    }
  }
  for (std::int64_t k = 0; k < width; ++k) total[k] = kLog ? std::log(total[k]) : 1 / total[k];
  for (std::int64_t i = 0; i < length; ++i) {
    const T* x = in + i * stride;
    T* y = out + i * stride;
    LANNER_INDEPENDENT_ITERATIONS
    for (std::int64_t k = 0; k < width; ++k) y[k] = kLog ? x[k] - top[k] - total[k] : y[k] * total[k];
  }
}

// Softmax over blocks [begin, end) of neighbouring lines; where lines are contiguous a block is one line.
struct SoftmaxBlocks {
  std::int64_t length;
  std::int64_t inner;
  std::int64_t width;      // of a block, in lines
  std::int64_t per_outer;  // blocks

  template <bool kLog, typename T>
  [[gnu::always_inline]] inline void run(const T* in, T* out, std::int64_t begin, std::int64_t end) const {
    if (inner == 1) {
      constexpr std::int64_t kCached = 4096;  // elements that are handled while they are in the first cache
      const std::int64_t step = std::max<std::int64_t>(kCached / length, 1);
      for (std::int64_t i = begin; i < end; i += step) {
        softmax_lines<kLog>(in + i * length, out + i * length, length, std::min(step, end - i));
      }
      return;
    }
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t column = i % per_outer * width;
      const std::int64_t at = i / per_outer * length * inner + column;
      softmax_block<kLog>(in + at, out + at, length, inner, std::min(width, inner - column));
    }
  }
};

LANNER_MULTIVERSION void softmax_floats(const SoftmaxBlocks& blocks, const float* in, float* out, std::int64_t begin,
                                        std::int64_t end) {
  blocks.run<false>(in, out, begin, end);
}
LANNER_MULTIVERSION void log_softmax_floats(const SoftmaxBlocks& blocks, const float* in, float* out,
                                            std::int64_t begin, std::int64_t end) {
  blocks.run<true>(in, out, begin, end);
}

template <bool kLog>
std::unique_ptr<Kernel> softmax_kernel(std::string_view name, const KernelInfo& info) {
  const std::int64_t axis = info.attributes.get_int("axis", -1);
  return make_kernel([name, axis](KernelContext& context) {
    const Tensor& input = context.input(0);
    tensor::dispatch(FloatTypes{}, input.element_type(), name, [&]<typename T>() {
      const Lines lines = lines_along(input.shape(), axis);
      Tensor& output = context.allocate_output(0, input.element_type(), input.shape());
      if (input.element_count() == 0) return;
      const T* in = input.data<T>();
      T* out = output.data<T>();
      // Lines go to threads in blocks of neighbours.
      const std::int64_t block = lines.inner == 1 ? 1 : std::min(lines.inner, kLineBlock);
      const SoftmaxBlocks blocks{lines.length, lines.inner, block, (lines.inner + block - 1) / block};
      const std::int64_t grain = kElementGrain / (lines.length * block) + 1;
      base::parallel_for(context.threads(), lines.outer * blocks.per_outer, grain,
                         [=](std::int64_t begin, std::int64_t end) {
                           if constexpr (std::is_same_v<T, float>)
                             (kLog ? log_softmax_floats : softmax_floats)(blocks, in, out, begin, end);
                           else
                             blocks.run<kLog>(in, out, begin, end);
                         });
    });
  });
}

// 1 for the first largest element of each line (the first NaN if there is one), 0 for the others.
template <typename T>
void hardmax(const T* in, T* out, const Lines& lines, std::int64_t begin, std::int64_t end) {
  for (std::int64_t line = begin; line < end; ++line) {
    const std::int64_t at = line / lines.inner * lines.length * lines.inner + line % lines.inner;
    std::int64_t best = 0;
    for (std::int64_t i = 0; i < lines.length; ++i) {
      const T x = in[at + i * lines.inner];
      const T largest = in[at + best * lines.inner];
      if (x > largest || (std::isnan(x) && !std::isnan(largest))) best = i;
      out[at + i * lines.inner] = 0;
    }
    out[at + best * lines.inner] = 1;
  }
}

}  // namespace

void softmax_rows(const float* in, float* out, std::int64_t length, std::int64_t count) {
  softmax_floats({length, 1, 1, 1}, in, out, 0, count);
}

std::unique_ptr<Kernel> make_Softmax(const KernelInfo& info) {
  return softmax_kernel<false>("Softmax", info);
}
std::unique_ptr<Kernel> make_LogSoftmax(const KernelInfo& info) {
  return softmax_kernel<true>("LogSoftmax", info);
}

std::unique_ptr<Kernel> make_Hardmax(const KernelInfo& info) {
  const std::int64_t axis = info.attributes.get_int("axis", -1);
  return make_kernel([axis](KernelContext& context) {
    const Tensor& input = context.input(0);
    tensor::dispatch(FloatTypes{}, input.element_type(), "Hardmax", [&]<typename T>() {
      const Lines lines = lines_along(input.shape(), axis);
      Tensor& output = context.allocate_output(0, input.element_type(), input.shape());
      if (input.element_count() == 0) return;
      const T* in = input.data<T>();
      T* out = output.data<T>();
      base::parallel_for(context.threads(), lines.outer * lines.inner, kElementGrain / lines.length + 1,
                         [=](std::int64_t begin, std::int64_t end) { hardmax(in, out, lines, begin, end); });
    });
  });
}

}  // namespace lanner::kernels
