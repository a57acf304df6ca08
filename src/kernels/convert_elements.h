// Conversion of whole tensors between any two element types but complex ones: what Cast does where a type is not one of
// the language's own.
//
// Floats become floats by rounding to the nearest, ties to even, and integers as convert.h says. Of an integer below 8
// bits the low bits of the result are kept. Strings are numbers as C++ reads them, also "INF", "-INF" and "NaN" in any
// case, and are written as short as they read back.
#pragma once

#include "lanner/tensor.h"
#include "tensor/elements.h"

namespace lanner::kernels {

// Attributes of Cast.
struct CastRules {
  // What becomes of numbers too large for an 8-bit float.
  tensor::Overflow overflow = tensor::Overflow::kSaturate;
  // To float8_e8m0fnu.
  tensor::Float8E8M0::Round round = tensor::Float8E8M0::Round::kUp;
};

// Fills `to`, of the same shape. Throws `op.value` for a string that is no number, `op.type` for complex numbers.
void convert_elements(int threads, const Tensor& from, const CastRules& rules, Tensor& to);

}  // namespace lanner::kernels
