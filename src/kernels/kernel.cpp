#include "kernels/kernel.h"

#include "base/fail.h"
#include "kernels/strided.h"

namespace lanner::kernels {

const Value& KernelContext::input_value(int index) const {
  if (!has_input(index)) base::invalid("op.input", "input {} is required, but absent", index);
  return *inputs_[static_cast<std::size_t>(index)];
}

const Tensor& KernelContext::input(int index) const {
  const Value& value = input_value(index);
  if (!value.is_tensor()) base::invalid("op.input", "input {} must be a tensor, but is a sequence", index);
  return value.tensor();
}

Tensor& KernelContext::allocate_output(int index, ElementType type, const Shape& shape) {
  if (!wants_output(index)) {
    return unwanted_.emplace_front(Tensor::allocate(type, shape, allocator_)).tensor();
  }
  Value& output = *outputs_[static_cast<std::size_t>(index)];
  output = memory_.allocate(index, type, shape);
  return output.tensor();
}

Tensor& KernelContext::take_first_input() {
  const Tensor& from = input(0);
  if (may_reuse_ && from.owner().use_count() == 1 && wants_output(0)) {
    set_output(0, from);
    return outputs_[0]->tensor();
  }
  Tensor& copy = allocate_output(0, from.element_type(), from.shape());
  copy_elements(threads_, from.element_type(), from.element_count(), from.raw_data(), copy.raw_data());
  return copy;
}

void KernelContext::set_output(int index, Value value) {
  if (wants_output(index)) *outputs_[static_cast<std::size_t>(index)] = std::move(value);
}

int normalize_axis(std::int64_t axis, int rank) {
  if (axis < -rank || axis >= rank) {
    base::invalid("op.axis", "an axis must be in [{}, {}] for rank {}, but is {}", -rank, rank - 1, rank, axis);
  }
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

std::vector<std::int64_t> read_indices(const Tensor& tensor, std::string_view name) {
  if (tensor.rank() > 1) {
    base::invalid("op.rank", "input '{}' must have rank 0 or 1, but has {}", name, tensor.rank());
  }
  if (tensor.element_type() == ElementType::kInt64) {
    const auto values = tensor.values<std::int64_t>();
    return {values.begin(), values.end()};
  }
  if (tensor.element_type() == ElementType::kInt32) {
    const auto values = tensor.values<std::int32_t>();
    return {values.begin(), values.end()};
  }
  base::invalid("op.type", "input '{}' must be int64 or int32, but is {}", name,
                element_type_name(tensor.element_type()));
}

}  // namespace lanner::kernels
