// What quantised operators share: reading elements of any type as floats, and writing numbers as quantised elements.
//
// An element q stands for (q - zero point) * scale. Arrays are read and written in pieces through functions that are
// chosen once by element type, so that there are as many loops as types, not as pairs of them.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/kernel.h"

namespace lanner::kernels {

// Reads elements [begin, begin + count) as numbers. Wide is float or double.
template <typename Wide>
using ReadElements = void (*)(const void* data, std::int64_t begin, std::int64_t count, Wide* to);

// Throws `op.type`, naming `what`, for strings and complex numbers.
template <typename Wide>
ReadElements<Wide> reader_of(ElementType type, std::string_view what);

// All elements of a tensor, as scratch memory of the same shape.
template <typename Wide>
Tensor read_elements(KernelContext& context, const Tensor& tensor, std::string_view what);

// Writes the elements nearest to x plus zero point as elements [begin, begin + count): integers saturate, and x is
// rounded to the nearest, ties to even, before the zero point is added; of NaN the lowest number is written.
// `zero_points` holds one for each element, or with a step of 0 one for all.
template <typename Wide>
using WriteQuantized = void (*)(const Wide* x, const Wide* zero_points, std::int64_t step, std::int64_t count, void* to,
                                std::int64_t begin);

// `saturate` says what becomes of numbers too large for an 8-bit float. Throws `op.type` for types that nothing is
// quantised to.
template <typename Wide>
WriteQuantized<Wide> quantized_writer_of(ElementType type, bool saturate);

}  // namespace lanner::kernels
