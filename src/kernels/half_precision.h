// Float16 and bfloat16: operators that compute are run in float32, on converted inputs, and their outputs are rounded
// once. What only moves or converts elements takes every type by itself and is not here.
#pragma once

#include <optional>
#include <string_view>

#include "kernels/kernel.h"

namespace lanner::kernels {

// Whether an operator with a kernel for float32 is run with that on 16-bit floats.
constexpr bool computes_half_in_float32(std::string_view name);

// `kernel`, which takes float32, for 16-bit floats as well. Where it gets any, its float32 outputs before
// `kept_outputs` become of the type of its first floating-point input; the others stay float32.
std::unique_ptr<Kernel> with_half_precision(std::unique_ptr<Kernel> kernel, int kept_outputs);

namespace internal {

struct HalfPrecisionRow {
  std::string_view name;
  int kept_outputs = 1 << 30;  // the first output that is float32 whatever the inputs are
};

// Sorted by name.
inline constexpr HalfPrecisionRow kHalfPrecision[] = {
    {"Abs"},
    {"Acos"},
    {"Acosh"},
    {"Add"},
    {"AffineGrid"},
    {"ArgMax"},
    {"ArgMin"},
    {"Asin"},
    {"Asinh"},
    {"Atan"},
    {"Atanh"},
    {"Attention"},
    {"AveragePool"},
    {"BatchNormalization"},
    {"Ceil"},
    {"Celu"},
    {"Clip"},
    {"Col2Im"},
    {"Conv"},
    {"ConvTranspose"},
    {"Cos"},
    {"Cosh"},
    {"CumProd"},
    {"CumSum"},
    {"DFT"},
    {"DeformConv"},
    {"Det"},
    {"Div"},
    {"Einsum"},
    {"Elu"},
    {"Equal"},
    {"Erf"},
    {"Exp"},
    {"Floor"},
    {"FusedConv"},
    {"GRU"},
    {"Gelu"},
    {"Gemm"},
    {"GlobalAveragePool"},
    {"GlobalLpPool"},
    {"GlobalMaxPool"},
    {"Greater"},
    {"GreaterOrEqual"},
    {"GridSample"},
    {"HardSigmoid"},
    {"HardSwish"},
    {"Hardmax"},
    {"InstanceNormalization"},
    {"IsInf"},
    {"IsNaN"},
    {"LRN"},
    {"LSTM"},
    {"LayerNormalization", 1},
    {"LeakyRelu"},
    {"Less"},
    {"LessOrEqual"},
    {"Log"},
    {"LogSoftmax"},
    {"LpNormalization"},
    {"LpPool"},
    {"MatMul"},
    {"Max"},
    {"MaxPool"},
    {"MaxRoiPool"},
    {"MaxUnpool"},
    {"MaxWithIndex"},
    {"Mean"},
    {"Min"},
    {"Mish"},
    {"Mod"},
    {"Mul"},
    {"Multinomial"},
    {"Neg"},
    {"NonZero"},
    {"PRelu"},
    {"Pow"},
    {"RNN"},
    {"Range"},
    {"Reciprocal"},
    {"ReduceL1"},
    {"ReduceL2"},
    {"ReduceLogSum"},
    {"ReduceLogSumExp"},
    {"ReduceMax"},
    {"ReduceMean"},
    {"ReduceMin"},
    {"ReduceProd"},
    {"ReduceSum"},
    {"ReduceSumSquare"},
    {"Relu"},
    {"Resize"},
    {"ResizeLike"},
    {"RoiAlign"},
    {"Round"},
    {"STFT"},
    {"ScatterElements"},
    {"ScatterND"},
    {"Selu"},
    {"Sigmoid"},
    {"Sign"},
    {"Sin"},
    {"Sinh"},
    {"Softmax"},
    {"Softplus"},
    {"Softsign"},
    {"Sqrt"},
    {"Sub"},
    {"Sum"},
    {"Swish"},
    {"Tan"},
    {"Tanh"},
    {"ThresholdedRelu"},
    {"TopK"},
    {"Unique"},
};

// The row of an operator; nothing where there is none. No pointer, because g++'s undefined-behaviour sanitizer takes
// the comparison of one out of what is constant.
constexpr std::optional<HalfPrecisionRow> half_precision_row(std::string_view name) {
  for (const HalfPrecisionRow& row : kHalfPrecision) {
    if (row.name == name) return row;
  }
  return std::nullopt;
}

}  // namespace internal

constexpr bool computes_half_in_float32(std::string_view name) {
  return internal::half_precision_row(name).has_value();
}

}  // namespace lanner::kernels
