// MatMul, Gemm and FusedMatMul: out = activation(X W + B + residual), inputs X, W, B?, residual?, or activation(X W +
// B) + residual. Bias, residual and activation are post-operations.
#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "backends/onednn/algorithm.h"
#include "backends/onednn/operators.h"
#include "base/fail.h"

namespace lanner::backends::onednn {

namespace {

using dnnl::inner_product_forward;
using dnnl::matmul;

constexpr int kResidual = 3;

// A matrix product whose right side may be packed. `b_from` describes the right side as it lies, plain or transposed.
struct Product {
  Desc a;
  Desc b_from;
  Dims y;
  int bias_input = -1;
  float b_scale = 1.0F;
  float bias_scale = 1.0F;
  bool has_residual = false;
  Elementwise activation = {};
  bool residual_last = false;
};

// oneDNN has products as matmul and as inner product, each with kernels of its own and over its matrix multiplication
// for BLAS. Which is the fastest depends on the sizes in ways that nothing simple foretells.
struct ProductAlgorithm {
  std::string_view name;
  bool inner_product;
  bool gemm;  // the implementation over BLAS, where the best one is another
  bool bf16;
  double expected;  // time, the lower the likelier to be the least; of bfloat16, where it is preferred
};

constexpr ProductAlgorithm kProductAlgorithms[] = {
    {"matmul", false, false, false, 1.0},     {"inner-product", true, false, false, 1.1},
    {"matmul-gemm", false, true, false, 1.2}, {"inner-product-gemm", true, true, false, 1.3},
    {"matmul-bf16", false, false, true, 0.5}, {"inner-product-bf16", true, false, true, 0.6},
};

bool is_gemm(const dnnl::primitive_desc_base& primitive) {
  return std::string_view(primitive.impl_info_str()).find("gemm:jit") != std::string_view::npos;
}

class ProductBuilder {
 public:
  ProductBuilder(OperatorBuilder& builder, const Product& product, const Shape& shape)
      : builder_(builder), product_(product), shape_(shape), constant_(builder.constant(1) != nullptr) {
    if (!constant_ || product_.b_from.dims().size() != 2) return;
    const std::int64_t rows = builder.any_rows() ? kTypicalRows : product_.y[0];
    may_use_bf16_ = builder.use_of_bf16() != Bf16::kNo;
    prefers_bf16_ = builder.use_of_bf16() == Bf16::kMust ||
                    (may_use_bf16_ && prefers_bf16(rows, product_.b_from.dims()[0], product_.y[1]));
  }

  void build() {
    const ProductAlgorithm* algorithm = choose();
    const Desc a = in_number(product_.a, number_of(*algorithm));
    const Output output = place(*algorithm);
    if (algorithm->inner_product) {
      const auto primitive = make_inner_product(*algorithm, output.residual);
      emit(inner_product_forward(primitive), a, product_.b_from.permute_axes({1, 0}), primitive.weights_desc(),
           primitive.scratchpad_desc(), plain_desc({product_.y.back()}), output);
    } else {
      const auto primitive = make_matmul(*algorithm, output.residual);
      emit(matmul(primitive), a, product_.b_from, primitive.weights_desc(), primitive.scratchpad_desc(), bias_desc(),
           output);
    }
    builder_.define(shape_, {output.to.buffer, plain_desc(dims_of(shape_), output.to.desc.data_type())});
  }

 private:
  // Where the product goes, and how the residual gets there.
  struct Output {
    Stored to;
    Residual residual = Residual::kNone;
    Stored operand = {};  // for kBinary
  };

  Output place(const ProductAlgorithm& row) {
    const Desc y = y_desc(row);
    if (!product_.has_residual) return {builder_.new_buffer(y)};
    const Desc plain = plain_desc(dims_of(shape_), y.data_type());
    if (builder_.may_overwrite(kResidual) && builder_.input(kResidual).desc == plain) {
      return {{builder_.input(kResidual).buffer, y}, Residual::kSum};
    }
    if (takes_operand(row)) {
      const Number number = builder_.input(kResidual).desc.data_type();
      const Stored operand = builder_.input(kResidual, in_number(plain, number));
      return {builder_.new_buffer(y), Residual::kBinary, {operand.buffer, in_number(y, number)}};
    }
    const Stored to = builder_.new_buffer(y);
    builder_.reorder(builder_.input(kResidual), {to.buffer, plain});
    return {to, Residual::kSum};
  }

  // Whether the implementation is the same where the residual is an operand.
  bool takes_operand(const ProductAlgorithm& row) const {
    const auto same = [](const auto& sum, const auto& binary) {
      return binary && std::string_view(sum.impl_info_str()) == binary.impl_info_str();
    };
    if (row.inner_product) {
      return same(make_inner_product(row, Residual::kSum), make_inner_product(row, Residual::kBinary));
    }
    return same(make_matmul(row, Residual::kSum), make_matmul(row, Residual::kBinary, true));
  }

  const ProductAlgorithm* choose() {
    const ProductAlgorithm* result = kProductAlgorithms;
    for (const ProductAlgorithm& row : kProductAlgorithms) {
      if (row.bf16 && prefers_bf16_ && expected(row) < expected(*result) && is_candidate(row)) result = &row;
    }
    const std::string wanted = builder_.attributes().get_string(kAlgorithmAttribute, "");
    if (!wanted.empty()) {
      const auto* row = std::ranges::find(kProductAlgorithms, wanted, &ProductAlgorithm::name);
      if (row == std::end(kProductAlgorithms)) {
        base::invalid("op.attribute", "attribute 'algorithm' names no algorithm of a matrix product, but '{}'", wanted);
      }
      if (builder_.uses_choices() && is_candidate(*row)) result = row;
    }
    if (builder_.surveys()) {
      Choice choice;
      choice.problem = problem_text();
      choice.macs = static_cast<double>(shape_.element_count()) * static_cast<double>(product_.a.dims().back());
      for (const ProductAlgorithm& row : kProductAlgorithms) {
        if (is_candidate(row)) choice.candidates.push_back({std::string(row.name), expected(row)});
      }
      std::ranges::stable_sort(choice.candidates, {}, &Choice::Candidate::expected);
      choice.algorithm = result->name;
      builder_.offer(std::move(choice));
    }
    return result;
  }

  // All that the time depends on: "100x1024 by 1024x364, bias".
  std::string problem_text() const {
    std::string text =
        fmt::format("{} by {}", fmt::join(product_.a.dims(), "x"), fmt::join(product_.b_from.dims(), "x"));
    if (!is_plain(product_.a)) text += ", left side transposed";
    if (!constant_) text += is_plain(product_.b_from) ? ", both computed" : ", both computed, right side transposed";
    if (product_.bias_input >= 0) text += ", bias";
    if (product_.has_residual && !product_.residual_last) text += ", residual";
    const std::string activation = builder_.attributes().get_string("activation", "");
    if (!activation.empty()) text += ", " + activation;
    if (product_.residual_last) text += ", residual";
    if (may_use_bf16_) text += ", bf16 allowed" + kept_text(builder_);
    return text;
  }

  bool is_candidate(const ProductAlgorithm& row) const {
    if (row.bf16 && !may_use_bf16_) return false;
    const Residual residual = product_.has_residual ? Residual::kSum : Residual::kNone;
    if (!row.inner_product) return (!row.gemm && !row.bf16) || exists(make_matmul(row, residual, true), row);
    return constant_ && product_.y.size() == 2 && is_plain(product_.a) &&
           exists(make_inner_product(row, residual), row);
  }

  static bool exists(const dnnl::primitive_desc_base& primitive, const ProductAlgorithm& row) {
    return primitive.get(true) != nullptr && !(row.bf16 && is_reference(primitive.impl_info_str()));
  }

  double expected(const ProductAlgorithm& row) const {
    return row.bf16 && !prefers_bf16_ ? row.expected + 2 : row.expected;
  }

  static Number number_of(const ProductAlgorithm& row) { return row.bf16 ? Number::bf16 : Number::f32; }
  Desc y_desc(const ProductAlgorithm& row) const {
    return plain_desc(product_.y, row.bf16 ? builder_.output_number() : Number::f32);
  }

  // The best implementation or, with `gemm`, the one over BLAS if it is another; else empty.
  template <typename Description>
  static Description implementation(Description description, bool gemm) {
    if (!description || !gemm) return description;
    if (is_gemm(description)) return {};
    while (description.next_impl()) {
      if (is_gemm(description)) return description;
    }
    return {};
  }

  dnnl::primitive_attr attributes(const Desc& y, Residual residual) const {
    Desc operand;
    if (residual == Residual::kBinary) operand = in_number(y, builder_.input(kResidual).desc.data_type());
    dnnl::primitive_attr result = user_scratchpad();
    result.set_post_ops(post_operations(residual, operand, product_.activation, product_.residual_last));
    return result;
  }

  matmul::primitive_desc make_matmul(const ProductAlgorithm& row, Residual residual, bool allow_empty = false) const {
    const Desc a = in_number(product_.a, number_of(row));
    const Desc b = constant_ ? any_desc(product_.b_from.dims(), number_of(row)) : product_.b_from;
    const Desc y = y_desc(row);
    const auto description = has_bias() ? matmul::desc(a, b, bias_desc(), y) : matmul::desc(a, b, y);
    return implementation(matmul::primitive_desc(description, attributes(y, residual), engine(), allow_empty),
                          row.gemm);
  }

  inner_product_forward::primitive_desc make_inner_product(const ProductAlgorithm& row, Residual residual) const {
    const Dims b = product_.b_from.dims();
    const Desc a = in_number(product_.a, number_of(row));
    const Desc weights = any_desc({b[1], b[0]}, number_of(row));
    const Desc y = y_desc(row);
    constexpr auto kKind = dnnl::prop_kind::forward_inference;
    const auto description = has_bias()
                                 ? inner_product_forward::desc(kKind, a, weights, plain_desc({product_.y.back()}), y)
                                 : inner_product_forward::desc(kKind, a, weights, y);
    return implementation(inner_product_forward::primitive_desc(description, attributes(y, residual), engine(), true),
                          row.gemm);
  }

  bool has_bias() const { return product_.bias_input >= 0; }
  Desc bias_desc() const {
    Dims dims(product_.y.size(), 1);
    dims.back() = product_.y.back();
    return plain_desc(dims);
  }

  void emit(const dnnl::primitive& primitive, const Desc& a, const Desc& from, const Desc& weights,
            const Desc& scratchpad, const Desc& bias, const Output& output) {
    const Desc plain_a = plain_desc(dims_of(builder_.shape(0)), a.data_type());
    std::vector<Argument> arguments{{DNNL_ARG_SRC, {builder_.input(0, plain_a).buffer, a}}, {DNNL_ARG_DST, output.to}};
    arguments.push_back({DNNL_ARG_WEIGHTS, constant_ ? builder_.packed(1, from, weights, product_.b_scale)
                                                     : Stored{builder_.plain_input(1).buffer, product_.b_from}});
    if (has_bias()) {
      arguments.push_back({DNNL_ARG_BIAS, builder_.packed(product_.bias_input, bias, bias, product_.bias_scale)});
    }
    if (output.residual == Residual::kBinary) {
      arguments.push_back(residual_operand(output.operand, product_.activation, product_.residual_last));
    }
    builder_.emit(primitive, std::move(arguments), scratchpad);
  }

  OperatorBuilder& builder_;
  const Product& product_;
  const Shape& shape_;
  bool constant_;
  bool may_use_bf16_ = false;
  bool prefers_bf16_ = false;
};

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
    return ProductBuilder(builder, {plain_desc(a_dims), plain_desc(b_dims), {rows, b[1]}}, shape).build();
  }
  ProductBuilder(builder, {plain_desc(a_dims), plain_desc(b_dims), dims_of(shape)}, shape).build();
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
  ProductBuilder(
      builder,
      {transpose_a ? transposed_desc(a_dims) : plain_desc(a_dims),
       transpose_b ? transposed_desc(b_dims) : plain_desc(b_dims), dims_of(shape), has_bias ? 2 : -1, alpha, beta},
      shape)
      .build();
}

void build_fused_matmul(OperatorBuilder& builder) {
  const Shape a = builder.shape(0);
  const Shape b = builder.shape(1);
  if (a.rank() < 2 || b.rank() != 2) {
    base::invalid("op.rank", "the left side must have rank 2 or more and the right side 2, but they have {} and {}",
                  a.rank(), b.rank());
  }
  const bool transposed = builder.attributes().get_int("transB", 0) != 0;
  const std::int64_t depth = a[a.rank() - 1];
  const Dims b_dims{b[transposed ? 1 : 0], b[transposed ? 0 : 1]};
  if (b_dims[0] != depth) {
    base::invalid("op.shape", "shapes {} and {} cannot be multiplied", a.to_string(), b.to_string());
  }
  Shape shape = a;
  shape[a.rank() - 1] = b_dims[1];
  const bool has_bias = builder.has(2);
  if (has_bias && builder.shape(2) != Shape{b_dims[1]}) {
    base::invalid("op.shape", "the bias must have shape [{}], but has {}", b_dims[1], builder.shape(2).to_string());
  }
  const bool has_residual = builder.has(kResidual);
  if (has_residual && builder.shape(kResidual) != shape) {
    base::invalid("op.shape", "the residual must have shape {}, but has {}", shape.to_string(),
                  builder.shape(kResidual).to_string());
  }
  Elementwise activation = activation_of(builder.attributes());
  if (define_if_empty(builder, shape)) return;
  if (depth == 0 || builder.constant(1) == nullptr || (has_bias && builder.constant(2) == nullptr)) {
    return builder.run_native(shape);
  }
  const std::int64_t rows = a.element_count(0, a.rank() - 1);
  ProductBuilder(builder,
                 {plain_desc({rows, depth}),
                  transposed ? transposed_desc(b_dims) : plain_desc(b_dims),
                  {rows, b_dims[1]},
                  has_bias ? 2 : -1,
                  1.0F,
                  1.0F,
                  has_residual,
                  std::move(activation),
                  has_residual && is_residual_last(builder.attributes())},
                 shape)
      .build();
}

}  // namespace lanner::backends::onednn
