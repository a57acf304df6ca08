#include "kernels/half_precision.h"

#include "kernels/elementwise.h"

namespace lanner::kernels {

namespace {

using tensor::HalfTypes;

bool is_half(ElementType type) {
  return type == ElementType::kFloat16 || type == ElementType::kBfloat16;
}

bool is_half(const Value* value) {
  return value != nullptr && value->is_tensor() && is_half(value->tensor().element_type());
}

bool is_floating_point(const Value* value) {
  if (value == nullptr || !value->is_tensor()) return false;
  const ElementType type = value->tensor().element_type();
  return is_half(type) || type == ElementType::kFloat32 || type == ElementType::kFloat64;
}

Tensor widened(KernelContext& context, const Tensor& from) {
  Tensor to = context.allocate_scratch(ElementType::kFloat32, from.shape());
  tensor::dispatch(HalfTypes{}, from.element_type(), "a conversion", [&]<typename T>() {
    map_elements(context.threads(), from.element_count(), from.data<T>(), to.data<float>(),
                 [](T x) { return static_cast<float>(x); });
  });
  return to;
}

// What becomes an output of `type` is scratch memory first; the rest is the run's own.
class WideOutputs final : public OutputMemory {
 public:
  WideOutputs(KernelContext& context, int kept_outputs) : context_(context), kept_outputs_(kept_outputs) {}

  bool rounds(int index, ElementType type) const { return type == ElementType::kFloat32 && index < kept_outputs_; }

  Tensor allocate(int index, ElementType type, const Shape& shape) override {
    return rounds(index, type) ? context_.allocate_scratch(type, shape) : context_.allocate_output(index, type, shape);
  }

 private:
  KernelContext& context_;
  int kept_outputs_;
};

class HalfPrecisionKernel final : public Kernel {
 public:
  HalfPrecisionKernel(std::unique_ptr<Kernel> kernel, int kept_outputs)
      : kernel_(std::move(kernel)), kept_outputs_(kept_outputs) {}

  void run(KernelContext& context) const override {
    const std::span<const Value* const> given = context.inputs();
    if (std::ranges::none_of(given, [](const Value* input) { return is_half(input); })) return kernel_->run(context);
    const ElementType type = (*std::ranges::find_if(given, is_floating_point))->tensor().element_type();
    std::vector<Value> values(given.size());
    std::vector<const Value*> inputs(given.begin(), given.end());
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (!is_half(inputs[i])) continue;
      values[i] = widened(context, inputs[i]->tensor());
      inputs[i] = &values[i];
    }
    std::vector<Value> results(static_cast<std::size_t>(context.output_count()));
    std::vector<Value*> outputs(results.size(), nullptr);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (context.wants_output(static_cast<int>(i))) outputs[i] = &results[i];
    }
    WideOutputs memory(context, is_half(type) ? kept_outputs_ : 0);
    KernelContext wide(inputs, outputs, memory, context.allocator(), context.threads());
    kernel_->run(wide);
    for (std::size_t i = 0; i < results.size(); ++i) {
      const int index = static_cast<int>(i);
      if (outputs[i] == nullptr || !results[i].is_tensor()) continue;
      const Tensor& result = results[i].tensor();
      if (!memory.rounds(index, result.element_type())) continue;
      tensor::dispatch(HalfTypes{}, type, "a conversion", [&]<typename T>() {
        T* out = context.allocate_output(index, type, result.shape()).template data<T>();
        map_elements(context.threads(), result.element_count(), result.data<float>(), out,
                     [](float x) { return T(x); });
      });
    }
  }

 private:
  std::unique_ptr<Kernel> kernel_;
  int kept_outputs_;
};

}  // namespace

std::unique_ptr<Kernel> with_half_precision(std::unique_ptr<Kernel> kernel, int kept_outputs) {
  return std::make_unique<HalfPrecisionKernel>(std::move(kernel), kept_outputs);
}

}  // namespace lanner::kernels
