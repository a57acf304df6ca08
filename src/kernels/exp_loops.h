// The exponential function of vectors, compiled once per instruction set: included after <hwy/highway.h> by files that
// Highway compiles several times.
#if defined(LANNER_KERNELS_EXP_LOOPS) == defined(HWY_TARGET_TOGGLE)
#ifdef LANNER_KERNELS_EXP_LOOPS
#undef LANNER_KERNELS_EXP_LOOPS
#else
#define LANNER_KERNELS_EXP_LOOPS
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace lanner::kernels::HWY_NAMESPACE {

// exp(x) for -87 <= x <= 0, to about 2 units in the last place; elsewhere there is no telling. NaN stays.
template <typename Floats>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<Floats> exp_within(Floats d, hwy::HWY_NAMESPACE::Vec<Floats> x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::RebindToSigned<Floats> words;
  const auto whole = hn::Round(hn::Mul(x, hn::Set(d, 1.44269504088896341f)));
  // ln 2 in two parts, then the polynomial of exp.h.
  const auto r = hn::NegMulAdd(whole, hn::Set(d, -2.12194440e-4f), hn::NegMulAdd(whole, hn::Set(d, 0.693359375f), x));
  auto p = hn::Set(d, 1.9875691500e-4f);
  p = hn::MulAdd(p, r, hn::Set(d, 1.3981999507e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1f));
  p = hn::Add(hn::MulAdd(p, hn::Mul(r, r), r), hn::Set(d, 1.0f));
  const auto exponent = hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(words, whole), hn::Set(words, 127)));
  return hn::Mul(p, hn::BitCast(d, exponent));
}

}  // namespace lanner::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
