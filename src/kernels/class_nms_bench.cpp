// Detection heads as detectors make them, kernel by kernel: a grid of anchors of three sizes, objects around which
// several anchors fire for one or two classes with similar boxes and scores, everything else quiet. Busy: a threshold
// that about 2,000 scores pass. Dense: every score is a candidate. None: no score is, so that only the scan is left.
//
// The last benchmarks are what the machine allows: how fast memory of a size is read, how long a cycle is, and how long
// comparing a box with blocks takes that lie in the first-level cache.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/head_testing.h"
#include "kernels/registry.h"

namespace lanner::kernels {
namespace {

using testing::Random;
using I = std::int64_t;

constexpr float kBusy = 0.3f;
constexpr float kDense = 1e-8f;
constexpr float kNone = 2;

float normal(Random& random) {
  float sum = -6;
  for (int i = 0; i < 12; ++i) sum += random.unit();
  return sum;
}

struct Scene {
  Tensor boxes;   // [anchors,4]
  Tensor logits;  // [anchors,classes]
};

Scene make_scene(I anchors, I classes) {
  Random random(11);
  Scene scene{Tensor::allocate(ElementType::kFloat32, {anchors, 4}),
              Tensor::allocate(ElementType::kFloat32, {anchors, classes})};
  auto* boxes = scene.boxes.data<float>();
  const I side = static_cast<I>(std::ceil(std::sqrt(static_cast<double>(anchors) / 3)));
  for (I i = 0; i < anchors; ++i) {
    const float size = 0.12f * static_cast<float>(1 << i % 3) * (1 + 0.04f * normal(random));
    const float y = (static_cast<float>(i / 3 / side) + 0.5f) / static_cast<float>(side);
    const float x = (static_cast<float>(i / 3 % side) + 0.5f) / static_cast<float>(side);
    const float box[] = {y - size / 2, x - size / 2, y + size / 2, x + size / 2};
    std::copy_n(box, 4, boxes + 4 * i);
  }
  auto* logits = scene.logits.data<float>();
  for (I i = 0; i < anchors * classes; ++i) logits[i] = -7 + normal(random);
  constexpr int kObjects = 45;
  constexpr I kFiring = 30;
  for (int object = 0; object < kObjects; ++object) {
    const float y = 0.1f + 0.8f * random.unit();
    const float x = 0.1f + 0.8f * random.unit();
    const float height = 0.1f + 0.4f * random.unit();
    const float width = 0.1f + 0.4f * random.unit();
    std::vector<std::pair<float, I>> near;
    for (I i = 0; i < anchors; ++i) {
      const float dy = (boxes[4 * i] + boxes[4 * i + 2]) / 2 - y;
      const float dx = (boxes[4 * i + 1] + boxes[4 * i + 3]) / 2 - x;
      near.emplace_back(dy * dy + dx * dx, i);
    }
    std::partial_sort(near.begin(), near.begin() + kFiring, near.end());
    const I label = object % 5 < 2 ? 1 : random.below(classes);
    for (I k = 0; k < kFiring; ++k) {
      const I i = near[static_cast<std::size_t>(k)].second;
      const float strength = 4 * (1 - static_cast<float>(k) / kFiring) + 0.5f * normal(random);
      logits[i * classes + label] = strength;
      logits[i * classes + (label + 1) % classes] = strength - 1;
      const float half_height = height / 2 * (1 + 0.04f * normal(random));
      const float half_width = width / 2 * (1 + 0.04f * normal(random));
      const float box[] = {y - half_height, x - half_width, y + half_height, x + half_width};
      std::copy_n(box, 4, boxes + 4 * i);
    }
  }
  return scene;
}

Tensor sigmoid(const Tensor& logits) {
  Tensor scores = logits.clone();
  for (float& value : scores.values<float>()) value = 1 / (1 + std::exp(-value));
  return scores;
}

Tensor transposed(const Tensor& scores) {
  const I rows = scores.shape()[0];
  const I columns = scores.shape()[1];
  Tensor result = Tensor::allocate(ElementType::kFloat32, {1, columns, rows});
  for (I i = 0; i < rows * columns; ++i) {
    result.data<float>()[i % columns * rows + i / columns] = scores.data<float>()[i];
  }
  return result;
}

// Runs one kernel again and again, with the memory of the run before.
void run(benchmark::State& state, const char* name, const tensor::Attributes& attributes, std::vector<Tensor> inputs,
         int output_count, int threads) {
  class Memory final : public OutputMemory {
   public:
    Tensor allocate(int index, ElementType type, const Shape& shape) override {
      auto& owner = owners_[static_cast<std::size_t>(index)];
      const auto bytes = static_cast<std::size_t>(shape.element_count()) * 8;
      if (owner.second < bytes) owner = {heap_allocator().allocate(2 * bytes), 2 * bytes};
      return Tensor::wrap(type, shape, owner.first.get(), owner.first);
    }

   private:
    std::array<std::pair<std::shared_ptr<void>, std::size_t>, 4> owners_;
  };
  std::vector<Value> values(inputs.begin(), inputs.end());
  std::vector<const Value*> in;
  for (const Value& value : values) in.push_back(value.tensor().defined() ? &value : nullptr);
  std::vector<Value> outputs(static_cast<std::size_t>(output_count));
  std::vector<Value*> out;
  for (Value& value : outputs) out.push_back(&value);
  Memory memory;
  const auto kernel = find_operator(name)->make({attributes, static_cast<int>(inputs.size()), output_count});
  for (auto _ : state) {
    KernelContext context(in, out, memory, heap_allocator(), threads);
    kernel->run(context);
  }
  state.counters["kept"] = static_cast<double>(outputs[0].tensor().shape()[0]);
}

tensor::Attributes siblings(I first, I count, I row_stride) {
  tensor::Attributes attributes;
  std::vector<I> offsets;
  for (I k = first; k < count; ++k) offsets.push_back(k);
  attributes.set("offsets", offsets);
  attributes.set("row_stride", row_stride);
  return attributes;
}

void class_nms(benchmark::State& state, float threshold, int threads) {
  constexpr I kClasses = 90;
  const Scene scene = make_scene(state.range(0), kClasses);
  run(state, "ClassNonMaxSuppression", siblings(0, kClasses, kClasses),
      {scene.boxes, sigmoid(scene.logits), Tensor::scalar(threshold), Tensor::scalar<I>(100), Tensor::scalar(0.6f)}, 4,
      threads);
}
BENCHMARK_CAPTURE(class_nms, busy, kBusy, 1)->Arg(1917)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(class_nms, busy_2_threads, kBusy, 2)->Arg(1917)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK_CAPTURE(class_nms, none, kNone, 1)->Arg(1917)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(class_nms, dense, kDense, 1)->Arg(1917)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(class_nms, dense_2_threads, kDense, 2)->Arg(1917)->Unit(benchmark::kMicrosecond)->UseRealTime();

void nms(benchmark::State& state, float threshold, int threads) {
  const Scene scene = make_scene(state.range(0), state.range(1));
  run(state, "NonMaxSuppression", {},
      {scene.boxes.reshaped({1, state.range(0), 4}), transposed(sigmoid(scene.logits)), Tensor::scalar<I>(100),
       Tensor::scalar(0.6f), Tensor::scalar(threshold)},
      1, threads);
}
BENCHMARK_CAPTURE(nms, none, kNone, 1)->Args({8400, 80})->Args({25000, 90})->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(nms, busy, kBusy, 1)->Args({8400, 80})->Args({25000, 90})->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(nms, dense, kDense, 1)->Args({8400, 80})->Args({25000, 90})->Unit(benchmark::kMicrosecond);

// With the Softmax before it, inside the operator.
void class_topk(benchmark::State& state, float background, int threads) {
  constexpr I kClasses = 91;
  Tensor logits = make_scene(state.range(0), kClasses).logits;
  testing::raise_column(logits, 0, background);
  tensor::Attributes attributes = siblings(1, kClasses, kClasses);
  attributes.set("activation", std::string("Softmax"));
  attributes.set("row_count", state.range(0));
  run(state, "ClassTopK", attributes, {logits, Tensor::scalar(0.01f), Tensor::of<I>({1}, {400})}, 3, threads);
}
BENCHMARK_CAPTURE(class_topk, none, 100, 1)->Arg(1917)->Arg(8732)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(class_topk, busy, 10, 1)->Arg(1917)->Arg(8732)->Unit(benchmark::kMicrosecond);

// 90 groups of clusters, and the same in one group, which costs as much as plain suppression.
void group_nms(benchmark::State& state, I groups, int threads) {
  Random random(13);
  const I count = state.range(0);
  Tensor boxes = testing::random_boxes(random, count, 300, 0);
  Tensor shifted = boxes.clone();
  Tensor ids = Tensor::allocate(ElementType::kInt64, {count});
  Tensor scores = Tensor::allocate(ElementType::kFloat32, {1, 1, count});
  testing::fill_scores(random, scores, false, false);
  for (I i = 0; i < count; ++i) {
    ids.data<I>()[i] = i * groups / count;
    for (int k = 0; k < 4; ++k) shifted.data<float>()[4 * i + k] += static_cast<float>(ids.data<I>()[i]) * 500;
  }
  run(state, "GroupNonMaxSuppression", {},
      {shifted.reshaped({1, count, 4}), scores, ids, Tensor::scalar<I>(count), Tensor::scalar(0.45f)}, 1, threads);
}
BENCHMARK_CAPTURE(group_nms, apart, 90, 1)->Arg(2000)->Arg(36000)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(group_nms, one_group, 1, 1)->Arg(2000)->Unit(benchmark::kMicrosecond);

void topk(benchmark::State& state, int threads) {
  Random random(17);
  Tensor scores = Tensor::allocate(ElementType::kFloat32, {state.range(0)});
  testing::fill_scores(random, scores, false, false);
  run(state, "TopK", {}, {scores, Tensor::of<I>({1}, {state.range(1)})}, 2, threads);
}
BENCHMARK_CAPTURE(topk, uniform, 1)
    ->Args({2000, 100})
    ->Args({9000, 200})
    ->Args({200000, 1000})
    ->Args({200000, 100000})
    ->Unit(benchmark::kMicrosecond);

// The C library's search for a byte that is not there.
void read_memory(benchmark::State& state) {
  const std::vector<char> memory(static_cast<std::size_t>(state.range(0)), 1);
  for (auto _ : state) benchmark::DoNotOptimize(std::memchr(memory.data(), 2, memory.size()));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(read_memory)
    ->Arg(1917 * 90 * 4)
    ->Arg(8400 * 80 * 4)
    ->Arg(8732 * 91 * 4)
    ->Arg(25000 * 90 * 4)
    ->Unit(benchmark::kMicrosecond);

// Additions that wait for each other take a cycle each.
void cycles(benchmark::State& state) {
  constexpr int kCount = 1000;
  std::uint64_t sum = 1;
  for (auto _ : state) {
    for (int i = 0; i < kCount; ++i) {
      sum += 3;
      benchmark::DoNotOptimize(sum);
    }
  }
  state.counters["ns"] = benchmark::Counter(static_cast<double>(state.iterations()) * kCount * 1e-9,
                                            benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(cycles);

// Of boxes that are apart, of which only sides are compared, and of boxes that meet but do not overlap enough.
void overlap_blocks(benchmark::State& state, bool meet) {
  constexpr I kBlocks = 32;
  Random random(19);
  const Tensor boxes = testing::random_boxes(random, kBlocks * static_cast<I>(kBlock), 1, 0);
  std::vector<BoxBlock> blocks(kBlocks + 1);
  head_loops().make_blocks(boxes.data<float>(), kBlocks * kBlock, false, blocks.data());
  const float one[] = {-9, -9, meet ? 9.0f : -8.0f, meet ? 9.0f : -8.0f};
  head_loops().make_blocks(one, 1, false, &blocks[kBlocks]);
  for (auto _ : state) {
    benchmark::DoNotOptimize(head_loops().overlaps_any(blocks[kBlocks], 0, blocks.data(), kBlocks, 0.5f));
  }
  state.SetItemsProcessed(state.iterations() * kBlocks);
}
BENCHMARK_CAPTURE(overlap_blocks, apart, false);
BENCHMARK_CAPTURE(overlap_blocks, meet, true);

}  // namespace
}  // namespace lanner::kernels
