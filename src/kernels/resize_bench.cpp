// Resize as feature pyramids and detectors' first steps use it.
#include <benchmark/benchmark.h>

#include "kernels/bench_testing.h"

namespace lanner::kernels {
namespace {

// Arguments: linear or nearest, the coordinates, channels, height, width, new height, new width, threads.
void resize(benchmark::State& state) {
  constexpr const char* kCoordinates[] = {"half_pixel", "align_corners", "asymmetric"};
  tensor::Attributes attributes;
  attributes.set("mode", std::string(state.range(0) != 0 ? "linear" : "nearest"));
  attributes.set("coordinate_transformation_mode", std::string(kCoordinates[state.range(1)]));
  if (state.range(0) == 0) attributes.set("nearest_mode", std::string("floor"));
  const Tensor sizes = Tensor::of<std::int64_t>({4}, {1, state.range(2), state.range(5), state.range(6)});
  testing::run_benchmark(state, "Resize", attributes,
                         {testing::random_floats({1, state.range(2), state.range(3), state.range(4)}), {}, {}, sizes},
                         static_cast<int>(state.range(7)));
}
BENCHMARK(resize)
    ->Args({0, 2, 256, 20, 20, 40, 40, 1})
    ->Args({0, 2, 128, 40, 40, 80, 80, 1})
    ->Args({0, 0, 256, 25, 38, 50, 75, 1})
    ->Args({0, 2, 256, 80, 80, 40, 40, 1})
    ->Args({1, 0, 256, 20, 20, 40, 40, 1})
    ->Args({1, 1, 128, 40, 40, 80, 80, 1})
    ->Args({1, 0, 3, 480, 640, 800, 1066, 1})
    ->Args({1, 0, 3, 1080, 1920, 640, 640, 1})
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(resize)->Args({1, 0, 3, 480, 640, 800, 1066, 2})->Unit(benchmark::kMicrosecond)->UseRealTime();

}  // namespace
}  // namespace lanner::kernels
