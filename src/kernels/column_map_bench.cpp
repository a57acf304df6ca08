// Decoding the boxes of an SSD: centre and size relative to anchors, to corners within the image.
#include <benchmark/benchmark.h>

#include "kernels/head_testing.h"
#include "kernels/registry.h"

namespace lanner::kernels {
namespace {

using I = std::int64_t;

tensor::Attributes decode_program() {
  tensor::Attributes attributes;
  attributes.set("layouts", std::vector<std::string>{"crc", "rc", "rc", "rc", "rc"});
  attributes.set("steps", std::vector<std::string>{"Div x0.0 10",
                                                   "Mul t0 x1.0",
                                                   "Add t1 x2.0",
                                                   "Div x0.2 5",
                                                   "AtMost t3 4.1351666",
                                                   "Exp t4",
                                                   "Mul t5 x1.0",
                                                   "Mul 0.5 t6",
                                                   "Sub t2 t7",
                                                   "Max t8 0",
                                                   "Min t9 300",
                                                   "Div x0.1 10",
                                                   "Mul t11 x3.0",
                                                   "Add t12 x4.0",
                                                   "Div x0.3 5",
                                                   "AtMost t14 4.1351666",
                                                   "Exp t15",
                                                   "Mul t16 x3.0",
                                                   "Mul 0.5 t17",
                                                   "Sub t13 t18",
                                                   "Max t19 0",
                                                   "Min t20 300",
                                                   "Add t2 t7",
                                                   "Max t22 0",
                                                   "Min t23 300",
                                                   "Add t13 t18",
                                                   "Max t25 0",
                                                   "Min t26 300"});
  attributes.set("results", std::vector<std::string>{"r 4 = t10 t21 t24 t27"});
  return attributes;
}

void column_map(benchmark::State& state) {
  class Memory final : public OutputMemory {
   public:
    Tensor allocate(int, ElementType type, const Shape& shape) override {
      if (!tensor_.defined()) tensor_ = Tensor::allocate(type, shape);
      return tensor_;
    }

   private:
    Tensor tensor_;
  };
  testing::Random random(1);
  std::vector<Value> values;
  for (int i = 0; i < 5; ++i) {
    values.emplace_back(
        Tensor::allocate(ElementType::kFloat32, i == 0 ? Shape{1, state.range(0), 4} : Shape{state.range(0), 1}));
    for (float& value : values.back().tensor().values<float>()) value = random.unit() - 0.5f;
  }
  std::vector<const Value*> inputs;
  for (const Value& value : values) inputs.push_back(&value);
  Value output;
  Value* outputs[] = {&output};
  Memory memory;
  const auto kernel = find_operator("ColumnMap")->make({decode_program(), static_cast<int>(inputs.size()), 1});
  for (auto _ : state) {
    KernelContext context(inputs, outputs, memory, heap_allocator(), static_cast<int>(state.range(1)));
    kernel->run(context);
  }
}
BENCHMARK(column_map)->Args({1917, 1})->Args({8732, 1})->Args({120'000, 1})->Unit(benchmark::kMicrosecond);
BENCHMARK(column_map)->Args({120'000, 2})->Unit(benchmark::kMicrosecond)->UseRealTime();

}  // namespace
}  // namespace lanner::kernels
