#include "kernels/quantization.h"

#include <type_traits>

#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/quantization_loops.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

using tensor::TypeList;
using QuantizedFloats = TypeList<tensor::Float8E4M3FN, tensor::Float8E4M3FNUZ, tensor::Float8E5M2,
                                 tensor::Float8E5M2FNUZ, tensor::Float4E2M1>;

using QuantizedTypes = decltype(QuantizedIntegers{} + QuantizedFloats{});

template <typename T>
void write_integers(const double* x, const double* zero_points, std::int64_t step, std::int64_t count, void* to,
                    std::int64_t begin) {
  T* out = static_cast<T*>(to) + begin;
  for (std::int64_t i = 0; i < count; ++i) out[i] = quantized<T>(x[i], zero_points[i * step]);
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
    if constexpr (std::is_same_v<Wide, float> && internal::kListed<T, ReadIntegers>) {
      reader = quantization_loops_of_cpu().get().read[internal::place_in<T>(ReadIntegers{})];
      return;
    }
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
    } else if constexpr (std::is_same_v<Wide, float>) {
      writer = quantization_loops_of_cpu().get().write[internal::place_in<T>(QuantizedIntegers{})];
    } else {
      writer = write_integers<T>;
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
