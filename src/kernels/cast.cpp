// Cast and CastLike among booleans, integers, float32 and float64. What a conversion does with values that the target
// cannot hold is said in convert.h; the attributes `saturate` and `round_mode` concern only float8 types and are not
// read.
#include <cstdint>

#include "base/fail.h"
#include "kernels/elementwise.h"
#include "kernels/kernel.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

using tensor::NumericAndBoolTypes;
using tensor::NumericTypes;

template <typename From>
void cast_from(KernelContext& context, const Tensor& input, ElementType to) {
  const From* in = static_cast<const From*>(input.raw_data());
  const std::int64_t count = input.element_count();
  tensor::dispatch(NumericAndBoolTypes{}, to, "Cast's target", [&]<typename To>() {
    To* out = context.allocate_output(0, to, input.shape()).template data<To>();
    map_elements(context.threads(), count, in, out, Convert<To>{});
  });
}

void cast(KernelContext& context, const Tensor& input, ElementType to) {
  const ElementType from = input.element_type();
  if (from == ElementType::kBool) {
    // Bytes other than 0 count as true, so the byte becomes 0 or 1 first.
    const auto* in = static_cast<const std::uint8_t*>(input.raw_data());
    return tensor::dispatch(NumericAndBoolTypes{}, to, "Cast's target", [&]<typename To>() {
      To* out = context.allocate_output(0, to, input.shape()).template data<To>();
      map_elements(context.threads(), input.element_count(), in, out, ConvertBoolean<To>{});
    });
  }
  tensor::dispatch(NumericTypes{}, from, "Cast", [&]<typename From>() { cast_from<From>(context, input, to); });
}

}  // namespace

std::unique_ptr<Kernel> make_Cast(const KernelInfo& info) {
  const std::int64_t to = info.attributes.require_int("to");
  if (to <= 0 || to > 255) base::invalid("op.attribute", "attribute 'to' must name an element type, but is {}", to);
  return make_kernel([to](KernelContext& context) { cast(context, context.input(0), static_cast<ElementType>(to)); });
}

std::unique_ptr<Kernel> make_CastLike(const KernelInfo&) {
  return make_kernel([](KernelContext& context) { cast(context, context.input(0), context.input(1).element_type()); });
}

}  // namespace lanner::kernels
