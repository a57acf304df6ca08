// Depthwise convolution (kernels/depthwise.h) beside oneDNN's, on the layers of MobileNets; and a pointwise convolution
// with the depthwise one behind it, in two steps and as one (kernels/pointwise_depthwise.h and oneDNN's, which is one
// only where the image between them exceeds the caches).
//
//     depthwise_bench --benchmark_enable_random_interleaving --benchmark_repetitions=5
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "backends/onednn/algorithm.h"
#include "backends/onednn/engine.h"
#include "base/memory.h"
#include "kernels/depthwise.h"
#include "kernels/pointwise_depthwise.h"

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

using Convolution = dnnl::convolution_forward;

void append_relu(dnnl::post_ops& operations) {
  operations.append_eltwise(1.0F, dnnl::algorithm::eltwise_relu, 0, 0);
}

dnnl::primitive_attr attributes_with(const dnnl::post_ops& operations) {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  attributes.set_post_ops(operations);
  return attributes;
}

Convolution::primitive_desc vendor_depthwise(const Layer& layer) {
  const I n = output_size(layer);
  const I pad = layer.kernel / 2;
  const I end = (n - 1) * layer.stride + layer.kernel - layer.size - pad;
  const Convolution::desc description(dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct,
                                      blocked_desc({1, layer.channels, layer.size, layer.size}),
                                      any_desc({layer.channels, 1, 1, layer.kernel, layer.kernel}, Number::f32),
                                      plain_desc({layer.channels}), blocked_desc({1, layer.channels, n, n}),
                                      {layer.stride, layer.stride}, {0, 0}, {pad, pad}, {end, end});
  dnnl::post_ops operations;
  append_relu(operations);
  return {description, attributes_with(operations), engine()};
}

// With `both`, the depthwise one as a post-operation.
Convolution::primitive_desc vendor_pointwise(const Layer& layer, I inputs, bool both) {
  const Convolution::desc description(
      dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct,
      blocked_desc({1, inputs, layer.size, layer.size}), any_desc({layer.channels, inputs, 1, 1}, Number::f32),
      plain_desc({layer.channels}), blocked_desc({1, layer.channels, layer.size, layer.size}), {1, 1}, {0, 0}, {0, 0},
      {0, 0});
  dnnl::post_ops operations;
  append_relu(operations);
  if (both) {
    operations.append_dw(Number::f32, Number::f32, Number::f32, layer.kernel, layer.stride, layer.kernel / 2, 0, {});
    append_relu(operations);
  }
  return {description, attributes_with(operations), engine()};
}

// Memory of a description, filled with small numbers.
struct Memory {
  explicit Memory(const Desc& desc) : desc(desc), owner(base::allocate_shared_memory(desc.get_size())) {
    auto* const values = static_cast<float*>(owner.get());
    for (std::size_t i = 0; i < desc.get_size() / sizeof(float); ++i) values[i] = static_cast<float>(i % 100) / 100;
  }
  dnnl::memory bound() const { return {desc, engine(), owner.get()}; }
  float* floats() const { return static_cast<float*>(owner.get()); }
  Desc desc;
  std::shared_ptr<void> owner;
};

// A primitive with its memory, whose output another may read.
class Vendor {
 public:
  explicit Vendor(const Convolution::primitive_desc& primitive, const Memory* input = nullptr)
      : convolution_(primitive),
        input_(primitive.src_desc()),
        output_(primitive.dst_desc()),
        weights_(primitive.weights_desc()),
        bias_(primitive.bias_desc()),
        scratch_(primitive.scratchpad_desc()),
        arguments_{{DNNL_ARG_SRC, input != nullptr ? input->bound() : input_.bound()},
                   {DNNL_ARG_SCRATCHPAD, scratch_.bound()},
                   {DNNL_ARG_WEIGHTS, weights_.bound()},
                   {DNNL_ARG_BIAS, bias_.bound()},
                   {DNNL_ARG_DST, output_.bound()}} {}

  void also(int argument, const Memory& memory) { arguments_.insert_or_assign(argument, memory.bound()); }
  const Memory& output() const { return output_; }
  void run(dnnl::stream& stream) const { convolution_.execute(stream, arguments_); }

 private:
  Convolution convolution_;
  Memory input_;
  Memory output_;
  Memory weights_;
  Memory bias_;
  Memory scratch_;
  std::unordered_map<int, dnnl::memory> arguments_;
};

kernels::DepthwiseProblem own_problem(const Layer& layer) {
  const I n = output_size(layer);
  return {1,
          layer.channels,
          layer.size,
          layer.size,
          layer.kernel,
          layer.kernel,
          layer.stride,
          layer.kernel / 2,
          layer.kernel / 2,
          n,
          n};
}

// The depthwise convolution of our own.
class Own {
 public:
  Own(const kernels::DepthwiseLoops& loops, const Layer& layer)
      : depthwise_(loops, own_problem(layer)),
        input_(blocked_desc({1, layer.channels, layer.size, layer.size})),
        weights_(vendor_depthwise(layer).weights_desc()),
        bias_(plain_desc({layer.channels})),
        output_(vendor_depthwise(layer).dst_desc()) {}

  void run(int threads, const Memory* input = nullptr) const {
    depthwise_.run({input != nullptr ? input->floats() : input_.floats(), weights_.floats(), bias_.floats(),
                    output_.floats(), kernels::ImageActivation::relu()},
                   threads);
  }

 private:
  kernels::Depthwise depthwise_;
  Memory input_;
  Memory weights_;
  Memory bias_;
  Memory output_;
};

void run_depthwise(benchmark::State& state, const Layer& layer, bool is_own, int threads) {
  const ThreadCount count(threads);
  if (is_own) {
    const kernels::DepthwiseLoops* const loops = depthwise_loops();
    if (loops == nullptr) return state.SkipWithError("not on this CPU");
    const Own own(*loops, layer);
    for (auto _ : state) own.run(threads);
  } else {
    dnnl::stream stream(engine());
    const Vendor vendor(vendor_depthwise(layer));
    for (auto _ : state) vendor.run(stream);
  }
  report(state, layer);
}

struct Pair {
  Layer layer;
  I inputs;  // of the pointwise convolution
};

constexpr Pair kPairs[] = {
    {{"16_64x160_s2", 64, 160, 3, 2}, 16}, {{"24_72x80", 72, 80, 3, 1}, 24},      {{"24_72x80k5_s2", 72, 80, 5, 2}, 24},
    {{"40_120x40k5", 120, 40, 5, 1}, 40},  {{"40_240x40_s2", 240, 40, 3, 2}, 40}, {{"80_200x20", 200, 20, 3, 1}, 80},
    {{"112_672x20", 672, 20, 3, 1}, 112},  {{"80_480x10k5", 480, 10, 5, 1}, 80},  {{"16_96x112_s2", 96, 112, 3, 2}, 16},
    {{"24_144x56", 144, 56, 3, 1}, 24},    {{"32_192x28", 192, 28, 3, 1}, 32},    {{"64_384x14", 384, 14, 3, 1}, 64},
    {{"160_960x7", 960, 7, 3, 1}, 160},    {{"16_96x150_s2", 96, 150, 3, 2}, 16}, {{"24_144x75", 144, 75, 3, 1}, 24},
    {{"32_32x150", 32, 150, 3, 1}, 32},    {{"128_128x75", 128, 75, 3, 1}, 128},  {{"512_512x19", 512, 19, 3, 1}, 512},
};

constexpr std::string_view kPairAlgorithms[] = {"one", "two", "onednn_one", "onednn_two"};

void run_pair(benchmark::State& state, const Pair& pair, std::string_view algorithm, int threads) {
  const ThreadCount count(threads);
  dnnl::stream stream(engine());
  const kernels::DepthwiseLoops* const loops = depthwise_loops();
  if (loops == nullptr) return state.SkipWithError("not on this CPU");
  const Layer& layer = pair.layer;
  if (algorithm == "onednn_one") {
    const auto primitive = vendor_pointwise(layer, pair.inputs, true);
    if (std::string_view(primitive.impl_info_str()).starts_with("ref")) return state.SkipWithError("in two steps");
    const Memory weights(primitive.query_md(dnnl::query::exec_arg_md, DNNL_ARG_ATTR_POST_OP_DW | DNNL_ARG_WEIGHTS));
    const Memory bias(plain_desc({layer.channels}));
    Vendor vendor(primitive);
    vendor.also(DNNL_ARG_ATTR_POST_OP_DW | DNNL_ARG_WEIGHTS, weights);
    vendor.also(DNNL_ARG_ATTR_POST_OP_DW | DNNL_ARG_BIAS, bias);
    for (auto _ : state) vendor.run(stream);
  } else if (algorithm == "one") {
    const I lanes = static_cast<I>(loops->lanes);
    const I padded = (pair.inputs + lanes - 1) / lanes * lanes;
    const Memory input(blocked_desc({1, pair.inputs, layer.size, layer.size}));
    const Memory pointwise(plain_desc({padded * (layer.channels + lanes)}));
    const Memory depthwise(vendor_depthwise(layer).weights_desc());
    const Memory bias(plain_desc({layer.channels}));
    const Memory output(vendor_depthwise(layer).dst_desc());
    const kernels::PointwiseDepthwise both(*loops, pair.inputs, own_problem(layer), threads);
    const auto scratch = base::allocate_shared_memory(both.scratch_bytes());
    for (auto _ : state) {
      both.run({input.floats(), pointwise.floats(), bias.floats(), kernels::ImageActivation::relu(), depthwise.floats(),
                bias.floats(), kernels::ImageActivation::relu(), output.floats(), scratch.get()},
               threads);
    }
  } else {
    const Vendor pointwise(vendor_pointwise(layer, pair.inputs, false));
    const Vendor vendor(vendor_depthwise(layer), &pointwise.output());
    const Own own(*loops, layer);
    for (auto _ : state) {
      pointwise.run(stream);
      algorithm == "two" ? own.run(threads, &pointwise.output()) : vendor.run(stream);
    }
  }
}

const int registered = [] {
  for (const Layer& layer : kLayers) {
    for (const int threads : {1, 2}) {
      for (const bool is_own : {true, false}) {
        const std::string name =
            std::string(layer.name) + (is_own ? "/own/" : "/onednn_direct/") + std::to_string(threads);
        benchmark::RegisterBenchmark(
            name.c_str(),
            [&layer, is_own, threads](benchmark::State& state) { run_depthwise(state, layer, is_own, threads); })
            ->UseRealTime()
            ->Unit(benchmark::kMicrosecond);
      }
    }
  }
  for (const Pair& pair : kPairs) {
    for (const int threads : {1, 2}) {
      for (const std::string_view algorithm : kPairAlgorithms) {
        const std::string name =
            std::string(pair.layer.name) + "/" + std::string(algorithm) + "/" + std::to_string(threads);
        benchmark::RegisterBenchmark(
            name.c_str(),
            [&pair, algorithm, threads](benchmark::State& state) { run_pair(state, pair, algorithm, threads); })
            ->UseRealTime()
            ->Unit(benchmark::kMicrosecond);
      }
    }
  }
  return 0;
}();

}  // namespace
}  // namespace lanner::backends::onednn
