// MatMulInteger, QLinearMatMul, ConvInteger and QLinearConv: products of quantised elements. Zero points are subtracted
// first, then whole numbers are multiplied and summed in 32 bits, which wrap; 8-bit floats are in float32. The QLinear
// operators scale the sums by input scales / output scale in float32, round them and add the output's zero point.
#include <array>
#include <type_traits>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/conv.h"
#include "kernels/gemm.h"
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

// An operand less its zero points, as scratch memory of Sums: uint32 (two's complement) or float. `view` is its shape
// under which the zero points broadcast as `zero_point_view`; null ones are 0.
template <typename Sums, typename Types>
Tensor centered(KernelContext& context, const Tensor& x, const Shape& view, const Tensor* zero_point,
                const Shape& zero_point_view, std::string_view name) {
  if (zero_point != nullptr && zero_point->element_type() != x.element_type()) {
    base::invalid("op.type", "the zero point of input '{}' must be {} as the input is, but is {}", name,
                  element_type_name(x.element_type()), element_type_name(zero_point->element_type()));
  }
  Tensor result = context.allocate_scratch(element_type_of<Sums>(), view);
  tensor::dispatch(Types{}, x.element_type(), "a quantised product", [&]<typename T>() {
    const T zero{};
    const BroadcastPlan plan = plan_broadcast(view, {&view, &zero_point_view});
    map_broadcast(context.threads(), plan, x.data<T>(), zero_point != nullptr ? zero_point->data<T>() : &zero,
                  result.data<Sums>(), [](T element, T offset) {
                    if constexpr (std::is_same_v<Sums, float>)
                      return static_cast<float>(element) - static_cast<float>(offset);
                    else
                      return static_cast<Sums>(static_cast<int>(element) - static_cast<int>(offset));
                  });
  });
  return result;
}

// Sums of uint32 mean int32.
float number_of(float sum) {
  return sum;
}
float number_of(std::uint32_t sum) {
  return static_cast<float>(static_cast<std::int32_t>(sum));
}

// Output 0: `sums` of shape `view` times left * right / output scale, where left and right broadcast to it.
template <typename Sums>
void write_scaled(KernelContext& context, const Shape& view, const Sums* sums, const Tensor& left, const Tensor& right,
                  float output_scale, const Tensor& zero_point, Tensor& y) {
  const WriteQuantized<float> write = quantized_writer_of<float>(zero_point.element_type(), true);
  float offset = 0;
  reader_of<float>(zero_point.element_type(), "the zero point")(zero_point.raw_data(), 0, 1, &offset);
  const BroadcastPlan plan = plan_broadcast(view, {&view, &left.shape(), &right.shape()});
  const std::int64_t left_step = (plan.moving & 2u) != 0 ? 1 : 0;
  const std::int64_t right_step = (plan.moving & 4u) != 0 ? 1 : 0;
  base::parallel_for(context.threads(), plan.count, kElementGrain, [&](std::int64_t begin, std::int64_t end) {
    for_each_row<3>(plan, begin, end,
                    [&](std::int64_t at, const std::array<std::int64_t, 3>& offsets, std::int64_t length) {
                      constexpr std::int64_t kPiece = 512;
                      for (std::int64_t first = 0; first < length; first += kPiece) {
                        std::array<float, kPiece> piece;
                        float* numbers = piece.data();
                        const std::int64_t count = std::min(kPiece, length - first);
                        const float* a = left.data<float>() + offsets[1] + first * left_step;
                        const float* b = right.data<float>() + offsets[2] + first * right_step;
                        for (std::int64_t i = 0; i < count; ++i) {
                          const float factor = a[i * left_step] * b[i * right_step] / output_scale;
                          numbers[i] = number_of(sums[at + first + i]) * factor;
                        }
                        write(numbers, &offset, 0, count, y.raw_data(), at + first);
                      }
                    });
  });
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

template <typename Sums, typename Types>
Tensor product(KernelContext& context, const MatMulPlan& plan, const Tensor& a, const Tensor* a_zero_point,
               const Tensor& b, const Tensor* b_zero_point, Sums* y) {
  const Shape a_view = matrix_parameter(a.shape(), Along::kRows, a_zero_point, "a_zero_point");
  const Shape b_view = matrix_parameter(b.shape(), Along::kColumns, b_zero_point, "b_zero_point");
  const Tensor left = centered<Sums, Types>(context, a, a.shape(), a_zero_point, a_view, "a");
  const Tensor right = centered<Sums, Types>(context, b, b.shape(), b_zero_point, b_view, "b");
  Tensor sums;
  if (y == nullptr) {
    sums = context.allocate_scratch(element_type_of<Sums>(), plan.shape);
    y = sums.data<Sums>();
  }
  multiply(context.threads(), plan, left.data<Sums>(), right.data<Sums>(), y);
  return sums;
}

void run_matmul_integer(KernelContext& context) {
  const Tensor& a = context.input(0);
  const Tensor& b = context.input(1);
  const MatMulPlan plan = plan_matmul(a.shape(), b.shape());
  Tensor& y = context.allocate_output(0, ElementType::kInt32, plan.shape);
  product<std::uint32_t, Bytes>(context, plan, a, context.optional_input(2), b, context.optional_input(3),
                                static_cast<std::uint32_t*>(y.raw_data()));
}

// A matrix operand's scales, under the shape that broadcasts.
Tensor matrix_scales(KernelContext& context, const Shape& operand, Along along, const Tensor& scale,
                     std::string_view name) {
  const Shape view = matrix_parameter(operand, along, &scale, name);
  return read_elements<float>(context, scale, name).reshaped(view);
}

void run_qlinear_matmul(KernelContext& context) {
  const Tensor& a = context.input(0);
  const Tensor& b = context.input(3);
  const MatMulPlan plan = plan_matmul(a.shape(), b.shape());
  const Tensor a_scales = matrix_scales(context, a.shape(), Along::kRows, context.input(1), "a_scale");
  const Tensor b_scales = matrix_scales(context, b.shape(), Along::kColumns, context.input(4), "b_scale");
  const float y_scale = read_single(context.input(6), "y_scale");
  const Tensor& y_zero_point = require_single(context.input(7), "y_zero_point");
  Tensor& y = context.allocate_output(0, y_zero_point.element_type(), plan.shape);
  // With the dimensions that vectors drop, which the other operand's scales may have.
  Shape view = plan.batch;
  view.push_back(plan.m);
  view.push_back(plan.n);
  const auto run = [&]<typename Sums, typename Types>() {
    const Tensor sums = product<Sums, Types>(context, plan, a, context.optional_input(2), b, context.optional_input(5),
                                             static_cast<Sums*>(nullptr));
    write_scaled(context, view, sums.data<Sums>(), a_scales, b_scales, y_scale, y_zero_point, y);
  };
  if (is_byte(a) && is_byte(b))
    run.template operator()<std::uint32_t, Bytes>();
  else
    run.template operator()<float, decltype(Bytes{} + Floats{})>();
}

// ---- convolutions -------------------------------------------------------------------------------------------------

// The shape under which the scale or zero point of weights broadcasts to [output channels, other elements].
Shape channel_parameter(std::int64_t channels, const Tensor* parameter, std::string_view name) {
  if (parameter == nullptr || is_single(*parameter)) return {};
  if (parameter->shape() == Shape{channels}) return {channels, 1};
  base::invalid("op.shape", "input '{}' must be one number or one for each of {} output channels, but has shape {}",
                name, channels, parameter->shape().to_string());
}

// Sums into y, or into scratch memory, which is returned, where that is null.
Tensor convolution(KernelContext& context, const ConvProblem& problem, const Tensor& x, const Tensor* x_zero_point,
                   const Tensor& w, const Tensor* w_zero_point, const Tensor* bias, void* y) {
  if (x_zero_point != nullptr) require_single(*x_zero_point, "x_zero_point");
  const std::int64_t channels = w.shape()[0];
  const Shape w_view = channel_parameter(channels, w_zero_point, "w_zero_point");
  const Shape rows{channels, w.shape().element_count(1, w.rank())};
  const Tensor left = centered<std::uint32_t, Bytes>(context, x, x.shape(), x_zero_point, {}, "x");
  const Tensor right = centered<std::uint32_t, Bytes>(context, w, rows, w_zero_point, w_view, "w");
  Tensor sums;
  if (y == nullptr) {
    sums = context.allocate_scratch(ElementType::kUint32, problem.output_shape());
    y = sums.raw_data();
  }
  convolve(context, problem, left.data<std::uint32_t>(), right.data<std::uint32_t>(),
           bias != nullptr ? static_cast<const std::uint32_t*>(bias->raw_data()) : nullptr,
           static_cast<std::uint32_t*>(y));
  return sums;
}

}  // namespace

std::unique_ptr<Kernel> make_MatMulInteger(const KernelInfo&) {
  return make_kernel(run_matmul_integer);
}

std::unique_ptr<Kernel> make_QLinearMatMul(const KernelInfo&) {
  return make_kernel(run_qlinear_matmul);
}

std::unique_ptr<Kernel> make_ConvInteger(const KernelInfo& info) {
  return make_kernel([attributes = parse_conv(info.attributes)](KernelContext& context) {
    const Tensor& x = context.input(0);
    const Tensor& w = context.input(1);
    const ConvProblem problem = make_conv_problem(attributes, x.shape(), w.shape());
    Tensor& y = context.allocate_output(0, ElementType::kInt32, problem.output_shape());
    convolution(context, problem, x, context.optional_input(2), w, context.optional_input(3), nullptr, y.raw_data());
  });
}

std::unique_ptr<Kernel> make_QLinearConv(const KernelInfo& info) {
  return make_kernel([attributes = parse_conv(info.attributes)](KernelContext& context) {
    const Tensor& x = context.input(0);
    const Tensor& w = context.input(3);
    const Tensor* bias = context.optional_input(8);
    const ConvProblem problem = make_conv_problem(attributes, x.shape(), w.shape());
    if (bias != nullptr) {
      check_conv_bias(problem, *bias);
      if (bias->element_type() != ElementType::kInt32) {
        base::invalid("op.type", "input 'B' must be int32, but is {}", element_type_name(bias->element_type()));
      }
    }
    const std::int64_t channels = w.shape()[0];
    const Tensor x_scale = Tensor::scalar(read_single(context.input(1), "x_scale"));
    const Tensor& w_scale = context.input(4);
    const Shape w_scale_view = channel_parameter(channels, &w_scale, "w_scale");
    const Tensor w_scales = read_elements<float>(context, w_scale, "w_scale").reshaped(w_scale_view);
    const float y_scale = read_single(context.input(6), "y_scale");
    const Tensor& y_zero_point = require_single(context.input(7), "y_zero_point");
    const Shape shape = problem.output_shape();
    Tensor& y = context.allocate_output(0, y_zero_point.element_type(), shape);
    const Tensor sums =
        convolution(context, problem, x, context.optional_input(2), w, context.optional_input(5), bias, nullptr);
    const Shape view{shape[0], channels, shape.element_count(2, shape.rank())};
    write_scaled(context, view, sums.data<std::uint32_t>(), x_scale, w_scales, y_scale, y_zero_point, y);
  });
}

}  // namespace lanner::kernels
