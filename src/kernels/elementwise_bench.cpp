// Element-wise operators on tensors of a detector's sizes: operator by operator, and by how an operand broadcasts.
#include <benchmark/benchmark.h>

#include "kernels/bench_testing.h"

namespace lanner::kernels {
namespace {

constexpr std::int64_t kPlane = 307'200;  // 3 x 320 x 320

const char* const kUnary[] = {"Abs",  "Neg",       "Floor", "Sqrt",      "Exp",         "Sigmoid", "Tanh",
                              "Relu", "LeakyRelu", "Clip",  "HardSwish", "HardSigmoid", "Swish",   "IsNaN"};
const char* const kBinary[] = {"Add", "Sub", "Mul", "Div", "Max", "Min", "Greater", "Equal", "LessOrEqual"};

void unary(benchmark::State& state) {
  const char* name = kUnary[state.range(0)];
  state.SetLabel(name);
  testing::run_benchmark(state, name, {}, {testing::random_floats({kPlane})}, static_cast<int>(state.range(1)));
}
BENCHMARK(unary)->ArgsProduct({benchmark::CreateDenseRange(0, 13, 1), {1}})->Unit(benchmark::kMicrosecond);
BENCHMARK(unary)->Args({4, 2})->Unit(benchmark::kMicrosecond)->UseRealTime();

void binary(benchmark::State& state) {
  const char* name = kBinary[state.range(0)];
  state.SetLabel(name);
  testing::run_benchmark(state, name, {}, {testing::random_floats({kPlane}), testing::random_floats({kPlane})},
                         static_cast<int>(state.range(1)));
}
BENCHMARK(binary)->ArgsProduct({benchmark::CreateDenseRange(0, 8, 1), {1}})->Unit(benchmark::kMicrosecond);
BENCHMARK(binary)->Args({1, 2})->Unit(benchmark::kMicrosecond)->UseRealTime();

// A Sub whose second operand is a number, a number a plane, a row, a short row, a number a short row, a small tensor.
void broadcast(benchmark::State& state) {
  const Shape shapes[][2] = {{{kPlane}, {1}},        {{1, 3, 320, 320}, {3, 1, 1}},      {{1200, 256}, {256}},
                             {{kPlane / 4, 4}, {4}}, {{kPlane / 4, 4}, {kPlane / 4, 1}}, {{1024}, {1024}},
                             {{16384}, {16384}}};
  const auto& [a, b] = shapes[state.range(0)];
  state.SetLabel(a.to_string() + " " + b.to_string());
  testing::run_benchmark(state, "Sub", {}, {testing::random_floats(a), testing::random_floats(b)}, 1);
}
BENCHMARK(broadcast)->DenseRange(0, 6)->Unit(benchmark::kMicrosecond);

void where(benchmark::State& state) {
  Tensor condition = Tensor::allocate(ElementType::kBool, {kPlane});
  testing::Random random(3);
  for (bool& value : condition.values<bool>()) value = random.one_in(2);
  testing::run_benchmark(state, "Where", {},
                         {condition, testing::random_floats({kPlane}), testing::random_floats({state.range(0)})}, 1);
}
BENCHMARK(where)->Arg(kPlane)->Arg(1)->Unit(benchmark::kMicrosecond);

void cast(benchmark::State& state) {
  const ElementType types[] = {ElementType::kFloat32, ElementType::kInt64, ElementType::kInt32, ElementType::kBool};
  const ElementType from = types[state.range(0)];
  const ElementType to = types[state.range(1)];
  state.SetLabel(std::string(element_type_name(from)) + " " + std::string(element_type_name(to)));
  tensor::Attributes first;
  first.set("to", static_cast<std::int64_t>(from));
  tensor::Attributes second;
  second.set("to", static_cast<std::int64_t>(to));
  const Tensor input = run_operator("Cast", first, std::vector{testing::random_floats({kPlane})}, 1, 1)[0].tensor();
  testing::run_benchmark(state, "Cast", second, {input}, 1);
}
BENCHMARK(cast)
    ->Args({0, 1})
    ->Args({0, 2})
    ->Args({0, 3})
    ->Args({1, 0})
    ->Args({1, 2})
    ->Args({1, 3})
    ->Args({2, 0})
    ->Args({2, 1})
    ->Args({3, 0})
    ->Args({3, 1})
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace lanner::kernels
