#include "kernels/quantization.h"

#include <algorithm>
#include <limits>
#include <type_traits>

#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

using tensor::TypeList;
using QuantizedIntegers = decltype(TypeList<std::int8_t, std::uint8_t, std::int16_t, std::uint16_t>{} +
                                   tensor::TinyIntegerTypes{});
using QuantizedFloats = TypeList<tensor::Float8E4M3FN, tensor::Float8E4M3FNUZ, tensor::Float8E5M2,
                                 tensor::Float8E5M2FNUZ, tensor::Float4E2M1>;

using QuantizedTypes = decltype(QuantizedIntegers{} + QuantizedFloats{});

template <typename T>
constexpr int kLowest = std::numeric_limits<T>::min();
template <typename T>
constexpr int kHighest = std::numeric_limits<T>::max();
template <>
constexpr int kLowest<tensor::Int4> = -8;
template <>
constexpr int kHighest<tensor::Int4> = 7;
template <>
constexpr int kLowest<tensor::Uint4> = 0;
template <>
constexpr int kHighest<tensor::Uint4> = 15;
template <>
constexpr int kLowest<tensor::Int2> = -2;
template <>
constexpr int kHighest<tensor::Int2> = 1;
template <>
constexpr int kLowest<tensor::Uint2> = 0;
template <>
constexpr int kHighest<tensor::Uint2> = 3;

// Adding it leaves no bits for fractions of numbers below 2^17, so that the sum is rounded to whole numbers.
template <typename Wide>
constexpr Wide kWholeNumbers = std::is_same_v<Wide, float> ? Wide{0x1.8p23} : Wide{0x1.8p52};

// Bounded before it is rounded, which gives the same as the bounds are whole.
template <typename T, typename Wide>
T quantized(Wide x, Wide zero_point) {
  const Wide low = static_cast<Wide>(kLowest<T>) - zero_point;
  const Wide high = static_cast<Wide>(kHighest<T>) - zero_point;
  x = x > low ? x : low;  // NaN becomes `low`
  x = x < high ? x : high;
  const Wide whole = (x + kWholeNumbers<Wide>)-kWholeNumbers<Wide>;
  return static_cast<T>(static_cast<int>(whole + zero_point));
}

template <typename T, typename Wide>
void write_integers(const Wide* x, const Wide* zero_points, std::int64_t step, std::int64_t count, void* to,
                    std::int64_t begin) {
  T* out = static_cast<T*>(to) + begin;
  if (step == 0) {
    const Wide zero_point = *zero_points;
    for (std::int64_t i = 0; i < count; ++i) out[i] = quantized<T>(x[i], zero_point);
  } else {
    for (std::int64_t i = 0; i < count; ++i) out[i] = quantized<T>(x[i], zero_points[i * step]);
  }
}

template <typename T, tensor::Overflow kOverflow, typename Wide>
void write_floats(const Wide* x, const Wide* zero_points, std::int64_t step, std::int64_t count, void* to,
                  std::int64_t begin) {
  T* out = static_cast<T*>(to) + begin;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto sum = static_cast<double>(x[i] + zero_points[i * step]);
    out[i].bits = static_cast<std::uint8_t>(tensor::encode_float(T::kFormat, sum, kOverflow));
  }
}

}  // namespace

template <typename Wide>
ReadElements<Wide> reader_of(ElementType type, std::string_view what) {
  ReadElements<Wide> reader = nullptr;
  tensor::dispatch(tensor::AllNumericTypes{}, type, what, [&]<typename T>() {
    reader = [](const void* data, std::int64_t begin, std::int64_t count, Wide* to) {
      const T* from = static_cast<const T*>(data) + begin;
      for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<Wide>(from[i]);
    };
  });
  return reader;
}

template <typename Wide>
Tensor read_elements(KernelContext& context, const Tensor& tensor, std::string_view what) {
  const ReadElements<Wide> read = reader_of<Wide>(tensor.element_type(), what);
  Tensor result = context.allocate_scratch(element_type_of<Wide>(), tensor.shape());
  base::parallel_for(context.threads(), tensor.element_count(), kElementGrain,
                     [&](std::int64_t begin, std::int64_t end) {
                       read(tensor.raw_data(), begin, end - begin, result.data<Wide>() + begin);
                     });
  return result;
}

template <typename Wide>
WriteQuantized<Wide> quantized_writer_of(ElementType type, bool saturate) {
  using tensor::Overflow;
  WriteQuantized<Wide> writer = nullptr;
  tensor::dispatch(QuantizedTypes{}, type, "quantization", [&]<typename T>() {
    if constexpr (requires { T::kFormat; }) {
      writer = saturate ? write_floats<T, Overflow::kSaturate, Wide> : write_floats<T, Overflow::kInfinity, Wide>;
    } else {
      writer = write_integers<T, Wide>;
    }
  });
  return writer;
}

template ReadElements<float> reader_of<float>(ElementType, std::string_view);
template ReadElements<double> reader_of<double>(ElementType, std::string_view);
template Tensor read_elements<float>(KernelContext&, const Tensor&, std::string_view);
template Tensor read_elements<double>(KernelContext&, const Tensor&, std::string_view);
template WriteQuantized<float> quantized_writer_of<float>(ElementType, bool);
template WriteQuantized<double> quantized_writer_of<double>(ElementType, bool);

}  // namespace lanner::kernels
