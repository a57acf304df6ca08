// Activations: Relu and its relatives, Sigmoid and its relatives, Clip, Gelu, Softmax, LogSoftmax, Hardmax.
//
// NaN passes through all of them, except that ThresholdedRelu, which asks x > alpha, makes it 0. Softmax subtracts each
// line's maximum first; a line's sum is added in an order that does not depend on the number of threads.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>

#include "base/fail.h"
#include "base/multiversion.h"
#include "base/parallel.h"
#include "kernels/elementwise.h"
#include "kernels/exp.h"
#include "kernels/kernel.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

using tensor::FloatTypes;
using tensor::NumericTypes;
using tensor::SignedTypes;
using tensor::TypeList;

// PRelu's types.
using SlopeTypes = TypeList<float, double, std::int32_t, std::int64_t, std::uint32_t, std::uint64_t>;

void run_prelu(KernelContext& context) {
  const Tensor& x = context.input(0);
  const Tensor& slope = context.input(1);
  require_same_type("PRelu", x, slope);
  if (!(broadcast_shape(x.shape(), slope.shape()) == x.shape())) {
    base::invalid("op.shape", "PRelu's slope must broadcast to its input, but has shape {} against {}",
                  slope.shape().to_string(), x.shape().to_string());
  }
  run_binary<SlopeTypes>(context, "PRelu", x, slope, x.element_type(), x.element_type(),
                         []<typename T>(T value, T factor) {
                           const T product = Multiply{}(value, factor);
                           return value < T{0} ? product : value;
                         });
}

// A limit of Clip: one element of the input's type, or `otherwise` when absent.
template <typename T>
T clip_limit(const KernelContext& context, int index, const char* name, T otherwise) {
  const Tensor* limit = context.optional_input(index);
  if (limit == nullptr) return otherwise;
  require_same_type("Clip", context.input(0), *limit);
  if (limit->element_count() != 1) {
    base::invalid("op.shape", "Clip's {} must be a scalar, but has shape {}", name, limit->shape().to_string());
  }
  return *limit->data<T>();
}

void run_clip(KernelContext& context) {
  const Tensor& input = context.input(0);
  tensor::dispatch(NumericTypes{}, input.element_type(), "Clip", [&]<typename T>() {
    // Absent limits leave infinities alone, as the reference implementation does.
    constexpr bool kFloat = std::is_floating_point_v<T>;
    using Limits = std::numeric_limits<T>;
    const T low = clip_limit<T>(context, 1, "min", kFloat ? -Limits::infinity() : Limits::lowest());
    const T high = clip_limit<T>(context, 2, "max", kFloat ? Limits::infinity() : Limits::max());
    Tensor& output = context.allocate_output(0, input.element_type(), input.shape());
    if (low != low || high != high) {
      // A NaN limit makes everything NaN.
      std::fill_n(output.data<T>(), input.element_count(), low != low ? low : high);
      return;
    }
    map_elements(context.threads(), input.element_count(), input.data<T>(), output.data<T>(), [low, high](T x) {
      const T y = x < low ? low : x;
      return y > high ? high : y;
    });
  });
}

template <typename T>
T hard_sigmoid(T x, T alpha, T beta) {
  const T y = alpha * x + beta;
  return y < T{0} ? T{0} : (y > T{1} ? T{1} : y);
}

// x tanh(log(1 + exp(x))) without the logarithm: with e = exp(-|x|) no term cancels or overflows.
template <typename T>
T mish(T x) {
  const T e = math::exp(-std::fabs(x));
  const T top = x < 0 ? e * (e + 2) : 1 + 2 * e;
  return x * (top / (top + (x < 0 ? T{2} : 2 * e * e)));
}

template <typename T>
T gelu_tanh(T x) {
  constexpr T kRootTwoOverPi = static_cast<T>(0.79788456080286535588);
  const T inner = kRootTwoOverPi * (x + static_cast<T>(0.044715) * (x * x * x));
  return static_cast<T>(0.5) * x * (1 + math::tanh(inner));
}

template <typename T>
T gelu_erf(T x) {
  // 1 + erf(y) = erfc(-y), without cancellation for negative y.
  constexpr T kRootHalf = static_cast<T>(0.70710678118654752440);
  return static_cast<T>(0.5) * x * std::erfc(-x * kRootHalf);
}

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

// Independent partial results of a reduction along a contiguous line; they keep the order of additions fixed and fill
// vector registers.
constexpr std::int64_t kPartials = 16;

template <typename T>
using Partials [[gnu::vector_size(kPartials * sizeof(T))]] = T;

template <typename T>
[[gnu::always_inline]] inline T largest_of(const T* in, std::int64_t length) {
  const std::int64_t whole = length / kPartials * kPartials;
  Partials<T> partial = Partials<T>{} - std::numeric_limits<T>::infinity();
  for (std::int64_t i = 0; i < whole; i += kPartials) {
    Partials<T> x;
    std::memcpy(&x, in + i, sizeof(x));
    partial = x > partial ? x : partial;
  }
  T largest = -std::numeric_limits<T>::infinity();
  for (int k = 0; k < kPartials; ++k) largest = partial[k] > largest ? partial[k] : largest;
  for (std::int64_t i = whole; i < length; ++i) largest = in[i] > largest ? in[i] : largest;
  return largest;
}

template <typename T>
[[gnu::always_inline]] inline T sum_of(const T* in, std::int64_t length) {
  const std::int64_t whole = length / kPartials * kPartials;
  Partials<T> partial{};
  for (std::int64_t i = 0; i < whole; i += kPartials) {
    Partials<T> x;
    std::memcpy(&x, in + i, sizeof(x));
    partial += x;
  }
  T sum = 0;
  for (int k = 0; k < kPartials; ++k) sum += partial[k];
  for (std::int64_t i = whole; i < length; ++i) sum += in[i];
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

std::unique_ptr<Kernel> make_Relu(const KernelInfo&) {
  return unary_kernel<SignedTypes>("Relu", []<typename T>(T x) { return x < T{0} ? T{0} : x; });
}

std::unique_ptr<Kernel> make_LeakyRelu(const KernelInfo& info) {
  const float alpha = info.attributes.get_float("alpha", 0.01f);
  return unary_kernel<FloatTypes>("LeakyRelu", [alpha]<typename T>(T x) {
    const T product = static_cast<T>(alpha) * x;
    return x < T{0} ? product : x;
  });
}

std::unique_ptr<Kernel> make_PRelu(const KernelInfo&) {
  return make_kernel([](KernelContext& context) { run_prelu(context); });
}

std::unique_ptr<Kernel> make_ThresholdedRelu(const KernelInfo& info) {
  const float alpha = info.attributes.get_float("alpha", 1.0f);
  return unary_kernel<FloatTypes>("ThresholdedRelu",
                                  [alpha]<typename T>(T x) { return x > static_cast<T>(alpha) ? x : T{0}; });
}

std::unique_ptr<Kernel> make_Clip(const KernelInfo&) {
  return make_kernel([](KernelContext& context) { run_clip(context); });
}

std::unique_ptr<Kernel> make_Sigmoid(const KernelInfo&) {
  return unary_kernel<FloatTypes>(
      "Sigmoid", [](auto x) { return math::sigmoid(x); }, math::sigmoid_array);
}

std::unique_ptr<Kernel> make_HardSigmoid(const KernelInfo& info) {
  const float alpha = info.attributes.get_float("alpha", 0.2f);
  const float beta = info.attributes.get_float("beta", 0.5f);
  return unary_kernel<FloatTypes>("HardSigmoid", [alpha, beta]<typename T>(T x) {
    return hard_sigmoid<T>(x, static_cast<T>(alpha), static_cast<T>(beta));
  });
}

std::unique_ptr<Kernel> make_HardSwish(const KernelInfo&) {
  return unary_kernel<FloatTypes>("HardSwish",
                                  []<typename T>(T x) { return x * hard_sigmoid<T>(x, T{1} / 6, T{0.5}); });
}

std::unique_ptr<Kernel> make_Swish(const KernelInfo& info) {
  const float alpha = info.attributes.get_float("alpha", 1.0f);
  return unary_kernel<FloatTypes>("Swish",
                                  [alpha]<typename T>(T x) { return x * math::sigmoid(static_cast<T>(alpha) * x); });
}

std::unique_ptr<Kernel> make_Mish(const KernelInfo&) {
  return unary_kernel<FloatTypes>("Mish", [](auto x) { return mish(x); });
}

std::unique_ptr<Kernel> make_Elu(const KernelInfo& info) {
  const float alpha = info.attributes.get_float("alpha", 1.0f);
  return unary_kernel<FloatTypes>("Elu", [alpha]<typename T>(T x) {
    const T curve = static_cast<T>(alpha) * math::expm1(x);
    return x < T{0} ? curve : x;
  });
}

std::unique_ptr<Kernel> make_Selu(const KernelInfo& info) {
  const float alpha = info.attributes.get_float("alpha", 1.67326319217681884765625f);
  const float gamma = info.attributes.get_float("gamma", 1.05070102214813232421875f);
  return unary_kernel<FloatTypes>("Selu", [alpha, gamma]<typename T>(T x) {
    const T curve = static_cast<T>(alpha) * math::expm1(x);
    return static_cast<T>(gamma) * (x > T{0} ? x : curve);
  });
}

std::unique_ptr<Kernel> make_Celu(const KernelInfo& info) {
  const float alpha = info.attributes.get_float("alpha", 1.0f);
  return unary_kernel<FloatTypes>("Celu", [alpha]<typename T>(T x) {
    const T curve = static_cast<T>(alpha) * math::expm1(x / static_cast<T>(alpha));
    return (x < T{0} ? T{0} : x) + (curve > T{0} ? T{0} : curve);
  });
}

std::unique_ptr<Kernel> make_Softplus(const KernelInfo&) {
  return unary_kernel<FloatTypes>(
      "Softplus", []<typename T>(T x) { return (x < T{0} ? T{0} : x) + std::log1p(math::exp(-std::fabs(x))); });
}

std::unique_ptr<Kernel> make_Softsign(const KernelInfo&) {
  return unary_kernel<FloatTypes>("Softsign", [](auto x) { return x / (1 + std::fabs(x)); });
}

std::unique_ptr<Kernel> make_Gelu(const KernelInfo& info) {
  const std::string approximate = info.attributes.get_string("approximate", "none");
  if (approximate == "none") return unary_kernel<FloatTypes>("Gelu", [](auto x) { return gelu_erf(x); });
  if (approximate == "tanh") return unary_kernel<FloatTypes>("Gelu", [](auto x) { return gelu_tanh(x); });
  base::invalid("op.attribute", "attribute 'approximate' must be none or tanh, but is '{}'", approximate);
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
