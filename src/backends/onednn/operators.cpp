#include "backends/onednn/operators.h"

#include <algorithm>
#include <limits>

#include "base/fail.h"
#include "kernels/kernel.h"

namespace lanner::backends::onednn {

namespace {

using dnnl::algorithm;
using dnnl::prop_kind;

struct OperatorRow {
  std::string_view op;
  BuildOperator build;
  bool has_algorithms = false;
};

constexpr OperatorRow kOperators[] = {
    {"Conv", build_conv, true},
    {"FusedConv", build_conv, true},
    {"ConvTranspose", build_deconv},
    {"MaxPool", build_pool},
    {"AveragePool", build_pool},
    {"GlobalMaxPool", build_pool},
    {"GlobalAveragePool", build_pool},
    {"MatMul", build_matmul, true},
    {"Gemm", build_gemm, true},
    {"FusedMatMul", build_fused_matmul, true},
    {"Add", build_binary},
    {"Sub", build_binary},
    {"Mul", build_binary},
    {"Div", build_binary},
    {"Max", build_binary},
    {"Min", build_binary},
    {"Concat", build_concat},
    {"Split", build_split},
    {"Reshape", build_reshape},
    {"Transpose", build_transpose},
    {"Resize", build_resize},
    {"ResizeLike", build_resize_like},
    {"Softmax", build_softmax},
    {"Relu", build_elementwise},
    {"LeakyRelu", build_elementwise},
    {"Clip", build_elementwise},
    {"Elu", build_elementwise},
    {"Gelu", build_elementwise},
    {"HardSigmoid", build_elementwise},
    {"HardSwish", build_elementwise},
    {"Sigmoid", build_elementwise},
    {"Swish", build_elementwise},
    {"Tanh", build_elementwise},
    {"Exp", build_elementwise},
    {"Abs", build_elementwise},
    {"Sqrt", build_elementwise},
    {"Mish", build_elementwise},
};

// ONNX's default attributes. No such operator: nothing.
Elementwise elementwise_of(std::string_view op, const tensor::Attributes& attributes) {
  const auto alpha = [&](float otherwise) { return attributes.get_float("alpha", otherwise); };
  const auto beta = [&](float otherwise) { return attributes.get_float("beta", otherwise); };
  if (op == "Relu") return {{algorithm::eltwise_relu}};
  if (op == "LeakyRelu") return {{algorithm::eltwise_relu, alpha(0.01F)}};
  if (op == "Elu") return {{algorithm::eltwise_elu, alpha(1.0F)}};
  if (op == "Gelu") {
    const std::string approximate = attributes.get_string("approximate", "none");
    if (approximate == "none") return {{algorithm::eltwise_gelu_erf}};
    if (approximate == "tanh") return {{algorithm::eltwise_gelu_tanh}};
    base::invalid("op.attribute", "attribute 'approximate' must be none or tanh, but is '{}'", approximate);
  }
  if (op == "HardSigmoid") {
    return {{algorithm::eltwise_linear, alpha(0.2F), beta(0.5F)}, {algorithm::eltwise_clip, 0.0F, 1.0F}};
  }
  if (op == "HardSwish") return {{algorithm::eltwise_hardswish}};
  if (op == "Sigmoid") return {{algorithm::eltwise_logistic}};
  if (op == "Swish") return {{algorithm::eltwise_swish, alpha(1.0F)}};
  if (op == "Tanh") return {{algorithm::eltwise_tanh}};
  if (op == "Exp") return {{algorithm::eltwise_exp}};
  if (op == "Abs") return {{algorithm::eltwise_abs}};
  if (op == "Sqrt") return {{algorithm::eltwise_sqrt}};
  if (op == "Mish") return {{algorithm::eltwise_mish}};
  return {};
}

constexpr float kLargest = std::numeric_limits<float>::max();

// Where the bounds cross, ONNX gives the upper one.
Elementwise clip(float low, float high) {
  return {{algorithm::eltwise_clip, std::min(low, high), high}};
}

algorithm binary_algorithm(std::string_view op) {
  if (op == "Add") return algorithm::binary_add;
  if (op == "Sub") return algorithm::binary_sub;
  if (op == "Mul") return algorithm::binary_mul;
  if (op == "Div") return algorithm::binary_div;
  return op == "Max" ? algorithm::binary_max : algorithm::binary_min;
}

Shape broadcast(const Shape& a, const Shape& b) {
  Shape result;
  const int rank = std::max(a.rank(), b.rank());
  for (int i = 0; i < rank; ++i) {
    const std::int64_t x = i < rank - a.rank() ? 1 : a[i - (rank - a.rank())];
    const std::int64_t y = i < rank - b.rank() ? 1 : b[i - (rank - b.rank())];
    if (x != y && x != 1 && y != 1) {
      base::invalid("op.shape", "shapes {} and {} do not broadcast", a.to_string(), b.to_string());
    }
    result.push_back(x == 1 ? y : x);
  }
  return result;
}

// `shape` with leading ones up to `rank` dimensions.
Dims padded_dims(const Shape& shape, int rank) {
  Dims dims(static_cast<std::size_t>(std::max(rank - shape.rank(), 0)), 1);
  dims.insert(dims.end(), shape.begin(), shape.end());
  if (dims.empty()) dims.push_back(1);
  return dims;
}

// Whether one channel is broadcast to several in blocks that are not full, or to one: oneDNN 2.6 then takes the block's
// zeros for other elements.
bool spreads_into_padding(const Shape& shape, const Dims& other) {
  const int block = has_avx512() ? 16 : 8;
  return shape.rank() >= 3 && other[1] == 1 && shape[1] % block != 0;
}

// An input as `dims`, which are its own but for leading ones, in layout `desc` of those dimensions.
Stored input_as(OperatorBuilder& builder, int index, const Dims& dims, const Desc& desc) {
  if (dims == dims_of(builder.shape(index))) return builder.input(index, desc);
  if (builder.constant(index) != nullptr) return builder.packed(index, plain_desc(dims), desc);
  const Stored plain{builder.plain_input(index).buffer, plain_desc(dims)};
  if (plain.desc == desc) return plain;
  const Stored result = builder.new_buffer(desc);
  builder.reorder(plain, result);
  return result;
}

}  // namespace

BuildOperator find_builder(std::string_view op) {
  const auto* row = std::ranges::find(kOperators, op, &OperatorRow::op);
  if (row == std::end(kOperators)) {
    base::fail(ErrorCode::kUnimplemented, "op.unsupported", "oneDNN subgraphs do not hold {}", op);
  }
  return row->build;
}

bool has_algorithms(std::string_view op) {
  const auto* row = std::ranges::find(kOperators, op, &OperatorRow::op);
  return row != std::end(kOperators) && row->has_algorithms;
}

std::string kept_text(OperatorBuilder& builder) {
  std::string text;
  if (builder.input(0).desc.data_type() == Number::bf16) text += ", bf16 input";
  if (builder.output_number() == Number::bf16) text += ", bf16 output";
  return text;
}

bool is_reference(const char* implementation) {
  const std::string_view name = implementation;
  return name.starts_with("ref") || name.starts_with("simple_nchw");
}

dnnl::primitive_attr user_scratchpad() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

bool define_if_empty(OperatorBuilder& builder, const Shape& shape) {
  if (shape.element_count() != 0) return false;
  builder.define(shape, builder.new_buffer(plain_desc(dims_of(shape))));
  return true;
}

Elementwise activation_of(const tensor::Attributes& attributes) {
  const std::string name = attributes.get_string("activation", "");
  if (name.empty()) return {};
  if (name == "Clip") {
    return clip(attributes.get_float("min", -kLargest), attributes.get_float("max", kLargest));
  }
  Elementwise function = elementwise_of(name, attributes);
  if (function.empty()) base::invalid("op.attribute", "'{}' is no activation that fuses", name);
  return function;
}

bool is_residual_last(const tensor::Attributes& attributes) {
  return attributes.get_int("residual_last", 0) != 0;
}

dnnl::post_ops post_operations(Residual residual, const Desc& residual_desc, const Elementwise& activation,
                               bool residual_last) {
  dnnl::post_ops post;
  const auto add_residual = [&] {
    if (residual == Residual::kSum) post.append_sum();
    if (residual == Residual::kBinary) post.append_binary(algorithm::binary_add, residual_desc);
  };
  if (!residual_last) add_residual();
  for (const ElementwiseStep& step : activation) post.append_eltwise(1.0F, step.algorithm, step.alpha, step.beta);
  if (residual_last) add_residual();
  return post;
}

Argument residual_operand(const Stored& residual, const Elementwise& activation, bool residual_last) {
  const int position = residual_last ? static_cast<int>(activation.size()) : 0;
  return {DNNL_ARG_ATTR_MULTIPLE_POST_OP(position) | DNNL_ARG_SRC_1, residual};
}

void emit_sum(OperatorBuilder& builder, const Stored& from, const Stored& to) {
  const dnnl::binary::desc description(algorithm::binary_add, to.desc, from.desc, to.desc);
  const dnnl::binary::primitive_desc primitive(description, user_scratchpad(), engine());
  builder.emit(dnnl::binary(primitive), {{DNNL_ARG_SRC_0, to}, {DNNL_ARG_SRC_1, from}, {DNNL_ARG_DST, to}},
               primitive.scratchpad_desc());
}

void emit_elementwise(OperatorBuilder& builder, const Elementwise& function, const Stored& from, const Stored& to) {
  const Stored* source = &from;
  for (const ElementwiseStep& step : function) {
    const dnnl::eltwise_forward::desc description(prop_kind::forward_inference, step.algorithm, from.desc, step.alpha,
                                                  step.beta);
    const dnnl::eltwise_forward::primitive_desc primitive(description, user_scratchpad(), engine());
    builder.emit(dnnl::eltwise_forward(primitive), {{DNNL_ARG_SRC, *source}, {DNNL_ARG_DST, to}},
                 primitive.scratchpad_desc());
    source = &to;
  }
}

void build_elementwise(OperatorBuilder& builder) {
  const Shape shape = builder.shape(0);
  if (define_if_empty(builder, shape)) return;
  Elementwise function = elementwise_of(builder.instruction().op, builder.attributes());
  if (builder.instruction().op == "Clip") {
    function = clip(builder.scalar(1).value_or(-kLargest), builder.scalar(2).value_or(kLargest));
  }
  Stored from = builder.input(0);
  // In a layout with padded channels a function that does not keep zero runs on the reference loop.
  const dnnl::eltwise_forward::desc description(prop_kind::forward_inference, function[0].algorithm, from.desc,
                                                function[0].alpha, function[0].beta);
  const dnnl::eltwise_forward::primitive_desc primitive(description, user_scratchpad(), engine());
  if (is_reference(primitive.impl_info_str())) from = builder.plain_input(0);
  const bool in_place = builder.may_overwrite(0) && builder.input(0).buffer == from.buffer;
  const Stored to = in_place ? from : builder.new_buffer(from.desc);
  emit_elementwise(builder, function, from, to);
  builder.define(shape, to);
}

void build_binary(OperatorBuilder& builder) {
  const std::string_view op = builder.instruction().op;
  if (builder.input_count() != 2) base::invalid("op.input", "{} must have 2 inputs here", op);
  const Shape shape = broadcast(builder.shape(0), builder.shape(1));
  if (define_if_empty(builder, shape)) return;
  // oneDNN broadcasts its second operand only.
  int full = builder.shape(0) == shape ? 0 : 1;
  const bool commutes = op != "Sub" && op != "Div";
  if (builder.shape(full) != shape || (full == 1 && !commutes)) return builder.run_native(shape);
  if (commutes && builder.shape(1 - full) == shape && builder.constant(full) != nullptr) full = 1 - full;
  const int other = 1 - full;
  const Dims other_dims = padded_dims(builder.shape(other), shape.rank());
  const bool same_dims = other_dims == dims_of(shape);

  std::vector<std::pair<Desc, Desc>> candidates;
  const bool bf16 = builder.input(full).desc.data_type() == Number::bf16 ||
                    (same_dims && builder.input(other).desc.data_type() == Number::bf16);
  const Number number = bf16 ? Number::bf16 : Number::f32;
  const Desc as_is = in_number(builder.input(full).desc, number);
  if (same_dims) {
    if (is_plain(as_is) && !is_plain(builder.input(other).desc)) {
      const Desc desc = in_number(builder.input(other).desc, number);
      candidates.emplace_back(desc, desc);
    }
    candidates.emplace_back(as_is, as_is);
  } else if (!is_plain(as_is) && !spreads_into_padding(shape, other_dims)) {
    candidates.emplace_back(as_is, blocked_desc(other_dims, number));
    candidates.emplace_back(as_is, plain_desc(other_dims, number));
  }
  candidates.emplace_back(plain_desc(dims_of(shape)), plain_desc(other_dims));
  for (const auto& [full_desc, other_desc] : candidates) {
    const dnnl::binary::desc description(binary_algorithm(op), full_desc, other_desc, full_desc);
    const dnnl::binary::primitive_desc primitive(description, user_scratchpad(), engine(), true);
    if (!primitive || is_reference(primitive.impl_info_str())) continue;
    const Stored b = input_as(builder, other, other_dims, other_desc);
    const Stored a = builder.input(full, full_desc);
    const bool in_place = builder.may_overwrite(full) && builder.input(full).buffer == a.buffer;
    const Stored to = in_place ? a : builder.new_buffer(full_desc);
    builder.emit(dnnl::binary(primitive), {{DNNL_ARG_SRC_0, a}, {DNNL_ARG_SRC_1, b}, {DNNL_ARG_DST, to}},
                 primitive.scratchpad_desc());
    builder.define(shape, to);
    return;
  }
  builder.run_native(shape);
}

void build_softmax(OperatorBuilder& builder) {
  const Shape shape = builder.shape(0);
  const int axis = kernels::normalize_axis(builder.attributes().get_int("axis", -1), std::max(shape.rank(), 1));
  if (define_if_empty(builder, shape)) return;
  for (const bool plain : {false, true}) {
    const Desc desc = plain ? plain_desc(dims_of(shape)) : builder.input(0).desc;
    const dnnl::softmax_forward::desc description(prop_kind::forward_inference, desc, axis);
    const dnnl::softmax_forward::primitive_desc primitive(description, user_scratchpad(), engine(), true);
    if (!primitive || (!plain && is_reference(primitive.impl_info_str()))) continue;
    const Stored from = builder.input(0, desc);
    const Stored to = builder.new_buffer(desc);
    builder.emit(dnnl::softmax_forward(primitive), {{DNNL_ARG_SRC, from}, {DNNL_ARG_DST, to}},
                 primitive.scratchpad_desc());
    builder.define(shape, to);
    return;
  }
  builder.run_native(shape);
}

}  // namespace lanner::backends::onednn
