// Activations: Relu and its relatives, Sigmoid and its relatives, Clip, Gelu.
//
// NaN passes through all of them, except that ThresholdedRelu, which asks x > alpha, makes it 0.
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

}  // namespace lanner::kernels
