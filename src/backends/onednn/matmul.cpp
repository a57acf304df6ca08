// MatMul and Gemm.
#include <algorithm>
#include <vector>

#include "backends/onednn/operators.h"
#include "base/fail.h"

namespace lanner::backends::onednn {

namespace {

using dnnl::matmul;

// A matrix product whose right side may be packed. `b_from` describes the right side as it lies, plain or transposed.
struct Product {
  Desc a;
  Desc b_from;
  Dims y;
  int bias_input = -1;
  float b_scale = 1.0F;
  float bias_scale = 1.0F;
};

void emit_product(OperatorBuilder& builder, const Product& product, const Shape& shape) {
  const bool constant = builder.constant(1) != nullptr;
  const Desc b = constant ? any_desc(product.b_from.dims()) : product.b_from;
  const Desc y = plain_desc(product.y);
  Dims bias_dims(product.y.size(), 1);
  bias_dims.back() = product.y.back();
  const Desc bias = plain_desc(bias_dims);
  const auto description =
      product.bias_input >= 0 ? matmul::desc(product.a, b, bias, y) : matmul::desc(product.a, b, y);
  const matmul::primitive_desc primitive(description, user_scratchpad(), engine());
  const Stored to = builder.new_buffer(y);
  std::vector<Argument> arguments{{DNNL_ARG_SRC, {builder.plain_input(0).buffer, product.a}}, {DNNL_ARG_DST, to}};
  arguments.push_back(
      {DNNL_ARG_WEIGHTS, constant ? builder.packed(1, product.b_from, primitive.weights_desc(), product.b_scale)
                                  : Stored{builder.plain_input(1).buffer, product.b_from}});
  if (product.bias_input >= 0) {
    arguments.push_back({DNNL_ARG_BIAS, builder.packed(product.bias_input, bias, bias, product.bias_scale)});
  }
  builder.emit(matmul(primitive), std::move(arguments), primitive.scratchpad_desc());
  builder.define(shape, {to.buffer, plain_desc(dims_of(shape))});
}

// The strides of a plain matrix read as its transpose.
Desc transposed_desc(const Dims& dims) {
  return {dims, dnnl::memory::data_type::f32, Dims{1, std::max<dnnl::memory::dim>(dims[0], 1)}};
}

}  // namespace

void build_matmul(OperatorBuilder& builder) {
  const Shape a = builder.shape(0);
  const Shape b = builder.shape(1);
  if (a.rank() < 2 || b.rank() < 2) base::invalid("op.rank", "both sides must have rank 2 or more here");
  const std::int64_t depth = a[a.rank() - 1];
  if (b[b.rank() - 2] != depth) {
    base::invalid("op.shape", "shapes {} and {} cannot be multiplied", a.to_string(), b.to_string());
  }
  // The leading dimensions broadcast.
  const int rank = std::max(a.rank(), b.rank());
  Dims a_dims(static_cast<std::size_t>(rank), 1);
  Dims b_dims = a_dims;
  std::copy(a.begin(), a.end(), a_dims.end() - a.rank());
  std::copy(b.begin(), b.end(), b_dims.end() - b.rank());
  Shape shape;
  for (int i = 0; i < rank - 2; ++i) {
    const auto at = static_cast<std::size_t>(i);
    if (a_dims[at] != b_dims[at] && a_dims[at] != 1 && b_dims[at] != 1) {
      base::invalid("op.shape", "shapes {} and {} cannot be multiplied", a.to_string(), b.to_string());
    }
    shape.push_back(a_dims[at] == 1 ? b_dims[at] : a_dims[at]);
  }
  shape.push_back(a[a.rank() - 2]);
  shape.push_back(b[b.rank() - 1]);
  if (define_if_empty(builder, shape)) return;
  if (depth == 0) return builder.run_native(shape);
  if (b.rank() == 2) {
    // One flat product, whatever the rank of the left side.
    const std::int64_t rows = a.element_count(0, a.rank() - 1);
    a_dims = {rows, depth};
    b_dims = dims_of(b);
    return emit_product(builder, {plain_desc(a_dims), plain_desc(b_dims), {rows, b[1]}}, shape);
  }
  emit_product(builder, {plain_desc(a_dims), plain_desc(b_dims), dims_of(shape)}, shape);
}

void build_gemm(OperatorBuilder& builder) {
  const Shape a = builder.shape(0);
  const Shape b = builder.shape(1);
  if (a.rank() != 2 || b.rank() != 2) base::invalid("op.rank", "both sides must have rank 2");
  const bool transpose_a = builder.attributes().get_int("transA", 0) != 0;
  const bool transpose_b = builder.attributes().get_int("transB", 0) != 0;
  const float alpha = builder.attributes().get_float("alpha", 1.0F);
  const float beta = builder.attributes().get_float("beta", 1.0F);
  const Dims a_dims{a[transpose_a ? 1 : 0], a[transpose_a ? 0 : 1]};
  const Dims b_dims{b[transpose_b ? 1 : 0], b[transpose_b ? 0 : 1]};
  if (a_dims[1] != b_dims[0]) {
    base::invalid("op.shape", "shapes {} and {} cannot be multiplied", a.to_string(), b.to_string());
  }
  const Shape shape{a_dims[0], b_dims[1]};
  if (define_if_empty(builder, shape)) return;
  const bool has_bias = builder.has(2) && beta != 0.0F;
  const bool row_bias = has_bias && builder.constant(2) != nullptr && builder.shape(2).rank() >= 1 &&
                        builder.shape(2).rank() <= 2 && builder.shape(2).element_count() == shape[1] &&
                        builder.shape(2)[builder.shape(2).rank() - 1] == shape[1];
  const bool scaled = alpha != 1.0F && builder.constant(1) == nullptr;
  if (a_dims[1] == 0 || scaled || (has_bias && !row_bias)) return builder.run_native(shape);
  emit_product(
      builder,
      {transpose_a ? transposed_desc(a_dims) : plain_desc(a_dims),
       transpose_b ? transposed_desc(b_dims) : plain_desc(b_dims), dims_of(shape), has_bias ? 2 : -1, alpha, beta},
      shape);
}

}  // namespace lanner::backends::onednn
