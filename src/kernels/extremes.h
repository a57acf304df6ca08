// The greatest or the least element of rows of floats, and where it is. NaN is more extreme than any number.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/loops_of_cpu.h"

namespace lanner::kernels {

enum class Extreme : std::uint8_t { kMax, kMin };

// Of `count` rows of `length` (at least 1) elements, one row after another.
void extremes_of_rows(Extreme which, const float* in, std::int64_t length, std::int64_t count, float* out);
// The place of the first such element of each row.
void places_of_extremes(Extreme which, const float* in, std::int64_t length, std::int64_t count, std::int64_t* out);

// Both for the greatest element, in one pass.
void greatest_of_rows(const float* in, std::int64_t length, std::int64_t count, float* out, std::int64_t* places);

// What does it for the functions above, which say what is in and out; by Extreme where there are two.
struct ExtremeLoops {
  using Values = void (*)(const float* in, std::int64_t length, std::int64_t count, float* out);
  using Places = void (*)(const float* in, std::int64_t length, std::int64_t count, std::int64_t* out);

  std::array<Values, 2> values;
  std::array<Places, 2> places;
  void (*greatest)(const float* in, std::int64_t length, std::int64_t count, float* out, std::int64_t* places);
};

LoopsOfCpu<ExtremeLoops>& extreme_loops_of_cpu();

}  // namespace lanner::kernels
