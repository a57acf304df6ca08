// How each operator becomes primitives: build functions by operator name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "backends/onednn/builder.h"

namespace lanner::backends::onednn {

using BuildOperator = void (*)(OperatorBuilder& builder);

// Throws `op.unsupported` for an operator that is not in the table.
BuildOperator find_builder(std::string_view op);

// Whether the operator's build function may offer() several algorithms.
bool has_algorithms(std::string_view op);

// The families, one file each.
void build_conv(OperatorBuilder& builder);  // Conv and FusedConv
void build_deconv(OperatorBuilder& builder);  // ConvTranspose
void build_pool(OperatorBuilder& builder);  // MaxPool, AveragePool and the global ones
void build_matmul(OperatorBuilder& builder);
void build_gemm(OperatorBuilder& builder);
void build_fused_matmul(OperatorBuilder& builder);
void build_elementwise(OperatorBuilder& builder);  // one input
void build_binary(OperatorBuilder& builder);
void build_concat(OperatorBuilder& builder);
void build_split(OperatorBuilder& builder);
void build_resize(OperatorBuilder& builder);
void build_resize_like(OperatorBuilder& builder);
void build_softmax(OperatorBuilder& builder);
void build_reshape(OperatorBuilder& builder);
void build_transpose(OperatorBuilder& builder);

// A function of one element in oneDNN's terms: the steps one after another.
struct ElementwiseStep {
  dnnl::algorithm algorithm;
  float alpha = 0.0F;
  float beta = 0.0F;
};
using Elementwise = std::vector<ElementwiseStep>;

// Whether a fused operator adds its residual to the activation's result rather than to its argument.
bool is_residual_last(const tensor::Attributes& attributes);

// The activation of a fused operator (kernels/fused.cpp), empty for none. Throws `op.attribute` for an unknown one.
Elementwise activation_of(const tensor::Attributes& attributes);

// How a primitive gets the residual of a fused operator: its output holds it before, or as one more operand.
enum class Residual : std::uint8_t { kNone, kSum, kBinary };

// What follows a product. `residual_desc` is that of the operand, for kBinary.
dnnl::post_ops post_operations(Residual residual, const Desc& residual_desc, const Elementwise& activation,
                               bool residual_last);
// The operand, as an argument.
Argument residual_operand(const Stored& residual, const Elementwise& activation, bool residual_last);
// Adds `from` to `to`, which lies as it does.
void emit_sum(OperatorBuilder& builder, const Stored& from, const Stored& to);

// Emits `function` from `from` to `to` (which may be the same) in their common layout.
void emit_elementwise(OperatorBuilder& builder, const Elementwise& function, const Stored& from, const Stored& to);

// Of a problem's text: which of input 0 and the output is kept in bfloat16.
std::string kept_text(OperatorBuilder& builder);

// Whether a primitive is one of oneDNN's reference loops, which are far too slow to use.
bool is_reference(const char* implementation);

// Defines an output that has no elements, and so needs no primitive.
bool define_if_empty(OperatorBuilder& builder, const Shape& shape);

// Attributes of a primitive whose scratchpad the plan provides.
dnnl::primitive_attr user_scratchpad();

}  // namespace lanner::backends::onednn
