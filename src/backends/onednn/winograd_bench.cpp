// Winograd convolution (kernels/winograd.h) beside oneDNN's Winograd and direct algorithms, the latter of bfloat16,
// too, on the layers of detectors. GFLOP/s are those of the direct algorithm: 18 operations for each output and pair of
// channels. Sizes are the outputs'.
//
//     winograd_bench --benchmark_enable_random_interleaving --benchmark_repetitions=5
#include <benchmark/benchmark.h>

#include <algorithm>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "backends/onednn/engine.h"
#include "base/memory.h"
#include "kernels/winograd.h"

namespace lanner::backends::onednn {
namespace {

using I = std::int64_t;

struct Layer {
  const char* name;
  std::int64_t inputs;
  std::int64_t outputs;
  std::int64_t height;
  std::int64_t width;
  std::int64_t dilation = 1;
  std::int64_t stride = 1;
};

constexpr Layer kLayers[] = {
    {"vgg1_2", 64, 64, 300, 300},
    {"vgg2_1", 64, 128, 150, 150},
    {"vgg2_2", 128, 128, 150, 150},
    {"vgg3_1", 128, 256, 75, 75},
    {"vgg3_2", 256, 256, 75, 75},
    {"vgg4_1", 256, 512, 38, 38},
    {"vgg4_2", 512, 512, 38, 38},
    {"vgg5", 512, 512, 19, 19},
    {"vgg_14", 512, 512, 14, 14},
    {"ssd_fc6", 512, 1024, 19, 19, 6},
    {"ssd_head38", 512, 364, 38, 38},
    {"ssd_head19", 1024, 546, 19, 19},
    {"ssd_head10", 512, 546, 10, 10},
    {"ssd_box38", 512, 16, 38, 38},
    {"ssd_box19", 1024, 24, 19, 19},
    {"ssd_box10", 512, 24, 10, 10},
    {"resnet56", 64, 64, 56, 56},
    {"resnet28", 128, 128, 28, 28},
    {"resnet14", 256, 256, 14, 14},
    {"resnet7", 512, 512, 7, 7},
    {"fpn2", 256, 256, 152, 200},
    {"fpn3", 256, 256, 76, 100},
    {"fpn4", 256, 256, 38, 50},
    {"fpn5", 256, 256, 19, 25},
    {"yolo160", 16, 16, 160, 160},
    {"yolo80", 32, 32, 80, 80},
    {"yolo40", 64, 64, 40, 40},
    {"yolo20", 128, 128, 20, 20},
    {"resnet28_s2", 128, 128, 28, 28, 1, 2},
    {"resnet14_s2", 256, 256, 14, 14, 1, 2},
    {"resnet7_s2", 512, 512, 7, 7, 1, 2},
    {"fpn3_s2", 128, 128, 100, 136, 1, 2},
    {"fpn4_s2", 256, 256, 50, 68, 1, 2},
    {"yolo160_s2", 16, 32, 160, 160, 1, 2},
    {"yolo80_s2", 32, 64, 80, 80, 1, 2},
    {"yolo40_s2", 64, 128, 40, 40, 1, 2},
    {"yolo20_s2", 128, 256, 20, 20, 1, 2},
    {"ssd10_s2", 256, 512, 10, 10, 1, 2},
};

// A tensor's memory, filled once.
struct Memory {
  explicit Memory(std::size_t bytes, bool fill = true) : owner(base::allocate_shared_memory(bytes)) {
    auto* const values = static_cast<float*>(owner.get());
    std::minstd_rand random;
    for (std::size_t i = 0; i < bytes / sizeof(float); ++i) {
      values[i] = fill ? static_cast<float>(random() % 1000) / 1000 - 0.5F : 0;
    }
  }
  float* data() const { return static_cast<float*>(owner.get()); }
  std::shared_ptr<void> owner;
};

// In a network a layer's weights come from memory, because the other layers' have been read since. So there are as many
// copies as exceed the caches, in turns.
std::size_t copies_of(std::size_t bytes) {
  constexpr std::size_t kBeyondCaches = std::size_t{64} << 20;
  return std::clamp<std::size_t>(kBeyondCaches / std::max<std::size_t>(bytes, 1), 1, 64);
}

void report(benchmark::State& state, const Layer& layer) {
  state.counters["GFLOP/s"] = benchmark::Counter(
      18e-9 * static_cast<double>(layer.inputs * layer.outputs * layer.height * layer.width * state.iterations()),
      benchmark::Counter::kIsRate);
}

std::size_t blocked_bytes(std::int64_t channels, const Layer& layer, std::size_t lanes) {
  const auto block = static_cast<std::int64_t>(lanes);
  return static_cast<std::size_t>((channels + block - 1) / block * block * layer.height * layer.width) * sizeof(float);
}

void own(benchmark::State& state, const Layer& layer, std::size_t lanes, kernels::WinogradForm form,
         kernels::WinogradStorage storage, int threads) {
  const kernels::WinogradLoops* loops = kernels::find_loops(kernels::winograd_loops_rows(), lanes);
  if (loops == nullptr) return state.SkipWithError("not on this CPU");
  const I d = layer.dilation;
  const kernels::WinogradProblem problem{1,
                                         layer.inputs,
                                         layer.outputs,
                                         layer.height * layer.stride,
                                         layer.width * layer.stride,
                                         d,
                                         d,
                                         layer.height,
                                         layer.width,
                                         d,
                                         d,
                                         layer.stride};
  const kernels::Winograd winograd(*loops, form, storage, problem, threads);
  const Memory plain(static_cast<std::size_t>(9 * layer.inputs * layer.outputs) * sizeof(float));
  std::vector<Memory> weights;
  for (std::size_t i = copies_of(winograd.weights().bytes()); i-- > 0;) {
    weights.emplace_back(winograd.weights().bytes(), false);
    for (std::size_t panel = 0; panel < winograd.weights().panels(); ++panel) {
      winograd.weights().pack(plain.data(), panel, weights.back().data());
    }
  }
  const Memory input(blocked_bytes(layer.inputs, layer, lanes) * static_cast<std::size_t>(layer.stride * layer.stride));
  const Memory output(blocked_bytes(layer.outputs, layer, lanes));
  const Memory bias(static_cast<std::size_t>(layer.outputs) * sizeof(float));
  const Memory scratch(winograd.scratch_bytes());
  std::size_t turn = 0;
  for (auto _ : state) {
    winograd.run({input.data(), weights[turn++ % weights.size()].data(), bias.data(), nullptr, output.data(),
                  scratch.data(), kernels::ImageActivation::relu()},
                 threads);
  }
  report(state, layer);
  state.counters["scratch_MB"] = static_cast<double>(winograd.scratch_bytes()) * 1e-6;
}

void vendor(benchmark::State& state, const Layer& layer, dnnl::algorithm how, Number number, int threads) {
  using dnnl::convolution_forward;
  const I d = layer.dilation;
  const ThreadCount count(threads);
  const Dims x{1, layer.inputs, layer.height * layer.stride, layer.width * layer.stride};
  const Dims y{1, layer.outputs, layer.height, layer.width};
  const Dims w{layer.outputs, layer.inputs, 3, 3};
  const convolution_forward::desc description(dnnl::prop_kind::forward_inference, how, blocked_desc(x, number),
                                              any_desc(w, number), plain_desc({layer.outputs}), blocked_desc(y, number),
                                              {layer.stride, layer.stride}, {d - 1, d - 1}, {d, d},
                                              {d + 1 - layer.stride, d + 1 - layer.stride});
  dnnl::post_ops post;
  post.append_eltwise(1.0F, dnnl::algorithm::eltwise_relu, 0, 0);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  attributes.set_post_ops(post);
  const convolution_forward::primitive_desc primitive(description, attributes, engine(), true);
  if (!primitive) return state.SkipWithError("oneDNN lacks it");
  const auto make = [](const Desc& desc, bool fill) { return Memory(desc.get_size(), fill); };
  const auto bind = [](const Desc& desc, const Memory& memory) { return dnnl::memory(desc, engine(), memory.data()); };
  const Memory input = make(primitive.src_desc(), true);
  const Memory bias = make(primitive.bias_desc(), true);
  const Memory output = make(primitive.dst_desc(), false);
  const Memory scratch = make(primitive.scratchpad_desc(), false);
  std::vector<Memory> weights;
  std::vector<std::unordered_map<int, dnnl::memory>> arguments;
  for (std::size_t i = copies_of(primitive.weights_desc().get_size()); i-- > 0;) {
    weights.push_back(make(primitive.weights_desc(), true));
    arguments.push_back({{DNNL_ARG_SRC, bind(primitive.src_desc(), input)},
                         {DNNL_ARG_WEIGHTS, bind(primitive.weights_desc(), weights.back())},
                         {DNNL_ARG_BIAS, bind(primitive.bias_desc(), bias)},
                         {DNNL_ARG_DST, bind(primitive.dst_desc(), output)},
                         {DNNL_ARG_SCRATCHPAD, bind(primitive.scratchpad_desc(), scratch)}});
  }
  const convolution_forward convolution(primitive);
  dnnl::stream stream(engine());
  std::size_t turn = 0;
  for (auto _ : state) convolution.execute(stream, arguments[turn++ % arguments.size()]);
  report(state, layer);
  state.counters["scratch_MB"] = static_cast<double>(primitive.scratchpad_desc().get_size()) * 1e-6;
}

const int registered = [] {
  for (const Layer& layer : kLayers) {
    for (const int threads : {1, 2}) {
      const auto add = [&](const std::string& how, auto function) {
        const std::string name = std::string(layer.name) + "/" + how + "/" + std::to_string(threads);
        benchmark::RegisterBenchmark(name.c_str(), function)->UseRealTime()->Unit(benchmark::kMillisecond);
      };
      const auto add_own = [&](const std::string& how, std::size_t lanes, kernels::WinogradForm form) {
        using Storage = kernels::WinogradStorage;
        add(how, [=](benchmark::State& state) { own(state, layer, lanes, form, Storage::kTransformed, threads); });
        add(how + "_plain", [=](benchmark::State& state) { own(state, layer, lanes, form, Storage::kPlain, threads); });
      };
      add_own("f4", 16, kernels::WinogradForm::kF4);
      add_own("f2", 16, kernels::WinogradForm::kF2);
      add_own("f4_avx2", 8, kernels::WinogradForm::kF4);
      add_own("f2_avx2", 8, kernels::WinogradForm::kF2);
      const auto add_vendor = [&](const std::string& how, dnnl::algorithm algorithm, Number number) {
        add(how, [=](benchmark::State& state) { vendor(state, layer, algorithm, number, threads); });
      };
      add_vendor("onednn_winograd", dnnl::algorithm::convolution_winograd, Number::f32);
      add_vendor("onednn_direct", dnnl::algorithm::convolution_direct, Number::f32);
      add_vendor("onednn_direct_bf16", dnnl::algorithm::convolution_direct, Number::bf16);
    }
  }
  return 0;
}();

}  // namespace
}  // namespace lanner::backends::onednn
