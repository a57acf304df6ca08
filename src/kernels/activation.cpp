// Activations: Relu and its relatives, Sigmoid and its relatives, Clip, Gelu.
//
// NaN passes through all of them, except that ThresholdedRelu, which asks x > alpha, makes it 0.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>

#include "base/fail.h"
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
  run_binary<SlopeTypes>(context, "PRelu", x, slope, x.element_type(), x.element_type(), ScaleNegative{});
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
    map_elements(context.threads(), input.element_count(), input.data<T>(), output.data<T>(), Limit<T>{low, high});
  });
}

template <typename T>
T gelu_erf(T x) {
  // 1 + erf(y) = erfc(-y), without cancellation for negative y.
  constexpr T kRootHalf = static_cast<T>(0.70710678118654752440);
  return static_cast<T>(0.5) * x * std::erfc(-x * kRootHalf);
}

}  // namespace

std::unique_ptr<Kernel> make_Relu(const KernelInfo&) {
  return unary_kernel<SignedTypes>("Relu", Rectify{});
}

std::unique_ptr<Kernel> make_LeakyRelu(const KernelInfo& info) {
  return unary_kernel<FloatTypes>("LeakyRelu", LeakyRectify{info.attributes.get_float("alpha", 0.01f)});
}

std::unique_ptr<Kernel> make_PRelu(const KernelInfo&) {
  return make_kernel([](KernelContext& context) { run_prelu(context); });
}

std::unique_ptr<Kernel> make_ThresholdedRelu(const KernelInfo& info) {
  return unary_kernel<FloatTypes>("ThresholdedRelu", ThresholdedRectify{info.attributes.get_float("alpha", 1.0f)});
}

std::unique_ptr<Kernel> make_Clip(const KernelInfo&) {
  return make_kernel([](KernelContext& context) { run_clip(context); });
}

std::unique_ptr<Kernel> make_Sigmoid(const KernelInfo&) {
  return unary_kernel<FloatTypes>("Sigmoid", LogisticSigmoid{});
}

std::unique_ptr<Kernel> make_HardSigmoid(const KernelInfo& info) {
  const float alpha = info.attributes.get_float("alpha", 0.2f);
  const float beta = info.attributes.get_float("beta", 0.5f);
  return unary_kernel<FloatTypes>("HardSigmoid", HardSigmoidOf{alpha, beta});
}

std::unique_ptr<Kernel> make_HardSwish(const KernelInfo&) {
  return unary_kernel<FloatTypes>("HardSwish", HardSwishOf{});
}

std::unique_ptr<Kernel> make_Swish(const KernelInfo& info) {
  return unary_kernel<FloatTypes>("Swish", SwishOf{info.attributes.get_float("alpha", 1.0f)});
}

std::unique_ptr<Kernel> make_Mish(const KernelInfo&) {
  return unary_kernel<FloatTypes>("Mish", MishOf{});
}

std::unique_ptr<Kernel> make_Elu(const KernelInfo& info) {
  return unary_kernel<FloatTypes>("Elu", ExponentialLinear{info.attributes.get_float("alpha", 1.0f)});
}

std::unique_ptr<Kernel> make_Selu(const KernelInfo& info) {
  const float alpha = info.attributes.get_float("alpha", 1.67326319217681884765625f);
  const float gamma = info.attributes.get_float("gamma", 1.05070102214813232421875f);
  return unary_kernel<FloatTypes>("Selu", ScaledExponentialLinear{alpha, gamma});
}

std::unique_ptr<Kernel> make_Celu(const KernelInfo& info) {
  return unary_kernel<FloatTypes>("Celu", ContinuousExponentialLinear{info.attributes.get_float("alpha", 1.0f)});
}

std::unique_ptr<Kernel> make_Softplus(const KernelInfo&) {
  return unary_kernel<FloatTypes>(
      "Softplus", []<typename T>(T x) { return (x < T{0} ? T{0} : x) + std::log1p(math::exp(-std::fabs(x))); });
}

std::unique_ptr<Kernel> make_Softsign(const KernelInfo&) {
  return unary_kernel<FloatTypes>("Softsign", SoftsignOf{});
}

std::unique_ptr<Kernel> make_Gelu(const KernelInfo& info) {
  const std::string approximate = info.attributes.get_string("approximate", "none");
  if (approximate == "none") return unary_kernel<FloatTypes>("Gelu", [](auto x) { return gelu_erf(x); });
  if (approximate == "tanh") return unary_kernel<FloatTypes>("Gelu", TanhGelu{});
  base::invalid("op.attribute", "attribute 'approximate' must be none or tanh, but is '{}'", approximate);
}

}  // namespace lanner::kernels
