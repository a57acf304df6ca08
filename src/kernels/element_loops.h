// The loops of element-wise operators, compiled once per instruction set: a function object of element_functions.h over
// arrays. Which functions, of which types, is listed here; every version gives the same bits as the function itself.
// broadcast.h calls them for whatever is listed, so kernels need not know.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/element_functions.h"
#include "kernels/loops_of_cpu.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

// Op of one T gives an R; Op of two.
template <typename Op, typename T, typename R>
struct Map {};
template <typename Op, typename T, typename R>
struct Zip {};

namespace internal {

template <typename Op>
using FloatMap = Map<Op, float, float>;
template <typename From, typename To>
using Conversion = Map<Convert<To>, From, To>;
template <typename To>
using BooleanConversion = Map<ConvertBoolean<To>, std::uint8_t, To>;
template <typename Op>
using FloatZip = Zip<Op, float, float>;

}  // namespace internal

using MapsOfLoops = tensor::TypeList<
    internal::FloatMap<Negate>, internal::FloatMap<Absolute>, internal::FloatMap<SignOf>, internal::FloatMap<Invert>,
    internal::FloatMap<SquareRoot>, internal::FloatMap<RoundDown>, internal::FloatMap<RoundUp>,
    internal::FloatMap<RoundToEven>, internal::FloatMap<Square>, internal::FloatMap<Cube>,
    internal::FloatMap<HalfPower>, internal::FloatMap<Exponential>, internal::FloatMap<HyperbolicTangent>,
    internal::FloatMap<Rectify>, internal::FloatMap<LeakyRectify>, internal::FloatMap<ThresholdedRectify>,
    internal::FloatMap<Limit<float>>, internal::FloatMap<LogisticSigmoid>, internal::FloatMap<HardSigmoidOf>,
    internal::FloatMap<HardSwishOf>, internal::FloatMap<SwishOf>, internal::FloatMap<MishOf>,
    internal::FloatMap<ExponentialLinear>, internal::FloatMap<ScaledExponentialLinear>,
    internal::FloatMap<ContinuousExponentialLinear>, internal::FloatMap<SoftsignOf>, internal::FloatMap<TanhGelu>,
    Map<IsNotANumber, float, bool>, Map<IsInfinite, float, bool>,
    // Casts.
    internal::Conversion<float, std::int64_t>, internal::Conversion<float, std::int32_t>,
    internal::Conversion<float, bool>, internal::Conversion<std::int64_t, float>,
    internal::Conversion<std::int64_t, std::int32_t>, internal::Conversion<std::int64_t, bool>,
    internal::Conversion<std::int32_t, float>, internal::Conversion<std::int32_t, std::int64_t>,
    internal::Conversion<std::int32_t, bool>, internal::BooleanConversion<float>,
    internal::BooleanConversion<std::int64_t>, internal::BooleanConversion<std::int32_t>>;

using ZipsOfLoops =
    tensor::TypeList<internal::FloatZip<Plus>, internal::FloatZip<Minus>, internal::FloatZip<Multiply>,
                     internal::FloatZip<Divide>, internal::FloatZip<Maximum>, internal::FloatZip<Minimum>,
                     internal::FloatZip<ScaleNegative>, Zip<EqualTo, float, bool>, Zip<GreaterThan, float, bool>,
                     Zip<AtLeast, float, bool>, Zip<EqualTo, std::uint64_t, bool>>;

// Types that a selection moves, by the logarithm of their bytes.
using SelectionsOfLoops = tensor::TypeList<std::uint8_t, std::uint16_t, std::uint32_t, std::uint64_t>;

namespace internal {

template <typename... Ts>
constexpr std::size_t size_of(tensor::TypeList<Ts...>) {
  return sizeof...(Ts);
}

// Where `Entry` is in the list; its size if nowhere.
template <typename Entry, typename... Ts>
constexpr std::size_t place_in(tensor::TypeList<Ts...>) {
  std::size_t place = 0;
  static_cast<void>(((std::is_same_v<Entry, Ts> ? true : (++place, false)) || ...));
  return place;
}

template <typename Entry, typename List>
inline constexpr bool kListed = place_in<Entry>(List{}) < size_of(List{});

}  // namespace internal

// Bits of `moving` as in BroadcastPlan: an operand whose bit is not set is one element for all. At least one is set.
struct ElementLoops {
  // out[i] = (*op)(in[i]); `out` may be `in`.
  using MapLoop = void (*)(const void* op, const void* in, void* out, std::int64_t count);
  // out[i] = (*op)(a[i], b[i]); `out` may be `a` or `b`.
  using ZipLoop = void (*)(const void* op, const void* a, const void* b, void* out, std::int64_t count,
                           unsigned moving);
  // out[i] = condition[i] != 0 ? a[i] : b[i]; the condition, bit 0, always moves.
  using SelectLoop = void (*)(const std::uint8_t* condition, const void* a, const void* b, void* out,
                              std::int64_t count, unsigned moving);

  std::array<MapLoop, internal::size_of(MapsOfLoops{})> maps;
  std::array<ZipLoop, internal::size_of(ZipsOfLoops{})> zips;
  std::array<SelectLoop, internal::size_of(SelectionsOfLoops{})> selections;
};

LoopsOfCpu<ElementLoops>& element_loops_of_cpu();

// Whether there are loops for the operation.
template <typename Op, typename T, typename R>
inline constexpr bool kHasMapLoop = internal::kListed<Map<Op, T, R>, MapsOfLoops>;
template <typename Op, typename T, typename R>
inline constexpr bool kHasZipLoop = internal::kListed<Zip<Op, T, R>, ZipsOfLoops>;
template <typename T>
inline constexpr bool kHasSelectLoop = internal::kListed<T, SelectionsOfLoops>;

template <typename Op, typename T, typename R>
void map_loop(const Op& op, const T* in, R* out, std::int64_t count) {
  constexpr std::size_t kPlace = internal::place_in<Map<Op, T, R>>(MapsOfLoops{});
  element_loops_of_cpu().get().maps[kPlace](&op, in, out, count);
}

// The loop itself, for those who call it once a row.
template <typename Op, typename T, typename R>
ElementLoops::ZipLoop zip_loop() {
  return element_loops_of_cpu().get().zips[internal::place_in<Zip<Op, T, R>>(ZipsOfLoops{})];
}
template <typename T>
ElementLoops::SelectLoop select_loop() {
  return element_loops_of_cpu().get().selections[internal::place_in<T>(SelectionsOfLoops{})];
}

}  // namespace lanner::kernels
