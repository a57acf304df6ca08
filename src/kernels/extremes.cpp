#include "kernels/extremes.h"

#include <cstring>

#include "base/multiversion.h"

namespace lanner::kernels {

namespace {

constexpr std::int64_t kLanes = 16;
using Floats [[gnu::vector_size(kLanes * sizeof(float))]] = float;

template <Extreme kWhich, typename T>
[[gnu::always_inline]] inline auto beats(T x, T held) {
  if constexpr (kWhich == Extreme::kMax)
    return (x > held) | (x != x);
  else
    return (x < held) | (x != x);
}

[[gnu::always_inline]] inline Floats load(const float* from) {
  Floats x;
  std::memcpy(&x, from, sizeof(x));
  return x;
}

template <Extreme kWhich>
[[gnu::always_inline]] inline float extreme_of(const float* row, std::int64_t length) {
  if (length < kLanes) {
    float held = row[0];
    for (std::int64_t i = 1; i < length; ++i) held = beats<kWhich>(row[i], held) ? row[i] : held;
    return held;
  }
  // The last elements are taken together with some before them, which changes nothing.
  Floats held = load(row + length - kLanes);
  for (std::int64_t i = 0; i + kLanes < length; i += kLanes) {
    const Floats x = load(row + i);
    held = beats<kWhich>(x, held) ? x : held;
  }
  float lanes[kLanes];
  std::memcpy(lanes, &held, sizeof(held));
  for (std::int64_t width = kLanes / 2; width > 0; width /= 2) {
    for (std::int64_t i = 0; i < width; ++i) {
      lanes[i] = beats<kWhich>(lanes[i + width], lanes[i]) ? lanes[i + width] : lanes[i];
    }
  }
  return lanes[0];
}

[[gnu::always_inline]] inline std::int64_t first_place(const float* row, std::int64_t length, float wanted) {
  const bool nan = wanted != wanted;
  std::int64_t i = 0;
  for (; i + kLanes <= length; i += kLanes) {
    const Floats x = load(row + i);
    const auto found = nan ? x != x : x == wanted;
    int any = 0;
    for (int k = 0; k < kLanes; ++k) any |= found[k];
    if (any != 0) break;
  }
  while (i < length - 1 && !(nan ? row[i] != row[i] : row[i] == wanted)) ++i;
  return i;
}

template <Extreme kWhich>
[[gnu::always_inline]] inline void extremes(const float* in, std::int64_t length, std::int64_t count, float* out) {
  for (std::int64_t row = 0; row < count; ++row) out[row] = extreme_of<kWhich>(in + row * length, length);
}

template <Extreme kWhich>
[[gnu::always_inline]] inline void places(const float* in, std::int64_t length, std::int64_t count, std::int64_t* out) {
  for (std::int64_t row = 0; row < count; ++row) {
    const float* from = in + row * length;
    out[row] = first_place(from, length, extreme_of<kWhich>(from, length));
  }
}

// Inner linkage: the symbol that chooses a version would be visible outside the shared libraries.
LANNER_MULTIVERSION void greatest(const float* in, std::int64_t length, std::int64_t count, float* out) {
  extremes<Extreme::kMax>(in, length, count, out);
}
LANNER_MULTIVERSION void least(const float* in, std::int64_t length, std::int64_t count, float* out) {
  extremes<Extreme::kMin>(in, length, count, out);
}
LANNER_MULTIVERSION void places_of_greatest(const float* in, std::int64_t length, std::int64_t count,
                                            std::int64_t* out) {
  places<Extreme::kMax>(in, length, count, out);
}
LANNER_MULTIVERSION void greatest_and_places(const float* in, std::int64_t length, std::int64_t count, float* out,
                                             std::int64_t* places) {
  for (std::int64_t row = 0; row < count; ++row) {
    const float* from = in + row * length;
    out[row] = extreme_of<Extreme::kMax>(from, length);
    places[row] = first_place(from, length, out[row]);
  }
}
LANNER_MULTIVERSION void places_of_least(const float* in, std::int64_t length, std::int64_t count, std::int64_t* out) {
  places<Extreme::kMin>(in, length, count, out);
}

}  // namespace

void extremes_of_rows(Extreme which, const float* in, std::int64_t length, std::int64_t count, float* out) {
  (which == Extreme::kMax ? greatest : least)(in, length, count, out);
}

void places_of_extremes(Extreme which, const float* in, std::int64_t length, std::int64_t count, std::int64_t* out) {
  (which == Extreme::kMax ? places_of_greatest : places_of_least)(in, length, count, out);
}

void greatest_of_rows(const float* in, std::int64_t length, std::int64_t count, float* out, std::int64_t* places) {
  greatest_and_places(in, length, count, out, places);
}

}  // namespace lanner::kernels
