// Cast, CastLike and BitCast. What a conversion does with values that the target cannot hold is said in convert.h, and
// for types that the language lacks in convert_elements.h.
#include <cstdint>

#include "base/fail.h"
#include "kernels/convert_elements.h"
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

bool is_of_the_language(ElementType type) {
  switch (type) {
    case ElementType::kFloat32:
    case ElementType::kFloat64:
    case ElementType::kBool:
    case ElementType::kInt8:
    case ElementType::kInt16:
    case ElementType::kInt32:
    case ElementType::kInt64:
    case ElementType::kUint8:
    case ElementType::kUint16:
    case ElementType::kUint32:
    case ElementType::kUint64:
      return true;
    default:
      return false;
  }
}

CastRules cast_rules(const tensor::Attributes& attributes) {
  CastRules rules;
  if (attributes.get_int("saturate", 1) == 0) rules.overflow = tensor::Overflow::kInfinity;
  using Round = tensor::Float8E8M0::Round;
  const std::string round = attributes.get_string("round_mode", "up");
  if (round != "up" && round != "down" && round != "nearest") {
    base::invalid("op.attribute", "round_mode must be up, down or nearest, but is '{}'", round);
  }
  rules.round = round == "up" ? Round::kUp : round == "down" ? Round::kDown : Round::kNearest;
  return rules;
}

void cast(KernelContext& context, const Tensor& input, ElementType to, const CastRules& rules) {
  const ElementType from = input.element_type();
  if (element_bits(to) == 0) {
    base::fail(ErrorCode::kUnimplemented, "op.type", "Cast's target does not support element type {}",
               static_cast<int>(to));
  }
  if (!is_of_the_language(from) || !is_of_the_language(to)) {
    return convert_elements(context.threads(), input, rules, context.allocate_output(0, to, input.shape()));
  }
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
  return make_kernel([to, rules = cast_rules(info.attributes)](KernelContext& context) {
    cast(context, context.input(0), static_cast<ElementType>(to), rules);
  });
}

std::unique_ptr<Kernel> make_CastLike(const KernelInfo& info) {
  return make_kernel([rules = cast_rules(info.attributes)](KernelContext& context) {
    cast(context, context.input(0), context.input(1).element_type(), rules);
  });
}

// The same bits as elements of another type of the same width.
std::unique_ptr<Kernel> make_BitCast(const KernelInfo& info) {
  const std::int64_t wanted = info.attributes.require_int("to");
  const auto to = static_cast<ElementType>(wanted);
  if (wanted < 0 || wanted > 255 || element_bits(to) == 0 || to == ElementType::kString) {
    base::invalid("op.attribute", "attribute 'to' names no type of numbers: {}", wanted);
  }
  return make_kernel([to](KernelContext& context) {
    const Tensor& input = context.input(0);
    const ElementType from = input.element_type();
    if (from == ElementType::kString || element_bits(from) != element_bits(to)) {
      base::invalid("op.type", "BitCast needs types of one width, but has {} and {}", element_type_name(from),
                    element_type_name(to));
    }
    if (to != ElementType::kBool) {
      return context.set_output(0, Tensor::wrap(to, input.shape(), const_cast<void*>(input.raw_data()), input.owner()));
    }
    // A bool is 0 or 1: other bits would be none.
    Tensor& output = context.allocate_output(0, to, input.shape());
    map_elements(context.threads(), input.element_count(), static_cast<const std::uint8_t*>(input.raw_data()),
                 output.data<bool>(), [](std::uint8_t x) { return x != 0; });
  });
}

}  // namespace lanner::kernels
