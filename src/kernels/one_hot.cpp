// OneHot: a new dimension that is "on" where its position is the index, and "off" elsewhere.
#include <algorithm>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/convert.h"
#include "kernels/kernel.h"
#include "kernels/strided.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

// The elements of a numeric tensor as int64; what does not fit is out of every range.
Tensor as_int64(KernelContext& context, const Tensor& tensor) {
  if (tensor.element_type() == ElementType::kInt64) return tensor;
  Tensor wide = context.allocate_scratch(ElementType::kInt64, tensor.shape());
  using Types = decltype(tensor::NumericTypes{} + tensor::HalfTypes{});
  tensor::dispatch(Types{}, tensor.element_type(), "OneHot", [&]<typename T>() {
    using Number = std::conditional_t<std::is_arithmetic_v<T>, T, float>;
    std::ranges::transform(tensor.values<T>(), wide.data<std::int64_t>(),
                           [](T x) { return convert<std::int64_t>(static_cast<Number>(x)); });
  });
  return wide;
}

}  // namespace

std::unique_ptr<Kernel> make_OneHot(const KernelInfo& info) {
  return make_kernel([wanted = info.attributes.get_int("axis", -1)](KernelContext& context) {
    const Tensor indices = as_int64(context, context.input(0));
    const Tensor depths = as_int64(context, context.input(1));
    const Tensor& values = context.input(2);
    const ElementType type = values.element_type();
    if (depths.element_count() != 1 || depths.rank() > 1) {
      base::invalid("op.shape", "depth must hold one element, but has shape {}", depths.shape().to_string());
    }
    if (values.rank() != 1 || values.element_count() != 2) {
      base::invalid("op.shape", "values must be [off, on], but have shape {}", values.shape().to_string());
    }
    const std::int64_t depth = *depths.data<std::int64_t>();
    if (depth < 0) base::invalid("op.value", "depth must not be negative, but is {}", depth);
    const Shape& from = indices.shape();
    const int axis = normalize_axis(wanted, from.rank() + 1);
    Shape shape;
    for (int i = 0; i < axis; ++i) shape.push_back(from[i]);
    shape.push_back(depth);
    for (int i = axis; i < from.rank(); ++i) shape.push_back(from[i]);
    Tensor& out = context.allocate_output(0, type, shape);
    fill_elements(context.threads(), type, out.element_count(), values.raw_data(), out.raw_data());
    if (out.element_count() == 0) return;
    const std::int64_t inner = from.element_count(axis, from.rank());
    const std::int64_t* at = indices.data<std::int64_t>();
    dispatch_moved(type, [&]<typename T>() {
      const T& on = static_cast<const T*>(values.raw_data())[1];
      T* target = static_cast<T*>(out.raw_data());
      base::parallel_for(context.threads(), indices.element_count(), kMoveGrain,
                         [&](std::int64_t begin, std::int64_t end) {
                           for (std::int64_t i = begin; i < end; ++i) {
                             const std::int64_t position = at[i] < 0 ? at[i] + depth : at[i];
                             if (position < 0 || position >= depth) continue;
                             target[(i / inner * depth + position) * inner + i % inner] = on;
                           }
                         });
    });
  });
}

}  // namespace lanner::kernels
