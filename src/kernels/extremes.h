// The greatest or the least element of rows of floats, and where it is. NaN is more extreme than any number.
#pragma once

#include <cstdint>

namespace lanner::kernels {

enum class Extreme : std::uint8_t { kMax, kMin };

// Of `count` rows of `length` (at least 1) elements, one row after another.
void extremes_of_rows(Extreme which, const float* in, std::int64_t length, std::int64_t count, float* out);
// The place of the first such element of each row.
void places_of_extremes(Extreme which, const float* in, std::int64_t length, std::int64_t count, std::int64_t* out);

// Both for the greatest element, in one pass.
void greatest_of_rows(const float* in, std::int64_t length, std::int64_t count, float* out, std::int64_t* places);

}  // namespace lanner::kernels
