// FusedConv: activation(Conv(X, W, B) + residual), made by the compiler and no ONNX operator. Inputs X, W, optional B,
// optional residual of the convolution's output shape. Attributes: those of Conv; `activation`, an ONNX operator's name
// or absent; and that operator's float attributes, for Clip `min` and `max`.
//
// Each part is the stand-alone operator's own kernel, the last two run in place, so the results are the same bits.
#include <limits>
#include <string>

#include "base/fail.h"
#include "kernels/kernel.h"

namespace lanner::kernels {

std::unique_ptr<Kernel> make_Add(const KernelInfo& info);
std::unique_ptr<Kernel> make_Clip(const KernelInfo& info);
std::unique_ptr<Kernel> make_Conv(const KernelInfo& info);
std::unique_ptr<Kernel> make_Elu(const KernelInfo& info);
std::unique_ptr<Kernel> make_HardSigmoid(const KernelInfo& info);
std::unique_ptr<Kernel> make_HardSwish(const KernelInfo& info);
std::unique_ptr<Kernel> make_LeakyRelu(const KernelInfo& info);
std::unique_ptr<Kernel> make_Relu(const KernelInfo& info);
std::unique_ptr<Kernel> make_Sigmoid(const KernelInfo& info);
std::unique_ptr<Kernel> make_Swish(const KernelInfo& info);
std::unique_ptr<Kernel> make_Tanh(const KernelInfo& info);

namespace {

struct Activation {
  std::string_view name;
  MakeKernel make;
};

constexpr Activation kActivations[] = {
    {"Clip", make_Clip},
    {"Elu", make_Elu},
    {"HardSigmoid", make_HardSigmoid},
    {"HardSwish", make_HardSwish},
    {"LeakyRelu", make_LeakyRelu},
    {"Relu", make_Relu},
    {"Sigmoid", make_Sigmoid},
    {"Swish", make_Swish},
    {"Tanh", make_Tanh},
};

// Null for no activation.
std::unique_ptr<Kernel> make_activation(const tensor::Attributes& attributes) {
  const std::string wanted = attributes.get_string("activation", "");
  if (wanted.empty()) return nullptr;
  for (const Activation& activation : kActivations) {
    if (activation.name == wanted) return activation.make({attributes, wanted == "Clip" ? 3 : 1, 1});
  }
  base::invalid("op.attribute", "attribute 'activation' names no activation that FusedConv knows, but '{}'", wanted);
}

// Gives out the fused output's memory: new for the convolution, then the same again for what runs in place.
class FusedOutput final : public OutputMemory {
 public:
  explicit FusedOutput(KernelContext& context) : context_(context) {}
  Tensor allocate(int, ElementType type, const Shape& shape) override {
    if (!output_.defined()) output_ = context_.allocate_output(0, type, shape);
    if (output_.element_type() != type || output_.shape() != shape) {
      base::invalid("op.shape", "the residual must have the convolution's output shape {}, but the sum has shape {}",
                    output_.shape().to_string(), shape.to_string());
    }
    return output_;
  }

 private:
  KernelContext& context_;
  Tensor output_;
};

// The kernel's own Allocator is the outer context's.
class Scratch final : public Allocator {
 public:
  explicit Scratch(KernelContext& context) : context_(context) {}
  std::shared_ptr<void> allocate(std::size_t byte_count) override {
    return context_.allocate_scratch(ElementType::kUint8, {static_cast<std::int64_t>(byte_count)}).owner();
  }

 private:
  KernelContext& context_;
};

Tensor limit(ElementType type, float value) {
  return type == ElementType::kFloat64 ? Tensor::scalar<double>(value) : Tensor::scalar<float>(value);
}

}  // namespace

std::unique_ptr<Kernel> make_FusedConv(const KernelInfo& info) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const bool clips = info.attributes.get_string("activation", "") == "Clip";
  const float low = clips ? info.attributes.get_float("min", -kInfinity) : 0;
  const float high = clips ? info.attributes.get_float("max", kInfinity) : 0;
  return make_kernel([=, conv = make_Conv({info.attributes, 3, 1}), add = make_Add({{}, 2, 1}),
                      activation = make_activation(info.attributes)](KernelContext& context) {
    FusedOutput memory(context);
    Scratch scratch(context);
    Value result;
    const auto run = [&](const Kernel& kernel, std::initializer_list<const Value*> inputs) {
      Value* const output = &result;
      KernelContext inner({inputs.begin(), inputs.size()}, {&output, 1}, memory, scratch, context.threads());
      kernel.run(inner);
    };
    run(*conv,
        {&context.input_value(0), &context.input_value(1), context.has_input(2) ? &context.input_value(2) : nullptr});
    // Kernels read an input while they make their output, so the two are distinct values over one memory.
    if (context.has_input(3)) {
      const Value sum = result;
      run(*add, {&sum, &context.input_value(3)});
    }
    if (activation == nullptr) return;
    const Value sum = result;
    if (!clips) return run(*activation, {&sum});
    const ElementType type = sum.tensor().element_type();
    const Value least = limit(type, low);
    const Value most = limit(type, high);
    run(*activation, {&sum, &least, &most});
  });
}

}  // namespace lanner::kernels
