// QuantizeLinear and DequantizeLinear: numbers as elements of a small type with a scale and a zero point, which are one
// pair for the whole tensor, one for each index of an axis, or one for each block of indices of it.
// DynamicQuantizeLinear: numbers as uint8, with the scale and the zero point that the least and the greatest number ask
// for.
//
// The division of QuantizeLinear is rounded to its precision: the attribute's, or else the scale's type. An int32 scale
// divides in float64, a float8e8m0 one in float32, as both lose less than their own types would.
#include <algorithm>
#include <array>
#include <optional>
#include <type_traits>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/quantization.h"
#include "kernels/quantization_loops.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

struct Grid {
  std::int64_t axis;
  std::int64_t block;  // 0 unless blocked
};

Grid parse_grid(const tensor::Attributes& attributes) {
  const Grid grid{attributes.get_int("axis", 1), attributes.get_int("block_size", 0)};
  if (grid.block < 0)
    base::invalid("op.attribute", "attribute 'block_size' must not be negative, but is {}", grid.block);
  return grid;
}

// 0 where the attribute is absent.
ElementType parse_type(const tensor::Attributes& attributes, std::string_view name) {
  const std::int64_t type = attributes.get_int(name, 0);
  if (type < 0 || type > static_cast<std::int64_t>(ElementType::kInt2)) {
    base::fail(ErrorCode::kUnimplemented, "op.attribute", "attribute '{}' names the unknown element type {}", name,
               type);
  }
  return static_cast<ElementType>(type);
}

// The tensor and its scales under shapes that broadcast.
struct Granularity {
  Shape data;
  Shape scale;
  // Where blocks do not divide the axis: the scales' own [outer, blocks, inner], to be spread out over data's shape.
  std::optional<Shape> uneven;
};

Granularity granularity_of(const Grid& grid, const Shape& data, const Shape& scale) {
  if (scale.rank() <= 1 && scale.element_count() == 1) return {{data.element_count()}, {}, {}};
  // Of a vector only the one axis can be meant.
  const int axis = data.rank() == 1 ? 0 : normalize_axis(grid.axis, data.rank());
  const std::int64_t outer = data.element_count(0, axis);
  const std::int64_t dim = data[axis];
  const std::int64_t inner = data.element_count(axis + 1, data.rank());
  if (grid.block == 0) {
    if (scale != Shape{dim}) {
      base::invalid("op.shape", "the scale of data of shape {} must be a scalar or of shape [{}], but has shape {}",
                    data.to_string(), dim, scale.to_string());
    }
    return {{outer, dim, inner}, {dim, 1}, {}};
  }
  const std::int64_t blocks = dim / grid.block + (dim % grid.block != 0 ? 1 : 0);
  Shape expected = data;
  expected[axis] = blocks;
  if (scale != expected) {
    base::invalid("op.shape", "the scale of data of shape {} in blocks of {} must have shape {}, but has {}",
                  data.to_string(), grid.block, expected.to_string(), scale.to_string());
  }
  if (dim % grid.block == 0) return {{outer, blocks, grid.block, inner}, {outer, blocks, 1, inner}, {}};
  return {{outer, dim, inner}, {outer, dim, inner}, Shape{outer, blocks, inner}};
}

// Scales or zero points, read as Wide and spread out where blocks do not divide the axis.
template <typename Wide>
Tensor read_spread(KernelContext& context, const Grid& grid, const Granularity& granularity, const Tensor& tensor,
                   std::string_view what) {
  Tensor values = read_elements<Wide>(context, tensor, what);
  if (!granularity.uneven) return values;
  const std::int64_t dim = granularity.data[1];
  const std::int64_t inner = granularity.data[2];
  Tensor result = context.allocate_scratch(element_type_of<Wide>(), granularity.data);
  Wide* to = result.data<Wide>();
  for (std::int64_t o = 0; o < granularity.data[0]; ++o) {
    const Wide* from = values.data<Wide>() + o * (*granularity.uneven)[1] * inner;
    for (std::int64_t d = 0; d < dim; ++d, to += inner) std::copy_n(from + d / grid.block * inner, inner, to);
  }
  return result;
}

// Null for an absent zero point, which is 0.
const Tensor* checked_zero_point(KernelContext& context, const Tensor& scale) {
  const Tensor* zero_point = context.optional_input(2);
  if (zero_point == nullptr || zero_point->shape() == scale.shape()) return zero_point;
  const auto is_single = [](const Tensor& tensor) { return tensor.rank() <= 1 && tensor.element_count() == 1; };
  if (!is_single(*zero_point) || !is_single(scale)) {
    base::invalid("op.shape", "scale and zero point must have one shape, but have {} and {}", scale.shape().to_string(),
                  zero_point->shape().to_string());
  }
  return zero_point;
}

template <typename Wide>
Tensor zero_points_of(KernelContext& context, const Grid& grid, const Granularity& granularity, const Tensor* given) {
  if (given != nullptr) return read_spread<Wide>(context, grid, granularity, *given, "the zero point");
  Tensor zeros = context.allocate_scratch(element_type_of<Wide>(), granularity.scale);
  std::ranges::fill(zeros.values<Wide>(), Wide{0});
  return zeros;
}

// Calls piece(first element, offset of its scale, step of scales, length) for all of data, from several threads.
template <typename Piece>
void for_each_piece(int threads, const Granularity& granularity, Piece&& piece) {
  constexpr std::int64_t kPiece = 512;
  const BroadcastPlan plan = plan_broadcast(granularity.data, {&granularity.data, &granularity.scale});
  const std::int64_t step = (plan.moving & 2u) != 0 ? 1 : 0;
  base::parallel_for(threads, plan.count, kElementGrain, [&](std::int64_t begin, std::int64_t end) {
    for_each_row<2>(plan, begin, end,
                    [&](std::int64_t at, const std::array<std::int64_t, 2>& offsets, std::int64_t length) {
                      for (std::int64_t i = 0; i < length; i += kPiece) {
                        piece(at + i, offsets[1] + i * step, step, std::min(kPiece, length - i));
                      }
                    });
  });
}

void divide(float* numbers, const float* divisors, std::int64_t step, std::int64_t count) {
  quantization_loops_of_cpu().get().divide(numbers, divisors, step, count);
}
void divide(double* numbers, const double* divisors, std::int64_t step, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) numbers[i] /= divisors[i * step];
}

// Rounds numbers to a 16-bit type; null for any other.
template <typename Wide>
using RoundNumbers = void (*)(Wide* numbers, std::int64_t count);

template <typename Wide>
RoundNumbers<Wide> rounding_to(ElementType type) {
  if (type != ElementType::kFloat16 && type != ElementType::kBfloat16) return nullptr;
  RoundNumbers<Wide> round = nullptr;
  tensor::dispatch(tensor::HalfTypes{}, type, "QuantizeLinear", [&]<typename T>() {
    round = [](Wide* numbers, std::int64_t count) {
      for (std::int64_t i = 0; i < count; ++i) numbers[i] = static_cast<float>(T(numbers[i]));
    };
  });
  return round;
}

template <typename Wide>
void quantize(KernelContext& context, const Grid& grid, ElementType precision, bool saturate, const Tensor& x,
              const Tensor& scale, const Tensor* zero_point, Tensor& y) {
  const Granularity granularity = granularity_of(grid, x.shape(), scale.shape());
  if (x.element_count() == 0) return;
  Tensor scales = read_spread<Wide>(context, grid, granularity, scale, "the scale");
  const Tensor zero_points = zero_points_of<Wide>(context, grid, granularity, zero_point);
  const RoundNumbers<Wide> round = rounding_to<Wide>(precision);
  if (round != nullptr) round(scales.data<Wide>(), scales.element_count());
  const ReadElements<Wide> read = reader_of<Wide>(x.element_type(), "QuantizeLinear");
  const WriteQuantized<Wide> write = quantized_writer_of<Wide>(y.element_type(), saturate);
  for_each_piece(context.threads(), granularity,
                 [&](std::int64_t at, std::int64_t from, std::int64_t step, std::int64_t count) {
                   std::array<Wide, 512> piece;
                   Wide* numbers = piece.data();
                   read(x.raw_data(), at, count, numbers);
                   if (round != nullptr) round(numbers, count);
                   divide(numbers, scales.data<Wide>() + from, step, count);
                   if (round != nullptr) round(numbers, count);
                   write(numbers, zero_points.data<Wide>() + from, step, count, y.raw_data(), at);
                 });
}

// The least and the greatest of all elements and 0.
std::array<float, 2> range_with_zero(int threads, const Tensor& x) {
  const QuantizationLoops& loops = quantization_loops_of_cpu().get();
  // Chunks of a fixed size, so that threads do not matter.
  const std::int64_t count = x.element_count();
  const std::int64_t chunks = (count + kElementGrain - 1) / kElementGrain;
  std::vector<float> least(static_cast<std::size_t>(chunks) + 1);
  std::vector<float> greatest(least.size());
  base::parallel_for(threads, chunks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto place = static_cast<std::size_t>(i);
      loops.range(x.data<float>() + i * kElementGrain, std::min(kElementGrain, count - i * kElementGrain),
                  &least[place], &greatest[place]);
    }
  });
  std::array<float, 2> result{};
  float unused = 0;
  loops.range(least.data(), chunks + 1, &result[0], &unused);
  loops.range(greatest.data(), chunks + 1, &unused, &result[1]);
  return result;
}

// Where all numbers are 0, and so the scale is, or one is NaN, all become 0.
void run_dynamic_quantize(KernelContext& context) {
  const Tensor& x = context.input(0);
  if (x.element_type() != ElementType::kFloat32) {
    base::invalid("op.type", "input 'x' must be float32, but is {}", element_type_name(x.element_type()));
  }
  const auto [least, greatest] = range_with_zero(context.threads(), x);
  const float scale = (greatest - least) / 255.0f;
  const Tensor zero_point = Tensor::scalar(quantized<std::uint8_t>(0.0f - least / scale, 0.0f));
  Tensor& y = context.allocate_output(0, ElementType::kUint8, x.shape());
  *context.allocate_output(1, ElementType::kFloat32, {}).data<float>() = scale;
  *context.allocate_output(2, ElementType::kUint8, {}).data<std::uint8_t>() = *zero_point.data<std::uint8_t>();
  quantize<float>(context, {0, 0}, ElementType::kFloat32, true, x, Tensor::scalar(scale), &zero_point, y);
}

}  // namespace

std::unique_ptr<Kernel> make_QuantizeLinear(const KernelInfo& info) {
  const Grid grid = parse_grid(info.attributes);
  const bool saturate = info.attributes.get_int("saturate", 1) != 0;
  const ElementType output_type = parse_type(info.attributes, "output_dtype");
  const ElementType given_precision = parse_type(info.attributes, "precision");
  if (given_precision != ElementType::kUndefined && given_precision != ElementType::kFloat32 &&
      given_precision != ElementType::kFloat16 && given_precision != ElementType::kBfloat16) {
    base::invalid("op.attribute", "attribute 'precision' must be float32, float16 or bfloat16, but is {}",
                  element_type_name(given_precision));
  }
  return make_kernel([=](KernelContext& context) {
    const Tensor& x = context.input(0);
    const Tensor& scale = context.input(1);
    const Tensor* zero_point = checked_zero_point(context, scale);
    ElementType type = output_type != ElementType::kUndefined ? output_type : ElementType::kUint8;
    if (zero_point != nullptr) {
      if (output_type != ElementType::kUndefined && output_type != zero_point->element_type()) {
        base::invalid("op.type", "attribute 'output_dtype' is {}, but the zero point is {}",
                      element_type_name(output_type), element_type_name(zero_point->element_type()));
      }
      type = zero_point->element_type();
    }
    (void)quantized_writer_of<float>(type, saturate);  // refuses other types
    granularity_of(grid, x.shape(), scale.shape());
    Tensor& y = context.allocate_output(0, type, x.shape());
    if (given_precision == ElementType::kUndefined && scale.element_type() == ElementType::kInt32) {
      quantize<double>(context, grid, ElementType::kFloat64, saturate, x, scale, zero_point, y);
    } else {
      const ElementType precision = given_precision != ElementType::kUndefined ? given_precision : scale.element_type();
      quantize<float>(context, grid, precision, saturate, x, scale, zero_point, y);
    }
  });
}

std::unique_ptr<Kernel> make_DequantizeLinear(const KernelInfo& info) {
  const Grid grid = parse_grid(info.attributes);
  const ElementType output_type = parse_type(info.attributes, "output_dtype");
  return make_kernel([=](KernelContext& context) {
    const Tensor& x = context.input(0);
    const Tensor& scale = context.input(1);
    const Tensor* zero_point = checked_zero_point(context, scale);
    if (zero_point != nullptr && zero_point->element_type() != x.element_type()) {
      base::invalid("op.type", "the zero point must be {} as the data is, but is {}",
                    element_type_name(x.element_type()), element_type_name(zero_point->element_type()));
    }
    const ElementType type = output_type != ElementType::kUndefined ? output_type : scale.element_type();
    const Granularity granularity = granularity_of(grid, x.shape(), scale.shape());
    using Types = decltype(tensor::TypeList<float>{} + tensor::HalfTypes{});
    tensor::dispatch(Types{}, type, "the output of DequantizeLinear", [&]<typename T>() {
      const ReadElements<float> read = reader_of<float>(x.element_type(), "DequantizeLinear");
      const Tensor scales = read_spread<float>(context, grid, granularity, scale, "the scale");
      const Tensor zero_points = zero_points_of<float>(context, grid, granularity, zero_point);
      const QuantizationLoops& loops = quantization_loops_of_cpu().get();
      T* y = context.allocate_output(0, type, x.shape()).template data<T>();
      for_each_piece(context.threads(), granularity,
                     [&](std::int64_t at, std::int64_t from, std::int64_t step, std::int64_t count) {
                       std::array<float, 512> piece;
                       read(x.raw_data(), at, count, piece.data());
                       const float* factors = scales.data<float>() + from;
                       const float* zeros = zero_points.data<float>() + from;
                       if constexpr (std::is_same_v<T, float>) {
                         loops.dequantize(piece.data(), zeros, factors, step, count, y + at);
                       } else {
                         loops.dequantize(piece.data(), zeros, factors, step, count, piece.data());
                         std::transform(piece.data(), piece.data() + count, y + at,
                                        [](float number) { return T(number); });
                       }
                     });
    });
  });
}

std::unique_ptr<Kernel> make_DynamicQuantizeLinear(const KernelInfo&) {
  return make_kernel(run_dynamic_quantize);
}

}  // namespace lanner::kernels
