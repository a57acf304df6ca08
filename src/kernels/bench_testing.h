// What micro-benchmarks of kernels share: running one again and again on the same tensors, into the same memory.
#pragma once

#include <benchmark/benchmark.h>

#include <string_view>
#include <vector>

#include "kernels/head_testing.h"
#include "kernels/registry.h"

namespace lanner::kernels::testing {

// Values in [-5, 5).
inline Tensor random_floats(const Shape& shape) {
  Random random(1);
  Tensor tensor = Tensor::allocate(ElementType::kFloat32, shape);
  for (float& value : tensor.values<float>()) value = 10 * random.unit() - 5;
  return tensor;
}

inline void run_benchmark(benchmark::State& state, std::string_view name, const tensor::Attributes& attributes,
                          const std::vector<Tensor>& tensors, int threads) {
  class Memory final : public OutputMemory {
   public:
    Tensor allocate(int index, ElementType type, const Shape& shape) override {
      Tensor& tensor = tensors_[static_cast<std::size_t>(index)];
      if (!tensor.defined()) tensor = Tensor::allocate(type, shape);
      return tensor;
    }

   private:
    Tensor tensors_[2];
  };
  std::vector<Value> values;
  for (const Tensor& tensor : tensors) values.emplace_back(tensor);
  std::vector<const Value*> inputs;
  for (std::size_t i = 0; i < values.size(); ++i) {
    inputs.push_back(tensors[i].defined() ? &values[i] : nullptr);
  }
  Value results[2];
  Value* outputs[] = {&results[0], &results[1]};
  Memory memory;
  const auto kernel = find_operator(name)->make({attributes, static_cast<int>(inputs.size()), 2});
  for (auto _ : state) {
    KernelContext context(inputs, outputs, memory, heap_allocator(), threads);
    kernel->run(context);
  }
}

}  // namespace lanner::kernels::testing
