// Depthwise convolution (kernels/depthwise.h) beside oneDNN's, on the layers of MobileNets.
//
//     depthwise_bench --benchmark_enable_random_interleaving --benchmark_repetitions=5
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <unordered_map>

#include "backends/onednn/engine.h"
#include "base/memory.h"
#include "kernels/depthwise.h"

namespace lanner::backends::onednn {
namespace {

using I = std::int64_t;

struct Layer {
  const char* name;
  I channels;
  I size;  // of the input, both ways
  I kernel;
  I stride;
};

constexpr Layer kLayers[] = {
    {"16x160", 16, 160, 3, 1},    {"64x160_s2", 64, 160, 3, 2}, {"72x80", 72, 80, 3, 1},
    {"72x80k5_s2", 72, 80, 5, 2}, {"120x40k5", 120, 40, 5, 1},  {"240x40_s2", 240, 40, 3, 2},
    {"200x20", 200, 20, 3, 1},    {"672x20", 672, 20, 3, 1},    {"672x20k5_s2", 672, 20, 5, 2},
    {"480x10k5", 480, 10, 5, 1},  {"144x56", 144, 56, 3, 1},    {"384x14", 384, 14, 3, 1},
    {"960x7", 960, 7, 3, 1},
};

I output_size(const Layer& layer) {
  return (layer.size + 2 * (layer.kernel / 2) - layer.kernel) / layer.stride + 1;
}

void report(benchmark::State& state, const Layer& layer) {
  const I outputs = layer.channels * output_size(layer) * output_size(layer);
  state.counters["GFLOP/s"] =
      benchmark::Counter(2e-9 * static_cast<double>(outputs * layer.kernel * layer.kernel * state.iterations()),
                         benchmark::Counter::kIsRate);
}

dnnl::convolution_forward::primitive_desc vendor_primitive(const Layer& layer) {
  const I n = output_size(layer);
  const I pad = layer.kernel / 2;
  const I end = (n - 1) * layer.stride + layer.kernel - layer.size - pad;
  const dnnl::convolution_forward::desc description(
      dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct,
      blocked_desc({1, layer.channels, layer.size, layer.size}),
      any_desc({layer.channels, 1, 1, layer.kernel, layer.kernel}, Number::f32), plain_desc({layer.channels}),
      blocked_desc({1, layer.channels, n, n}), {layer.stride, layer.stride}, {0, 0}, {pad, pad}, {end, end});
  dnnl::post_ops post;
  post.append_eltwise(1.0F, dnnl::algorithm::eltwise_relu, 0, 0);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  attributes.set_post_ops(post);
  return {description, attributes, engine()};
}

// Memory of a description, filled with small numbers.
struct Memory {
  explicit Memory(const Desc& desc) : desc(desc), owner(base::allocate_shared_memory(desc.get_size())) {
    auto* const values = static_cast<float*>(owner.get());
    for (std::size_t i = 0; i < desc.get_size() / sizeof(float); ++i) values[i] = static_cast<float>(i % 100) / 100;
  }
  dnnl::memory bound() const { return {desc, engine(), owner.get()}; }
  Desc desc;
  std::shared_ptr<void> owner;
};

void run(benchmark::State& state, const Layer& layer, bool is_own, int threads) {
  const auto primitive = vendor_primitive(layer);
  const Memory input(primitive.src_desc());
  const Memory weights(primitive.weights_desc());
  const Memory bias(primitive.bias_desc());
  const Memory output(primitive.dst_desc());
  if (is_own) {
    const kernels::DepthwiseLoops* loops = kernels::find_loops(kernels::depthwise_loops_rows(), has_avx512() ? 16 : 8);
    if (loops == nullptr) return state.SkipWithError("not on this CPU");
    const I n = output_size(layer);
    const kernels::Depthwise depthwise(*loops, {1, layer.channels, layer.size, layer.size, layer.kernel, layer.kernel,
                                                layer.stride, layer.kernel / 2, layer.kernel / 2, n, n});
    for (auto _ : state) {
      depthwise.run({input.owner.get(), static_cast<const float*>(weights.owner.get()),
                     static_cast<const float*>(bias.owner.get()), output.owner.get(), kernels::ImageActivation::relu()},
                    threads);
    }
  } else {
    const ThreadCount count(threads);
    const dnnl::convolution_forward convolution(primitive);
    dnnl::stream stream(engine());
    const Memory scratch(primitive.scratchpad_desc());
    const std::unordered_map<int, dnnl::memory> arguments{{DNNL_ARG_SRC, input.bound()},
                                                          {DNNL_ARG_SCRATCHPAD, scratch.bound()},
                                                          {DNNL_ARG_WEIGHTS, weights.bound()},
                                                          {DNNL_ARG_BIAS, bias.bound()},
                                                          {DNNL_ARG_DST, output.bound()}};
    for (auto _ : state) convolution.execute(stream, arguments);
  }
  report(state, layer);
}

const int registered = [] {
  for (const Layer& layer : kLayers) {
    for (const int threads : {1, 2}) {
      for (const bool is_own : {true, false}) {
        const std::string name =
            std::string(layer.name) + (is_own ? "/own/" : "/onednn_direct/") + std::to_string(threads);
        benchmark::RegisterBenchmark(
            name.c_str(), [&layer, is_own, threads](benchmark::State& state) { run(state, layer, is_own, threads); })
            ->UseRealTime()
            ->Unit(benchmark::kMicrosecond);
      }
    }
  }
  return 0;
}();

}  // namespace
}  // namespace lanner::backends::onednn
