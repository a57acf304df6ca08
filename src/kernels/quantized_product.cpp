// MatMulInteger, QLinearMatMul, ConvInteger and QLinearConv: products of quantised elements, less their zero points.
// Whole numbers are multiplied and summed in 32 bits, which wrap; 8-bit floats in float32. The QLinear operators scale
// the sums by input scales / output scale in float32, round them and add the output's zero point.
//
// With left l of zero points a, and right r of zero points b, the sum of (l - a)(r - b) is that of l r, less a times
// the sum of r, less b times the sum of l, plus a b for each element summed. So elements are multiplied as they are.
//
// A convolution's left side are its weights; panels of the right side are gathered from its input, a column an output.
// One with a channel a group has one row on its left side, and takes its columns from the input as they lie there.
#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/conv.h"
#include "kernels/gemm.h"
#include "kernels/integer_product.h"
#include "kernels/kernel.h"
#include "kernels/quantization.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

using Bytes = tensor::TypeList<std::int8_t, std::uint8_t>;
using Floats =
    tensor::TypeList<tensor::Float8E4M3FN, tensor::Float8E4M3FNUZ, tensor::Float8E5M2, tensor::Float8E5M2FNUZ>;

bool is_byte(const Tensor& tensor) {
  return tensor.element_type() == ElementType::kInt8 || tensor.element_type() == ElementType::kUint8;
}

void check_byte(const Tensor& tensor, std::string_view name) {
  if (is_byte(tensor)) return;
  base::invalid("op.type", "input '{}' must be int8 or uint8, but is {}", name,
                element_type_name(tensor.element_type()));
}

void check_zero_point(const Tensor& x, const Tensor* zero_point, std::string_view name) {
  if (zero_point == nullptr || zero_point->element_type() == x.element_type()) return;
  base::invalid("op.type", "the zero point of input '{}' must be {} as the input is, but is {}", name,
                element_type_name(x.element_type()), element_type_name(zero_point->element_type()));
}

// An operand less its zero points, as scratch memory. `view` is the shape under which the zero points broadcast to it;
// null ones are 0.
Tensor centered(KernelContext& context, const Tensor& x, const Tensor* zero_point, const Shape& view) {
  Tensor result = context.allocate_scratch(ElementType::kFloat32, x.shape());
  tensor::dispatch(decltype(Bytes{} + Floats{}){}, x.element_type(), "a quantised product", [&]<typename T>() {
    const T zero{};
    const BroadcastPlan plan = plan_broadcast(x.shape(), {&x.shape(), &view});
    map_broadcast(context.threads(), plan, x.data<T>(), zero_point != nullptr ? zero_point->data<T>() : &zero,
                  result.data<float>(),
                  [](T element, T offset) { return static_cast<float>(element) - static_cast<float>(offset); });
  });
  return result;
}

// What becomes of exact sums: they stay int32, or are scaled and quantised.
class Output {
 public:
  explicit Output(Tensor& y) : y_(y) {}
  Output(Tensor& y, const Tensor& zero_point) : y_(y), scales_(true) {
    const ElementType type = zero_point.element_type();
    const IntegerProductLoops& loops = integer_product_loops_of_cpu().get();
    if (type == ElementType::kInt8) quantize_ = loops.quantize_int8;
    if (type == ElementType::kUint8) quantize_ = loops.quantize_uint8;
    write_ = quantized_writer_of<float>(type, true);
    reader_of<float>(type, "the zero point")(zero_point.raw_data(), 0, 1, &zero_point_);
    if (quantize_ != nullptr) whole_zero_point_ = static_cast<std::int32_t>(zero_point_);
  }

  // Elements [begin, begin + count) of y; of those that are scaled with the factors, which has a step of 0 or 1. The
  // sums are changed.
  void write(const IntegerProductLoops& loops, std::int64_t begin, std::int64_t count, std::int32_t* sums,
             const SumCorrection& correction, const float* factors, std::int64_t step) const {
    if (!scales_) return loops.correct(sums, count, correction, static_cast<std::int32_t*>(y_.raw_data()) + begin);
    const bool by_columns = correction.columns[0] != nullptr || correction.columns[1] != nullptr;
    const bool corrects = by_columns || quantize_ == nullptr;
    if (corrects) loops.correct(sums, count, correction, sums);
    if (quantize_ != nullptr) {
      quantize_(sums, count, corrects ? 0 : correction.constant, factors, step, whole_zero_point_,
                static_cast<std::uint8_t*>(y_.raw_data()) + begin);
      return;
    }
    constexpr std::int64_t kPiece = 256;
    std::array<float, kPiece> piece;
    float* const numbers = piece.data();
    for (std::int64_t first = 0; first < count; first += kPiece) {
      const std::int64_t length = std::min(kPiece, count - first);
      for (std::int64_t i = 0; i < length; ++i) {
        numbers[i] = static_cast<float>(sums[first + i]) * factors[(first + i) * step];
      }
      write_(numbers, &zero_point_, 0, length, y_.raw_data(), begin + first);
    }
  }

 private:
  Tensor& y_;
  bool scales_ = false;
  decltype(IntegerProductLoops::quantize_int8) quantize_ = nullptr;
  WriteQuantized<float> write_ = nullptr;
  float zero_point_ = 0;
  std::int32_t whole_zero_point_ = 0;
};

// Numbers of which there is one for all, one for each row (column) of a matrix, or one for each of all matrices.
template <typename T>
struct RepeatedNumbers {
  std::vector<T> values;

  T operator[](std::int64_t index) const {
    return values[static_cast<std::size_t>(values.size() == 1 ? 0 : index % static_cast<std::int64_t>(values.size()))];
  }
  bool is_single() const { return values.size() == 1; }
};

// Zero points of bytes with flipped bits, as int8 or uint8 says; null ones are 0.
template <typename T>
RepeatedNumbers<std::int32_t> flipped_zero_points(const Tensor* zero_points, std::uint8_t flip) {
  RepeatedNumbers<std::int32_t> result{{static_cast<T>(flip)}};
  if (zero_points == nullptr) return result;
  const auto* const bytes = static_cast<const std::uint8_t*>(zero_points->raw_data());
  result.values.resize(static_cast<std::size_t>(zero_points->element_count()));
  for (std::size_t i = 0; i < result.values.size(); ++i) result.values[i] = static_cast<T>(bytes[i] ^ flip);
  return result;
}

RepeatedNumbers<float> read_scales(KernelContext& context, const Tensor& scale, std::string_view name) {
  const Tensor values = read_elements<float>(context, scale, name);
  const auto elements = values.values<float>();
  return {{elements.begin(), elements.end()}};
}

std::uint32_t wrapped(std::int64_t value) {
  return static_cast<std::uint32_t>(value);
}

bool is_single(const Tensor& tensor) {
  return tensor.element_count() == 1;
}

const Tensor& require_single(const Tensor& tensor, std::string_view name) {
  if (!is_single(tensor)) {
    base::invalid("op.shape", "input '{}' must hold one element, but has shape {}", name, tensor.shape().to_string());
  }
  return tensor;
}

float read_single(const Tensor& tensor, std::string_view name) {
  float value = 0;
  using Scales = decltype(tensor::TypeList<float>{} + tensor::HalfTypes{});
  require_single(tensor, name);
  tensor::dispatch(Scales{}, tensor.element_type(), name, [&]<typename T>() { value = *tensor.data<T>(); });
  return value;
}

// ---- matrices -----------------------------------------------------------------------------------------------------

enum class Along : std::uint8_t { kRows, kColumns };

// The shape under which the scale or zero point of a matrix operand broadcasts to it: one for all, or one for each row
// (column), as a vector or with the operand's leading dimensions.
Shape matrix_parameter(const Shape& operand, Along along, const Tensor* parameter, std::string_view name) {
  if (parameter == nullptr || is_single(*parameter)) return {};
  const Shape& given = parameter->shape();
  const int rank = operand.rank();
  if (rank >= 2) {
    if (given == Shape{operand[along == Along::kRows ? rank - 2 : rank - 1]}) {
      return along == Along::kRows ? Shape{given[0], 1} : given;
    }
    Shape full = operand;
    full[along == Along::kRows ? rank - 1 : rank - 2] = 1;
    if (given == full) return given;
  }
  base::invalid("op.shape", "input '{}' of shape {} is neither one number nor one for each {} of shape {}", name,
                given.to_string(), along == Along::kRows ? "row" : "column", operand.to_string());
}

// An output whose scales vary along rows, columns, neither or both.
struct Scaling {
  RepeatedNumbers<float> rows{{1}};
  RepeatedNumbers<float> columns{{1}};
  float divisor = 1;

  float factor(std::int64_t row, std::int64_t column) const { return rows[row] * columns[column] / divisor; }
};

// `packed` is b where it is constant, or null.
void multiply_bytes(KernelContext& context, const MatMulPlan& plan, const Tensor& a, const Tensor* a_zero_point,
                    const Tensor& b, const Tensor* b_zero_point, const PackedRight* packed, const Scaling& scaling,
                    const Output& output) {
  matrix_parameter(a.shape(), Along::kRows, a_zero_point, "a_zero_point");
  matrix_parameter(b.shape(), Along::kColumns, b_zero_point, "b_zero_point");
  const std::int64_t n = plan.n;
  const std::int64_t k = plan.k;
  if (plan.shape.element_count() == 0) return;
  const PackedLeft left(context.threads(), context.allocator(), static_cast<const std::uint8_t*>(a.raw_data()),
                        plan.a_batch.element_count() * plan.m, k, left_flip(a.element_type()));
  const IntegerProductLoops& loops = left.loops();
  const std::uint8_t b_flip = right_flip(b.element_type());
  const RepeatedNumbers<std::int32_t> a_zeros =
      flipped_zero_points<std::int8_t>(a_zero_point, left_flip(a.element_type()));
  const RepeatedNumbers<std::int32_t> b_zeros = flipped_zero_points<std::uint8_t>(b_zero_point, b_flip);
  const bool sums_columns = std::ranges::any_of(a_zeros.values, [](std::int32_t zero) { return zero != 0; });

  // All of a's matrices times one are a single tall product. Otherwise: the matrices of each product.
  const std::int64_t b_count = plan.b_batch.element_count();
  const std::int64_t products = b_count == 1 ? 1 : plan.batch.element_count();
  const std::int64_t rows = b_count == 1 ? plan.batch.element_count() * plan.m : plan.m;
  std::vector<std::int64_t> a_matrices(static_cast<std::size_t>(products));
  std::vector<std::int64_t> b_matrices(static_cast<std::size_t>(products));
  if (b_count != 1) {
    const BroadcastPlan loop = plan_broadcast(plan.batch, {&plan.a_batch, &plan.b_batch});
    for_each_row<2>(loop, 0, products,
                    [&](std::int64_t out, const std::array<std::int64_t, 2>& offsets, std::int64_t count) {
                      for (std::int64_t i = 0; i < count; ++i) {
                        a_matrices[static_cast<std::size_t>(out + i)] = offsets[0] + i * loop.strides[0][0];
                        b_matrices[static_cast<std::size_t>(out + i)] = offsets[1] + i * loop.strides[1][0];
                      }
                    });
  }

  // A column's zero point is the first one's and a difference; there are none where all are alike.
  const std::int32_t b_zero = b_zeros[0];
  std::vector<std::uint32_t> differences;
  if (!b_zeros.is_single()) {
    for (std::int64_t i = 0; i < b_count * n; ++i) differences.push_back(wrapped(b_zeros[i] - b_zero));
  }
  // Of each of b's columns, where there is one set of factors for all rows.
  std::vector<float> factors;
  if (scaling.rows.is_single()) {
    for (std::int64_t i = 0; i < (scaling.columns.is_single() ? 1 : b_count * n); ++i) {
      factors.push_back(scaling.factor(0, i));
    }
  }

  const auto first_row = [&](std::int64_t product) { return a_matrices[static_cast<std::size_t>(product)] * plan.m; };
  const auto panel_of = [&](std::int64_t product, std::int64_t column) -> const std::uint32_t* {
    return packed != nullptr ? packed->panel(b_matrices[static_cast<std::size_t>(product)], column) : nullptr;
  };
  const auto make_reader = [&] {
    return [&, reader = RowReader(loops, packed != nullptr ? 0 : k, b_flip)](
               std::int64_t product, std::int64_t column, std::int64_t width, std::int64_t first, std::int64_t last,
               std::uint32_t* to) mutable {
      const auto* const matrix =
          static_cast<const std::uint8_t*>(b.raw_data()) + b_matrices[static_cast<std::size_t>(product)] * k * n;
      reader.pack(matrix, n, column, width, first, last, to);
    };
  };
  const auto finish = [&](std::int64_t product, std::int64_t row, std::int64_t column, std::int64_t count,
                          std::int32_t* sums, const std::uint32_t* column_sums) {
    const std::int64_t left_row = first_row(product) + row;
    const std::int64_t matrix = b_matrices[static_cast<std::size_t>(product)];
    const std::int64_t right_column = matrix * n + column;
    const std::int64_t a_zero = a_zeros[left_row];
    SumCorrection correction;
    correction.constant = wrapped(k * a_zero * b_zero) - left.sum(left_row) * wrapped(b_zero);
    correction.factors[0] = wrapped(-a_zero);
    if (sums_columns) correction.columns[0] = packed != nullptr ? packed->sums(matrix) + column : column_sums;
    if (!differences.empty()) {
      correction.factors[1] = wrapped(k * a_zero) - left.sum(left_row);
      correction.columns[1] = differences.data() + right_column;
    }
    std::array<float, kMaxPanelColumns> row_factors;
    const float* used = row_factors.data();
    std::int64_t step = 0;
    if (!factors.empty()) {
      step = scaling.columns.is_single() ? 0 : 1;
      used = factors.data() + step * right_column;
    } else if (scaling.columns.is_single()) {
      row_factors[0] = scaling.factor(left_row, 0);
    } else {
      step = 1;
      for (std::int64_t i = 0; i < count; ++i) {
        row_factors[static_cast<std::size_t>(i)] = scaling.factor(left_row, right_column + i);
      }
    }
    output.write(loops, (product * rows + row) * n + column, count, sums, correction, used, step);
  };
  multiply_tiles(context, left, {products, rows, n}, sums_columns && packed == nullptr, first_row, panel_of,
                 make_reader, finish);
}

// Constant int8 or uint8 matrices, packed.
std::optional<PackedRight> packed_matrices(const KernelInfo& info, std::size_t input) {
  const Tensor* const b = info.constant(input);
  if (b == nullptr || !is_byte(*b) || b->rank() == 0 || b->element_count() == 0) return std::nullopt;
  const int rank = b->rank();
  const std::int64_t columns = rank == 1 ? 1 : b->shape()[rank - 1];
  const std::int64_t depth = b->shape()[std::max(rank - 2, 0)];
  return PackedRight(1, heap_allocator(), static_cast<const std::uint8_t*>(b->raw_data()),
                     b->element_count() / depth / columns, depth, columns, right_flip(b->element_type()));
}

void run_matmul_integer(KernelContext& context, const PackedRight* packed) {
  const Tensor& a = context.input(0);
  const Tensor& b = context.input(1);
  check_byte(a, "A");
  check_byte(b, "B");
  check_zero_point(a, context.optional_input(2), "A");
  check_zero_point(b, context.optional_input(3), "B");
  const MatMulPlan plan = plan_matmul(a.shape(), b.shape());
  Tensor& y = context.allocate_output(0, ElementType::kInt32, plan.shape);
  multiply_bytes(context, plan, a, context.optional_input(2), b, context.optional_input(3), packed, {}, Output(y));
}

// A matrix operand's scales, under the shape that broadcasts.
Tensor matrix_scales(KernelContext& context, const Shape& operand, Along along, const Tensor& scale,
                     std::string_view name) {
  const Shape view = matrix_parameter(operand, along, &scale, name);
  return read_elements<float>(context, scale, name).reshaped(view);
}

// The product of operands one of which at least holds 8-bit floats.
void multiply_floats(KernelContext& context, const MatMulPlan& plan, const Tensor& a, const Tensor& b, float y_scale,
                     const Tensor& y_zero_point, Tensor& y) {
  const Tensor a_scales = matrix_scales(context, a.shape(), Along::kRows, context.input(1), "a_scale");
  const Tensor b_scales = matrix_scales(context, b.shape(), Along::kColumns, context.input(4), "b_scale");
  const Tensor* a_zero = context.optional_input(2);
  const Tensor* b_zero = context.optional_input(5);
  const Tensor left = centered(context, a, a_zero, matrix_parameter(a.shape(), Along::kRows, a_zero, "a_zero_point"));
  const Tensor right =
      centered(context, b, b_zero, matrix_parameter(b.shape(), Along::kColumns, b_zero, "b_zero_point"));
  Tensor sums = context.allocate_scratch(ElementType::kFloat32, plan.shape);
  multiply(context.threads(), plan, left.data<float>(), right.data<float>(), sums.data<float>());
  // With the dimensions that vectors drop, which the other operand's scales may have.
  Shape view = plan.batch;
  view.push_back(plan.m);
  view.push_back(plan.n);
  const WriteQuantized<float> write = quantized_writer_of<float>(y_zero_point.element_type(), true);
  float offset = 0;
  reader_of<float>(y_zero_point.element_type(), "the zero point")(y_zero_point.raw_data(), 0, 1, &offset);
  const BroadcastPlan scales = plan_broadcast(view, {&view, &a_scales.shape(), &b_scales.shape()});
  const std::int64_t a_step = (scales.moving & 2u) != 0 ? 1 : 0;
  const std::int64_t b_step = (scales.moving & 4u) != 0 ? 1 : 0;
  float* const numbers = sums.data<float>();
  base::parallel_for(context.threads(), scales.count, kElementGrain, [&](std::int64_t begin, std::int64_t end) {
    for_each_row<3>(scales, begin, end,
                    [&](std::int64_t at, const std::array<std::int64_t, 3>& offsets, std::int64_t length) {
                      const float* left_scale = a_scales.data<float>() + offsets[1];
                      const float* right_scale = b_scales.data<float>() + offsets[2];
                      for (std::int64_t i = 0; i < length; ++i) {
                        numbers[at + i] *= left_scale[i * a_step] * right_scale[i * b_step] / y_scale;
                      }
                    });
    write(numbers + begin, &offset, 0, end - begin, y.raw_data(), begin);
  });
}

void run_qlinear_matmul(KernelContext& context, const PackedRight* packed) {
  const Tensor& a = context.input(0);
  const Tensor& b = context.input(3);
  check_zero_point(a, context.optional_input(2), "a");
  check_zero_point(b, context.optional_input(5), "b");
  const MatMulPlan plan = plan_matmul(a.shape(), b.shape());
  const float y_scale = read_single(context.input(6), "y_scale");
  const Tensor& y_zero_point = require_single(context.input(7), "y_zero_point");
  Tensor& y = context.allocate_output(0, y_zero_point.element_type(), plan.shape);
  if (!is_byte(a) || !is_byte(b)) return multiply_floats(context, plan, a, b, y_scale, y_zero_point, y);
  matrix_parameter(a.shape(), Along::kRows, &context.input(1), "a_scale");
  matrix_parameter(b.shape(), Along::kColumns, &context.input(4), "b_scale");
  const Scaling scaling{read_scales(context, context.input(1), "a_scale"),
                        read_scales(context, context.input(4), "b_scale"), y_scale};
  multiply_bytes(context, plan, a, context.optional_input(2), b, context.optional_input(5), packed, scaling,
                 Output(y, y_zero_point));
}

// ---- convolutions -------------------------------------------------------------------------------------------------

// Throws `op.shape` unless there is one for all, or one for each output channel.
void check_channel_parameter(std::int64_t channels, const Tensor* parameter, std::string_view name) {
  if (parameter == nullptr || is_single(*parameter) || parameter->shape() == Shape{channels}) return;
  base::invalid("op.shape", "input '{}' must be one number or one for each of {} output channels, but has shape {}",
                name, channels, parameter->shape().to_string());
}

// What is written of each output channel.
struct Channels {
  std::vector<std::uint32_t> constants;
  RepeatedNumbers<std::int32_t> zero_points;  // of the weights
  std::vector<float> factors;                 // empty where nothing is scaled

  SumCorrection correction(std::int64_t channel, const std::uint32_t* column_sums) const {
    SumCorrection result;
    result.constant = constants[static_cast<std::size_t>(channel)];
    result.factors[0] = wrapped(-zero_points[channel]);
    result.columns[0] = column_sums;
    return result;
  }
  const float* factor(std::int64_t channel) const { return factors.empty() ? nullptr : factors.data() + channel; }
};

// Bytes that loops may read behind the last one.
std::int64_t padded_slack(const IntegerProductLoops& loops) {
  return loops.panel_columns;
}

// Gathers panels of the columns of a convolution's input, which is in its padded form.
class WindowReader {
 public:
  WindowReader(const IntegerProductLoops& loops, Allocator& allocator, const PaddedConv& conv,
               const std::vector<std::int64_t>& offsets, std::uint8_t flip)
      : loops_(loops),
        conv_(conv),
        offsets_(offsets),
        flip_(flip),
        rows_(static_cast<std::size_t>(kDepth)),
        gathered_(Tensor::allocate(ElementType::kUint8, {kDepth, 2 * loops.panel_columns}, allocator)) {
    std::ranges::fill(gathered_.values<std::uint8_t>(), std::uint8_t{0});
    for (std::int64_t i = 0; i < kDepth; ++i) {
      rows_[static_cast<std::size_t>(i)] = gathered_.data<std::uint8_t>() + i * 2 * loops.panel_columns;
    }
  }

  // Outputs [column, column + width) of the group whose first channel is at `x`, elements [first, last) along the
  // depth.
  void pack(const std::uint8_t* x, std::int64_t column, std::int64_t width, std::int64_t first, std::int64_t last,
            std::uint32_t* to) {
    stretches_.clear();
    const std::int64_t row_width = conv_.window.output[2];
    for (std::int64_t at = 0; at < width;) {
      const std::int64_t place = (column + at) % row_width;
      stretches_.push_back({conv_.output_row((column + at) / row_width) + place, at});
      at += row_width - place;
    }
    for (; first < last; first += kDepth) {
      const std::int64_t taken = std::min(kDepth, last - first);
      loops_.gather(x, offsets_.data() + first, taken, stretches_.data(), static_cast<std::int64_t>(stretches_.size()),
                    gathered_.data<std::uint8_t>(), 2 * loops_.panel_columns);
      loops_.pack_right(rows_.data(), taken, 0, width, flip_, to);
      to += kDepth / loops_.cell_depth * panel_pitch(loops_, width);
    }
  }

 private:
  // Elements along the depth that are gathered before they are packed; whole cells.
  static constexpr std::int64_t kDepth = 64;

  const IntegerProductLoops& loops_;
  const PaddedConv& conv_;
  const std::vector<std::int64_t>& offsets_;
  std::uint8_t flip_;
  std::vector<const std::uint8_t*> rows_;
  std::vector<ColumnStretch> stretches_;
  Tensor gathered_;
};

// copy_padded() without pads, for rows of at most 16 elements without stride. Each is copied with the padding behind
// it, which the row after it overwrites.
void copy_narrow(const PaddedConv& conv, std::int64_t first, std::int64_t last, const std::uint8_t* x,
                 std::uint8_t padding, std::uint8_t* padded) {
  constexpr std::int64_t kWidth = 16;
  const WindowDims input = conv.window.input;
  const WindowDims pad = conv.window.pad_begin;
  const std::int64_t width = std::min(input[2], conv.pitch - pad[2]);
  // As two words, which stay in registers.
  using Row = std::array<std::uint64_t, 2>;
  Row keep;
  Row fill;
  std::array<std::uint8_t, kWidth> bytes;
  std::fill(std::fill_n(bytes.begin(), width, std::uint8_t{0xff}), bytes.end(), std::uint8_t{0});
  std::memcpy(keep.data(), bytes.data(), kWidth);
  std::fill(std::fill_n(bytes.begin(), width, std::uint8_t{0}), bytes.end(), padding);
  std::memcpy(fill.data(), bytes.data(), kWidth);
  const std::uint8_t* const end = x + conv.batch * conv.groups * conv.inputs * input[0] * input[1] * input[2];
  // Rows of the padded form that are read and that the input has.
  const std::int64_t rows = std::min(input[1], conv.height - pad[1]);
  for (std::int64_t channel = first; channel < last; ++channel) {
    for (std::int64_t d = 0; d < std::min(input[0], conv.depth - pad[0]); ++d) {
      const std::uint8_t* from = x + (channel * input[0] + d) * input[1] * input[2];
      std::uint8_t* to =
          padded + (((channel - first) * conv.depth + d + pad[0]) * conv.height + pad[1]) * conv.pitch + pad[2];
      for (std::int64_t h = 0; h < rows; ++h, from += input[2], to += conv.pitch) {
        Row row{};
        if (end - from >= kWidth)
          std::memcpy(row.data(), from, kWidth);
        else
          std::memcpy(row.data(), from, static_cast<std::size_t>(width));
        row = {(row[0] & keep[0]) | fill[0], (row[1] & keep[1]) | fill[1]};
        std::memcpy(to, row.data(), kWidth);
      }
    }
  }
}

// Convolutions with one channel a group, a channel at a time. Where rows of outputs have no stride between them, many
// are one run of columns, with gaps that are closed afterwards.
void convolve_channels(KernelContext& context, const PaddedConv& conv, const std::uint8_t* x, std::uint8_t padding,
                       std::uint8_t flip, const PackedLeft& weights, const Channels& channels, bool sums_columns,
                       const Output& output) {
  const IntegerProductLoops& loops = weights.loops();
  const std::int64_t size = Shape{conv.depth, conv.height, conv.phases, conv.pitch}.element_count();
  const std::int64_t height = conv.window.output[1];
  const std::int64_t width = conv.window.output[2];
  const bool dense = conv.window.stride[1] == 1 && conv.phases == 1;
  const std::int64_t pitch = dense ? conv.pitch : width;
  const bool narrow = conv.window.stride[2] == 1 && conv.window.input[2] <= 16 && conv.pitch > conv.window.pad_begin[2];
  // Rows whose sums are kept before they are written.
  const std::int64_t block = std::clamp<std::int64_t>(1024 / pitch, 1, height);
  const std::vector<std::int64_t> offsets = conv.tap_offsets();
  const auto taps = static_cast<std::int64_t>(offsets.size());
  const PackedLeft ones = row_of_ones(context.allocator(), taps);
  const std::int64_t plane = conv.window.output[0] * height * width;
  // Channels that are copied at a time.
  const std::int64_t copied = std::clamp<std::int64_t>(8192 / size, 1, conv.groups);
  const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(plane * taps / 8, 1));
  base::parallel_for(context.threads(), conv.batch * conv.groups, grain, [&](std::int64_t begin, std::int64_t end) {
    Tensor padded = Tensor::allocate(ElementType::kUint8, {copied * size + padded_slack(loops)}, context.allocator());
    std::ranges::fill(padded.values<std::uint8_t>(), padding);
    std::vector<const std::uint8_t*> rows(static_cast<std::size_t>(weights.row_cells() * loops.cell_depth),
                                          padded.data<std::uint8_t>());
    for (std::size_t i = 0; i < offsets.size(); ++i) rows[i] += offsets[i];
    std::vector<std::int32_t> sums(static_cast<std::size_t>(block * pitch + loops.panel_columns));
    std::vector<std::int32_t> column_sums(sums_columns ? sums.size() : 0);
    std::vector<std::int32_t> with_gaps(pitch != width ? sums.size() : 0);
    // The sums of `count` rows of outputs whose first tap is at `from`.
    const auto sum_rows = [&](std::int64_t from, std::int64_t count, const std::uint32_t* left, std::int32_t* to) {
      if (dense) {
        std::int32_t* const run = pitch != width ? with_gaps.data() : to;
        loops.multiply_row(rows.data(), taps, from, (count - 1) * pitch + width, flip, left, run);
        if (pitch != width) loops.close_gaps(count, width, pitch, run, to);
        return;
      }
      for (std::int64_t i = 0; i < count; ++i) {
        loops.multiply_row(rows.data(), taps, from + i * conv.window.stride[1] * conv.row_size(), width, flip, left,
                           to + i * width);
      }
    };
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t place = (item - begin) % copied;
      if (place == 0 && narrow) {
        copy_narrow(conv, item, std::min(item + copied, end), x, padding, padded.data<std::uint8_t>());
      } else if (place == 0) {
        copy_padded(conv, item * conv.channel_rows(), std::min(item + copied, end) * conv.channel_rows(), x, padding,
                    false, padded.data<std::uint8_t>());
      }
      const std::int64_t channel = item % conv.groups;
      for (std::int64_t d = 0; d < conv.window.output[0]; ++d) {
        for (std::int64_t h = 0; h < height; h += block) {
          const std::int64_t count = std::min(block, height - h);
          const std::int64_t row = d * height + h;
          const std::int64_t from = place * size + conv.output_row(row);
          sum_rows(from, count, weights.row(channel), sums.data());
          if (sums_columns) sum_rows(from, count, ones.row(0), column_sums.data());
          const auto* const columns =
              sums_columns ? reinterpret_cast<const std::uint32_t*>(column_sums.data()) : nullptr;
          output.write(loops, item * plane + row * width, count * width, sums.data(),
                       channels.correction(channel, columns), channels.factor(channel), 0);
        }
      }
    }
  });
}

void convolve_bytes(KernelContext& context, const ConvProblem& problem, const Tensor& x_tensor, std::uint8_t padding,
                    const PackedLeft& weights, const Channels& channels, const Output& output) {
  const auto* const x = static_cast<const std::uint8_t*>(x_tensor.raw_data());
  const std::uint8_t flip = right_flip(x_tensor.element_type());
  const Window& window = problem.window;
  const std::int64_t groups = problem.groups;
  const std::int64_t plane = window.output[0] * window.output[1] * window.output[2];
  if (problem.batch * groups * problem.outputs * plane == 0) return;
  const IntegerProductLoops& loops = weights.loops();
  const bool sums_columns =
      std::ranges::any_of(channels.zero_points.values, [](std::int32_t zero) { return zero != 0; });
  const auto first_row = [&](std::int64_t item) { return item % groups * problem.outputs; };
  const auto finish = [&](std::int64_t item, std::int64_t row, std::int64_t column, std::int64_t count,
                          std::int32_t* sums, const std::uint32_t* column_sums) {
    const std::int64_t channel = first_row(item) + row;
    output.write(loops, (item * problem.outputs + row) * plane + column, count, sums,
                 channels.correction(channel, column_sums), channels.factor(channel), 0);
  };
  const ProductSizes sizes{problem.batch * groups, problem.outputs, plane};
  const auto no_panel = [](std::int64_t, std::int64_t) -> const std::uint32_t* { return nullptr; };
  if (is_pointwise(window)) {
    const auto make_reader = [&] {
      return [&, reader = RowReader(loops, problem.inputs, flip)](std::int64_t item, std::int64_t column,
                                                                  std::int64_t width, std::int64_t first,
                                                                  std::int64_t last, std::uint32_t* to) mutable {
        reader.pack(x + item * problem.inputs * plane, plane, column, width, first, last, to);
      };
    };
    multiply_tiles(context, weights, sizes, sums_columns, first_row, no_panel, make_reader, finish);
    return;
  }
  const PaddedConv conv(problem, 1);
  if (problem.inputs == 1 && problem.outputs == 1) {
    convolve_channels(context, conv, x, padding, flip, weights, channels, sums_columns, output);
    return;
  }
  const std::int64_t size =
      Shape{conv.batch, groups * conv.inputs, conv.depth, conv.height, conv.phases, conv.pitch}.element_count();
  Tensor padded = context.allocate_scratch(ElementType::kUint8, {size + padded_slack(loops)});
  std::fill_n(padded.data<std::uint8_t>() + size, padded_slack(loops), padding);
  const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / conv.row_size());
  base::parallel_for(context.threads(), conv.batch * groups * conv.inputs * conv.channel_rows(), grain,
                     [&](std::int64_t begin, std::int64_t end) {
                       copy_padded(conv, begin, end, x, padding, true,
                                   padded.data<std::uint8_t>() + begin * conv.row_size());
                     });
  const std::vector<std::int64_t> taps = conv.tap_offsets();
  std::vector<std::int64_t> offsets;
  for (std::int64_t input = 0; input < conv.inputs; ++input) {
    for (const std::int64_t tap : taps) offsets.push_back(input * conv.channel_size() + tap);
  }
  const auto make_reader = [&] {
    return [&, reader = WindowReader(loops, context.allocator(), conv, offsets, flip)](
               std::int64_t item, std::int64_t column, std::int64_t width, std::int64_t first, std::int64_t last,
               std::uint32_t* to) mutable {
      reader.pack(padded.data<std::uint8_t>() + item * conv.inputs * conv.channel_size(), column, width, first, last,
                  to);
    };
  };
  multiply_tiles(context, weights, sizes, sums_columns, first_row, no_panel, make_reader, finish);
}

PackedLeft pack_weights(int threads, Allocator& allocator, const Tensor& w) {
  const std::int64_t rows = w.shape()[0];
  return {threads,
          allocator,
          static_cast<const std::uint8_t*>(w.raw_data()),
          rows,
          w.shape().element_count(1, w.rank()),
          left_flip(w.element_type())};
}

// Where the inputs of the two operators are; -1 for one that an operator has not.
struct ConvInputs {
  int w;
  int x_zero_point;
  int w_zero_point;
};

class IntegerConvolution {
 public:
  IntegerConvolution(const KernelInfo& info, const ConvInputs& inputs)
      : attributes_(parse_conv(info.attributes)), inputs_(inputs) {
    const Tensor* const w = info.constant(static_cast<std::size_t>(inputs.w));
    if (w != nullptr && is_byte(*w) && w->rank() >= 3) weights_ = pack_weights(1, heap_allocator(), *w);
  }

  // Throws what make_conv_problem() does, and `op.type`, `op.shape` for zero points.
  ConvProblem problem(const KernelContext& context) const {
    const Tensor& x = context.input(0);
    const Tensor& w = context.input(inputs_.w);
    check_byte(x, "x");
    check_byte(w, "w");
    const Tensor* const x_zero_point = context.optional_input(inputs_.x_zero_point);
    const Tensor* const w_zero_point = context.optional_input(inputs_.w_zero_point);
    check_zero_point(x, x_zero_point, "x");
    check_zero_point(w, w_zero_point, "w");
    const ConvProblem problem = make_conv_problem(attributes_, x.shape(), w.shape());
    if (x_zero_point != nullptr) require_single(*x_zero_point, "x_zero_point");
    check_channel_parameter(w.shape()[0], w_zero_point, "w_zero_point");
    return problem;
  }

  // `bias` and `factors`, one for each output channel, may be absent.
  void run(KernelContext& context, const ConvProblem& problem, const std::int32_t* bias, std::vector<float> factors,
           const Output& output) const {
    const Tensor& x = context.input(0);
    const Tensor& w = context.input(inputs_.w);
    const Tensor* const x_zero_point = context.optional_input(inputs_.x_zero_point);
    std::optional<PackedLeft> packed;
    if (!weights_) packed = pack_weights(context.threads(), context.allocator(), w);
    const PackedLeft& weights = weights_ ? *weights_ : *packed;
    const std::int64_t x_zero =
        flipped_zero_points<std::uint8_t>(x_zero_point, right_flip(x.element_type())).values.front();
    Channels channels;
    channels.zero_points =
        flipped_zero_points<std::int8_t>(context.optional_input(inputs_.w_zero_point), left_flip(w.element_type()));
    channels.factors = std::move(factors);
    for (std::int64_t i = 0; i < w.shape()[0]; ++i) {
      const std::uint32_t sums_of_zero =
          wrapped(weights.depth() * channels.zero_points[i] * x_zero) - weights.sum(i) * wrapped(x_zero);
      channels.constants.push_back(sums_of_zero + (bias != nullptr ? static_cast<std::uint32_t>(bias[i]) : 0));
    }
    const auto padding =
        x_zero_point != nullptr ? *static_cast<const std::uint8_t*>(x_zero_point->raw_data()) : std::uint8_t{0};
    convolve_bytes(context, problem, x, padding, weights, channels, output);
  }

 private:
  ConvAttributes attributes_;
  ConvInputs inputs_;
  std::optional<PackedLeft> weights_;  // where they are constant
};

}  // namespace

std::unique_ptr<Kernel> make_MatMulInteger(const KernelInfo& info) {
  return make_kernel([packed = packed_matrices(info, 1)](KernelContext& context) {
    run_matmul_integer(context, packed ? &*packed : nullptr);
  });
}

std::unique_ptr<Kernel> make_QLinearMatMul(const KernelInfo& info) {
  return make_kernel([packed = packed_matrices(info, 3)](KernelContext& context) {
    run_qlinear_matmul(context, packed ? &*packed : nullptr);
  });
}

std::unique_ptr<Kernel> make_ConvInteger(const KernelInfo& info) {
  return make_kernel([convolution = IntegerConvolution(info, {1, 2, 3})](KernelContext& context) {
    const ConvProblem problem = convolution.problem(context);
    Tensor& y = context.allocate_output(0, ElementType::kInt32, problem.output_shape());
    convolution.run(context, problem, nullptr, {}, Output(y));
  });
}

std::unique_ptr<Kernel> make_QLinearConv(const KernelInfo& info) {
  return make_kernel([convolution = IntegerConvolution(info, {3, 2, 5})](KernelContext& context) {
    const ConvProblem problem = convolution.problem(context);
    const Tensor* bias = context.optional_input(8);
    if (bias != nullptr) {
      check_conv_bias(problem, *bias);
      if (bias->element_type() != ElementType::kInt32) {
        base::invalid("op.type", "input 'B' must be int32, but is {}", element_type_name(bias->element_type()));
      }
    }
    const std::int64_t channels = context.input(3).shape()[0];
    const float x_scale = read_single(context.input(1), "x_scale");
    check_channel_parameter(channels, &context.input(4), "w_scale");
    const RepeatedNumbers<float> w_scales = read_scales(context, context.input(4), "w_scale");
    const float y_scale = read_single(context.input(6), "y_scale");
    const Tensor& y_zero_point = require_single(context.input(7), "y_zero_point");
    std::vector<float> factors;
    for (std::int64_t i = 0; i < channels; ++i) factors.push_back(x_scale * w_scales[i] / y_scale);
    Tensor& y = context.allocate_output(0, y_zero_point.element_type(), problem.output_shape());
    convolution.run(context, problem, bias != nullptr ? bias->data<std::int32_t>() : nullptr, std::move(factors),
                    Output(y, y_zero_point));
  });
}

}  // namespace lanner::kernels
