// Shape, Size, Range, ConstantOfShape, Constant: tensors made from shapes, bounds and attributes.
#include <algorithm>
#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/index_list.h"
#include "kernels/kernel.h"
#include "kernels/strided.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

// Number of elements of a Range; throws `op.value` for a step of 0 or NaN and `op.size` for too many.
template <typename T>
std::int64_t range_count(T start, T limit, T delta) {
  if (delta == T{0}) base::invalid("op.value", "delta must not be 0");
  if constexpr (std::is_floating_point_v<T>) {
    const double count =
        std::ceil((static_cast<double>(limit) - static_cast<double>(start)) / static_cast<double>(delta));
    if (std::isnan(count)) base::invalid("op.value", "start, limit and delta must be numbers");
    if (count >= 0x1p62) base::invalid("op.size", "a range from {} to {} by {} is too long", start, limit, delta);
    return count > 0 ? static_cast<std::int64_t>(count) : 0;
  } else {
    if (delta > 0 ? limit <= start : limit >= start) return 0;
    const auto low = static_cast<std::uint64_t>(delta > 0 ? start : limit);
    const auto high = static_cast<std::uint64_t>(delta > 0 ? limit : start);
    const std::uint64_t step = delta > 0 ? static_cast<std::uint64_t>(delta) : 0 - static_cast<std::uint64_t>(delta);
    const std::uint64_t steps = (high - low - 1) / step;
    if (steps >= INT64_MAX) base::invalid("op.size", "a range from {} to {} by {} is too long", start, limit, delta);
    return static_cast<std::int64_t>(steps) + 1;
  }
}

template <typename T>
T range_element(T start, T delta, std::int64_t index) {
  if constexpr (std::is_floating_point_v<T>) return start + static_cast<T>(index) * delta;
  return static_cast<T>(static_cast<std::uint64_t>(start) +
                        static_cast<std::uint64_t>(index) * static_cast<std::uint64_t>(delta));
}

template <typename T>
Tensor list_of(const std::vector<T>& values) {
  return Tensor::of<T>({static_cast<std::int64_t>(values.size())}, std::span<const T>(values));
}

Tensor constant_value(const tensor::Attributes& attributes) {
  if (const tensor::Attribute* value = attributes.find("value")) {
    if (const Tensor* held = std::get_if<Tensor>(value)) return *held;
    base::invalid("op.attribute", "attribute 'value' must be a tensor");
  }
  if (attributes.has("value_int")) return Tensor::scalar<std::int64_t>(attributes.require_int("value_int"));
  if (attributes.has("value_ints")) return list_of(attributes.get_ints("value_ints"));
  if (attributes.has("value_float")) return Tensor::scalar<float>(attributes.get_float("value_float", 0));
  if (attributes.has("value_floats")) return list_of(attributes.get_floats("value_floats"));
  if (attributes.has("value_string")) return Tensor::scalar<std::string>(attributes.get_string("value_string", ""));
  if (attributes.has("value_strings")) return list_of(attributes.get_strings("value_strings"));
  base::invalid("op.attribute",
                "a constant needs one of the attributes value, value_int(s), value_float(s) or "
                "value_string(s)");
}

}  // namespace

std::unique_ptr<Kernel> make_Shape(const KernelInfo& info) {
  const std::int64_t start = info.attributes.get_int("start", 0);
  const std::int64_t end = info.attributes.get_int("end", INT64_MAX);
  return make_kernel([start, end](KernelContext& context) {
    const Shape& shape = context.input(0).shape();
    const std::int64_t rank = shape.rank();
    const std::int64_t first = std::clamp<std::int64_t>(start < 0 ? start + rank : start, 0, rank);
    const std::int64_t last = std::clamp<std::int64_t>(end < 0 ? end + rank : end, first, rank);
    std::array<std::int64_t, Shape::kMaxRank> dims;
    std::ranges::copy(shape, dims.begin());
    Tensor& out = context.allocate_output(0, ElementType::kInt64, {last - first});
    std::copy(dims.begin() + first, dims.begin() + last, out.data<std::int64_t>());
  });
}

std::unique_ptr<Kernel> make_Size(const KernelInfo&) {
  return make_kernel([](KernelContext& context) {
    const std::int64_t count = context.input(0).element_count();
    *context.allocate_output(0, ElementType::kInt64, {}).data<std::int64_t>() = count;
  });
}

std::unique_ptr<Kernel> make_Range(const KernelInfo&) {
  return make_kernel([](KernelContext& context) {
    const ElementType type = context.input(0).element_type();
    for (int i = 0; i < 3; ++i) {
      const Tensor& bound = context.input(i);
      if (bound.element_type() != type) {
        base::invalid("op.type", "start is {}, but input {} is {}", element_type_name(type), i,
                      element_type_name(bound.element_type()));
      }
      if (bound.element_count() != 1) {
        base::invalid("op.shape", "input {} must be a scalar, but has shape {}", i, bound.shape().to_string());
      }
    }
    using Types = tensor::TypeList<std::int64_t, std::int32_t, float, double, std::int16_t>;
    tensor::dispatch(Types{}, type, "Range", [&]<typename T>() {
      const T start = *context.input(0).data<T>();
      const T delta = *context.input(2).data<T>();
      const std::int64_t count = range_count<T>(start, *context.input(1).data<T>(), delta);
      T* out = context.allocate_output(0, type, {count}).template data<T>();
      base::parallel_for(context.threads(), count, kMoveGrain, [=](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) out[i] = range_element(start, delta, i);
      });
    });
  });
}

std::unique_ptr<Kernel> make_ConstantOfShape(const KernelInfo& info) {
  Tensor value = Tensor::scalar<float>(0);
  if (info.attributes.has("value")) {
    value = constant_value(info.attributes);
    if (value.element_count() != 1) {
      base::invalid("op.attribute", "attribute 'value' must hold one element, but holds {}", value.element_count());
    }
  }
  moved_bytes(value.element_type());
  return make_kernel([value](KernelContext& context) {
    const Shape shape(IndexList::read(context.input(0), "input").values());
    Tensor& out = context.allocate_output(0, value.element_type(), shape);
    fill_elements(context.threads(), value.element_type(), out.element_count(), value.raw_data(), out.raw_data());
  });
}

// The output shares the attribute's memory.
std::unique_ptr<Kernel> make_Constant(const KernelInfo& info) {
  return make_kernel(
      [value = constant_value(info.attributes)](KernelContext& context) { context.set_output(0, value); });
}

}  // namespace lanner::kernels
