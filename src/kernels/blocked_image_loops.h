// What convolutions of our own do to vectors of an image's elements, compiled once per instruction set: included after
// <hwy/highway.h> by files that Highway compiles several times.
#if defined(LANNER_KERNELS_BLOCKED_IMAGE_LOOPS) == defined(HWY_TARGET_TOGGLE)
#ifdef LANNER_KERNELS_BLOCKED_IMAGE_LOOPS
#undef LANNER_KERNELS_BLOCKED_IMAGE_LOOPS
#else
#define LANNER_KERNELS_BLOCKED_IMAGE_LOOPS
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernels/blocked_image.h"
#include "kernels/exp_loops.h"

HWY_BEFORE_NAMESPACE();
namespace lanner::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using FloatVector = hn::Vec<Floats>;
constexpr std::size_t kLanes = hn::MaxLanes(Floats());

// Calls body(std::integral_constant<std::size_t, I>) for each I below kCount, without a loop: what the body indexes
// with I stays in registers.
template <std::size_t kCount, typename Body>
HWY_INLINE void unrolled(Body&& body) {
  [&]<std::size_t... kIndices>(std::index_sequence<kIndices...>) HWY_ATTR {
    (body(std::integral_constant<std::size_t, kIndices>()), ...);
  }
  (std::make_index_sequence<kCount>());
}

// Elements of images in memory and as vectors of float32.
HWY_INLINE FloatVector load_elements(const float* from) {
  return hn::LoadU(Floats(), from);
}
HWY_INLINE void store_elements(FloatVector value, float* to) {
  hn::StoreU(value, Floats(), to);
}

// bfloat16, the upper half of a float32.
struct Bfloat16 {
  std::uint16_t bits;
};
static_assert(sizeof(Bfloat16) == bytes_of(ImageNumber::kBfloat16));

using Words = hn::RebindToUnsigned<Floats>;
using Halves = hn::Rebind<std::uint16_t, Floats>;
HWY_INLINE FloatVector load_elements(const Bfloat16* from) {
  const auto halves = hn::LoadU(Halves(), &from->bits);
  return hn::BitCast(Floats(), hn::ShiftLeft<16>(hn::PromoteTo(Words(), halves)));
}
// Rounds to the nearest, of two to the even one; NaN becomes one that rounding cannot carry out of its exponent.
HWY_INLINE void store_elements(FloatVector value, Bfloat16* to) {
  const Words d;
  const auto bits = hn::BitCast(d, value);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d, 1));
  const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(d, 0x7FFF)), odd));
  const auto is_nan = hn::RebindMask(d, hn::IsNaN(value));
  const auto halves = hn::IfThenElse(is_nan, hn::Set(d, 0x7FC0), rounded);
  hn::StoreU(hn::DemoteTo(Halves(), hn::BitCast(hn::RebindToSigned<Floats>(), halves)), Halves(), &to->bits);
}

HWY_INLINE FloatVector sigmoid(FloatVector x) {
  const Floats d;
  const auto one = hn::Set(d, 1.0f);
  const auto e = exp_within(d, hn::Max(hn::Set(d, -87.0f), hn::Neg(hn::Abs(x))));
  return hn::Div(hn::IfThenElse(hn::Lt(x, hn::Zero(d)), e, one), hn::Add(one, e));
}

// Where an argument is NaN, Max and Min give the second, so NaN passes through.
HWY_INLINE FloatVector clip(FloatVector low, FloatVector high, FloatVector x) {
  return hn::Min(high, hn::Max(low, x));
}

// Calls run(function of a vector) for an activation.
template <typename Run>
HWY_INLINE void with_activation(const ImageActivation& activation, Run&& run) {
  using Kind = ImageActivation::Kind;
  const Floats d;
  const auto zero = hn::Zero(d);
  const auto one = hn::Set(d, 1.0f);
  const auto alpha = hn::Set(d, activation.alpha);
  const auto beta = hn::Set(d, activation.beta);
  switch (activation.kind) {
    case Kind::kClip:
      return run([=](FloatVector x) HWY_ATTR { return clip(alpha, beta, x); });
    case Kind::kLeakyRelu:
      return run([=](FloatVector x) HWY_ATTR { return hn::IfThenElse(hn::Lt(x, zero), hn::Mul(alpha, x), x); });
    case Kind::kHardSigmoid:
      return run([=](FloatVector x) HWY_ATTR { return clip(zero, one, hn::MulAdd(alpha, x, beta)); });
    case Kind::kHardSwish:
      return run([=](FloatVector x) HWY_ATTR {
        return hn::Mul(x, clip(zero, one, hn::MulAdd(x, hn::Set(d, 1.0f / 6), hn::Set(d, 0.5f))));
      });
    case Kind::kSigmoid:
      return run([=](FloatVector x) HWY_ATTR { return sigmoid(hn::Mul(alpha, x)); });
    case Kind::kSwish:
      return run([=](FloatVector x) HWY_ATTR { return hn::Mul(x, sigmoid(hn::Mul(alpha, x))); });
  }
}

HWY_INLINE FloatVector activate(FloatVector x, const ImageActivation& activation) {
  with_activation(activation, [&](auto function) HWY_ATTR { x = function(x); });
  return x;
}

// Makes elements of one block's output from sums. With kSimple, bias, residual and a clip are all there is, and the
// whole block exists. A copy of everything, which stores of the loop around cannot change.
template <typename Element, bool kResidual, bool kSimple>
class Finisher {
 public:
  Finisher(const ImageEpilogue& epilogue, void* pixels)
      : pixels_(static_cast<Element*>(pixels)),
        residual_(static_cast<const Element*>(epilogue.residual)),
        activation_(epilogue.activation),
        bias_(hn::Load(Floats(), epilogue.bias)),
        low_(hn::Set(Floats(), epilogue.activation.alpha)),
        high_(hn::Set(Floats(), epilogue.activation.beta)),
        exists_(hn::FirstN(Floats(), epilogue.channels)) {}

  HWY_INLINE void store(FloatVector value, std::ptrdiff_t at) const {
    const bool residual_last = !kSimple && activation_.residual_last;
    value = hn::Add(value, bias_);
    if (kResidual && !residual_last) value = hn::Add(value, load_elements(residual_ + at));
    if (kSimple) {
      value = clip(low_, high_, value);
    } else {
      value = activate(value, activation_);
      if (kResidual && residual_last) value = hn::Add(value, load_elements(residual_ + at));
      value = hn::IfThenElseZero(exists_, value);
    }
    store_elements(value, pixels_ + at);
  }

 private:
  Element* pixels_;
  const Element* residual_;
  ImageActivation activation_;
  FloatVector bias_;
  FloatVector low_;
  FloatVector high_;
  hn::Mask<Floats> exists_;
};

// Whether Finisher's kSimple holds.
inline bool is_simple(const ImageEpilogue& epilogue) {
  return epilogue.activation.kind == ImageActivation::Kind::kClip && epilogue.channels >= kLanes &&
         !(epilogue.residual != nullptr && epilogue.activation.residual_last);
}

}  // namespace lanner::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
