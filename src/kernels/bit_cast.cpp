// BitCast: the same bits as elements of another type of as many bits.
#include <cstring>

#include "base/fail.h"
#include "kernels/kernel.h"

namespace lanner::kernels {

std::unique_ptr<Kernel> make_BitCast(const KernelInfo& info) {
  const std::int64_t number = info.attributes.require_int("to");
  const bool known = number > 0 && number <= 255 && element_bits(static_cast<ElementType>(number)) != 0;
  if (!known || static_cast<ElementType>(number) == ElementType::kString) {
    base::invalid("op.attribute", "attribute 'to' must name an element type of numbers, but is {}", number);
  }
  return make_kernel([to = static_cast<ElementType>(number)](KernelContext& context) {
    const Tensor& input = context.input(0);
    const ElementType from = input.element_type();
    if (from == ElementType::kString || element_bits(from) != element_bits(to)) {
      base::invalid("op.type", "BitCast needs types of as many bits, but has {} and {}", element_type_name(from),
                    element_type_name(to));
    }
    Tensor& output = context.allocate_output(0, to, input.shape());
    if (to == ElementType::kBool) {
      const auto* in = static_cast<const std::uint8_t*>(input.raw_data());
      for (bool& value : output.values<bool>()) value = *in++ != 0;
    } else if (input.byte_count() != 0) {
      std::memcpy(output.raw_data(), input.raw_data(), input.byte_count());
    }
  });
}

}  // namespace lanner::kernels
