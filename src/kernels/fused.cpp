// FusedConv and FusedMatMul: activation(product + residual) or, with `residual_last`, activation(product) + residual;
// made by the compiler and no ONNX operators. The product is
//  - of FusedConv Conv(X, W, B), with the attributes of Conv;
//  - of FusedMatMul X W + B for X of shape [..., depth], a matrix W, transposed with `transB`, and B of one value per
//    column.
// Inputs X, W, optional B, optional residual of the product's shape. Attributes: `activation`, an ONNX operator's name
// or absent; and that operator's attributes, for Clip floats `min` and `max`.
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
std::unique_ptr<Kernel> make_Gelu(const KernelInfo& info);
std::unique_ptr<Kernel> make_Gemm(const KernelInfo& info);
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
    {"Clip", make_Clip},           {"Elu", make_Elu},
    {"Gelu", make_Gelu},           {"HardSigmoid", make_HardSigmoid},
    {"HardSwish", make_HardSwish}, {"LeakyRelu", make_LeakyRelu},
    {"Relu", make_Relu},           {"Sigmoid", make_Sigmoid},
    {"Swish", make_Swish},         {"Tanh", make_Tanh},
};

// Null for no activation.
std::unique_ptr<Kernel> make_activation(const tensor::Attributes& attributes) {
  const std::string wanted = attributes.get_string("activation", "");
  if (wanted.empty()) return nullptr;
  for (const Activation& activation : kActivations) {
    if (activation.name == wanted) return activation.make({attributes, wanted == "Clip" ? 3 : 1, 1});
  }
  base::invalid("op.attribute", "attribute 'activation' names no activation that fuses, but '{}'", wanted);
}

// Gives out the fused output's memory: new for the product, then the same again for what runs in place.
class FusedOutput final : public OutputMemory {
 public:
  // The product's rows are `rows` of the output, if there are any, or its own.
  FusedOutput(KernelContext& context, std::span<const std::int64_t> rows) : context_(context), rows_(rows) {}
  Tensor allocate(int, ElementType type, const Shape& shape) override {
    if (!output_.defined()) {
      Shape outer = shape;
      if (!rows_.empty()) {
        outer = Shape(rows_);
        outer.push_back(shape[shape.rank() - 1]);
      }
      output_ = context_.allocate_output(0, type, outer);
      return output_.reshaped(shape);
    }
    if (output_.element_type() != type || output_.shape() != shape) {
      base::invalid("op.shape", "the residual must have the output's shape {}, but the sum has shape {}",
                    output_.shape().to_string(), shape.to_string());
    }
    return output_;
  }
  const Tensor& output() const { return output_; }

 private:
  KernelContext& context_;
  std::span<const std::int64_t> rows_;
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

// What follows a product.
class Epilogue {
 public:
  explicit Epilogue(const tensor::Attributes& attributes)
      : residual_last_(attributes.get_int("residual_last", 0) != 0),
        add_(make_Add({{}, 2, 1})),
        activation_(make_activation(attributes)),
        clips_(attributes.get_string("activation", "") == "Clip") {
    if (!clips_) return;
    low_ = attributes.get_float("min", low_);
    high_ = attributes.get_float("max", high_);
  }

  // `x` is what the product takes as its input X.
  void run_behind(const Kernel& product, const Tensor& x, std::span<const std::int64_t> rows,
                  KernelContext& context) const {
    FusedOutput memory(context, rows);
    Scratch scratch(context);
    Value result;
    const auto run = [&](const Kernel& kernel, std::initializer_list<const Value*> inputs) {
      Value* const output = &result;
      KernelContext inner({inputs.begin(), inputs.size()}, {&output, 1}, memory, scratch, context.threads());
      kernel.run(inner);
    };
    const Value input = x;
    run(product, {&input, &context.input_value(1), context.has_input(2) ? &context.input_value(2) : nullptr});
    // Kernels read an input while they make their output, so the two are distinct values over one memory.
    const auto add_residual = [&] {
      const Value sum = memory.output();
      if (context.has_input(3)) run(*add_, {&sum, &context.input_value(3)});
    };
    const auto activate = [&] {
      if (activation_ == nullptr) return;
      const Value sum = memory.output();
      if (!clips_) return run(*activation_, {&sum});
      const ElementType type = memory.output().element_type();
      const Value least = limit(type, low_);
      const Value most = limit(type, high_);
      run(*activation_, {&sum, &least, &most});
    };
    if (!residual_last_) add_residual();
    activate();
    if (residual_last_) add_residual();
  }

 private:
  bool residual_last_;
  std::unique_ptr<Kernel> add_;
  std::unique_ptr<Kernel> activation_;  // or null
  bool clips_;
  float low_ = -std::numeric_limits<float>::infinity();
  float high_ = std::numeric_limits<float>::infinity();
};

}  // namespace

std::unique_ptr<Kernel> make_FusedConv(const KernelInfo& info) {
  return make_kernel([conv = make_Conv({info.attributes, 3, 1}), epilogue = Epilogue(info.attributes)](
                         KernelContext& context) { epilogue.run_behind(*conv, context.input(0), {}, context); });
}

std::unique_ptr<Kernel> make_FusedMatMul(const KernelInfo& info) {
  // `alpha` and `beta` are the activation's.
  tensor::Attributes product;
  product.set("transB", info.attributes.get_int("transB", 0));
  return make_kernel([gemm = make_Gemm({product, 3, 1}), epilogue = Epilogue(info.attributes)](KernelContext& context) {
    const Tensor& x = context.input(0);
    const int rank = x.rank();
    if (rank < 2) base::invalid("op.rank", "the left side must have rank 2 or more, but has {}", rank);
    if (context.has_input(2) && context.input(2).rank() != 1) {
      base::invalid("op.rank", "the bias must have rank 1, but has {}", context.input(2).rank());
    }
    const Tensor flat = x.reshaped({x.shape().element_count(0, rank - 1), x.shape()[rank - 1]});
    epilogue.run_behind(*gemm, flat, x.shape().dims().first(static_cast<std::size_t>(rank - 1)), context);
  });
}

}  // namespace lanner::kernels
