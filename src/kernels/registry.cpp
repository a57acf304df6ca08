#include "kernels/registry.h"

#include <algorithm>

#include "base/fail.h"
#include "kernels/half_precision.h"

namespace lanner::kernels {

#define LANNER_OPERATOR(name, file, aliasing) std::unique_ptr<Kernel> make_##name(const KernelInfo& info);
#include "kernels/operators.def"
#undef LANNER_OPERATOR

namespace {

template <MakeKernel kMake, int kKeptOutputs>
std::unique_ptr<Kernel> make_with_half_precision(const KernelInfo& info) {
  return with_half_precision(kMake(info), kKeptOutputs);
}

// What makes the kernel of operator `name`, by itself or for 16-bit floats as well.
template <MakeKernel kMake, typename Name>
constexpr MakeKernel make_of(Name name) {
  constexpr std::optional<internal::HalfPrecisionRow> row = internal::half_precision_row(name());
  if constexpr (row.has_value())
    return make_with_half_precision<kMake, row->kept_outputs>;
  else
    return kMake;
}

constexpr OperatorRow kOperators[] = {
#define LANNER_OPERATOR(name, file, aliasing) \
  {#name, make_of<make_##name>([] { return std::string_view(#name); }), Aliasing::aliasing},
#include "kernels/operators.def"
#undef LANNER_OPERATOR
};

static_assert(std::ranges::is_sorted(kOperators, {}, &OperatorRow::name), "operators.def is sorted by name");

class HeapOutputs final : public OutputMemory {
 public:
  Tensor allocate(int, ElementType type, const Shape& shape) override { return Tensor::allocate(type, shape); }
};

}  // namespace

const OperatorRow* find_operator(std::string_view name) {
  const auto* row = std::ranges::lower_bound(kOperators, name, {}, &OperatorRow::name);
  return row != std::end(kOperators) && row->name == name ? row : nullptr;
}

std::span<const OperatorRow> operators() {
  return kOperators;
}

std::vector<Value> run_operator(std::string_view name, const tensor::Attributes& attributes,
                                std::span<const Tensor> inputs, int output_count, int threads) {
  const OperatorRow* row = find_operator(name);
  if (row == nullptr) base::fail(ErrorCode::kUnimplemented, "op.unsupported", "operator {} has no kernel", name);
  std::vector<Value> values(inputs.begin(), inputs.end());
  std::vector<const Value*> input_pointers;
  for (const Value& value : values) input_pointers.push_back(value.tensor().defined() ? &value : nullptr);
  std::vector<Value> outputs(static_cast<std::size_t>(output_count));
  std::vector<Value*> output_pointers;
  for (Value& output : outputs) output_pointers.push_back(&output);
  HeapOutputs memory;
  KernelContext context(input_pointers, output_pointers, memory, heap_allocator(), threads);
  row->make({attributes, static_cast<int>(inputs.size()), output_count})->run(context);
  return outputs;
}

}  // namespace lanner::kernels
