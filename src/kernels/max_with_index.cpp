// lanner.MaxWithIndex: ReduceMax and ArgMax of a float32 tensor along one axis in one pass. With the attribute
// `activation` = "Sigmoid" both are of the input's Sigmoid, to the bit, though few Sigmoids are computed: a score that
// is not the greatest matters only where rounding could make it equal to the greatest.
//
// input: data; outputs: the greatest elements, their first places (int64); attributes: `axis`, `keepdims` (1),
// `activation` (""). NaN is greater than any number.
#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <string>

#include "base/fail.h"
#include "base/multiversion.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/extremes.h"
#include "kernels/kernel.h"
#include "kernels/vector_math.h"

namespace lanner::kernels {

namespace {

// Neighbouring lines that are walked together.
constexpr std::int64_t kLines = 256;

// Of each line of a block: its greatest element, the first place of that, and the greatest of the other elements.
struct Block {
  alignas(64) std::array<float, kLines> greatest;
  alignas(64) std::array<std::int32_t, kLines> places;
  alignas(64) std::array<float, kLines> runners_up;
};

// Of `count` lines of `length` elements, `stride` apart.
LANNER_MULTIVERSION void find_greatest(const float* in, std::int64_t length, std::int64_t stride, std::int64_t count,
                                       Block& block) {
  float* const greatest = block.greatest.data();
  std::int32_t* const places = block.places.data();
  float* const runners_up = block.runners_up.data();
  std::copy_n(in, count, greatest);
  std::fill_n(places, count, 0);
  std::fill_n(runners_up, count, -std::numeric_limits<float>::infinity());
  for (std::int64_t k = 1; k < length; ++k) {
    const float* row = in + k * stride;
    const auto place = static_cast<std::int32_t>(k);
    LANNER_INDEPENDENT_ITERATIONS
    for (std::int64_t i = 0; i < count; ++i) {
      const float x = row[i];
      const float held = greatest[i];
      const bool better = static_cast<int>(x > held) | (static_cast<int>(x != x) & static_cast<int>(held == held));
      const float other = better ? held : x;
      runners_up[i] = other > runners_up[i] ? other : runners_up[i];
      greatest[i] = better ? x : held;
      places[i] = better ? place : places[i];
    }
  }
}

// Elements below this have a Sigmoid that is computed smaller than that of `greatest`: the exact values are 1.8e-6 or
// more apart in proportion, and they are computed to a few units in the last place, 6e-8. Above 4 differences shrink,
// and near the least number nothing is certain.
float surely_smaller_below(float greatest) {
  if (greatest < -80.0f) return -std::numeric_limits<float>::infinity();
  if (greatest > 0.0f) return std::min(greatest, 4.0f) - 1e-4f;
  return greatest - (4e-6f - 2.5e-7f * greatest);
}

// Sigmoids of one line, or of all lines of a block.
class Scores {
 public:
  Scores(std::int64_t length, Allocator& allocator) : length_(length), allocator_(allocator) {}

  float* line() { return memory(line_, length_); }
  float* block() { return memory(block_, length_ * kLines); }

 private:
  float* memory(Tensor& tensor, std::int64_t count) {
    if (!tensor.defined()) tensor = Tensor::allocate(ElementType::kFloat32, {count}, allocator_);
    return tensor.data<float>();
  }

  std::int64_t length_;
  Allocator& allocator_;
  Tensor line_;
  Tensor block_;
};

void find_greatest_score(const float* in, std::int64_t length, std::int64_t stride, std::int64_t count, Scores& scores,
                         Block& block) {
  float* const all = scores.block();
  for (std::int64_t k = 0; k < length; ++k) math::sigmoid_array(in + k * stride, all + k * kLines, count);
  find_greatest(all, length, kLines, count, block);
}

// Turns what find_greatest() found in the lines into what it finds in their Sigmoids. False if that is no less work
// than find_greatest_score(), which then has to be called.
bool activate(const float* in, std::int64_t length, std::int64_t stride, std::int64_t count, Scores& scores,
              Block& block) {
  std::array<bool, kLines> uncertain;
  std::int64_t uncertain_count = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    uncertain[at] = block.runners_up[at] >= surely_smaller_below(block.greatest[at]);
    uncertain_count += uncertain[at] ? 1 : 0;
  }
  // One line's elements are far apart.
  constexpr std::int64_t kLineCost = 8;
  if (uncertain_count * kLineCost > count) return false;
  math::sigmoid_array(block.greatest.data(), block.greatest.data(), count);
  for (std::int64_t i = 0; i < count && uncertain_count > 0; ++i) {
    const auto at = static_cast<std::size_t>(i);
    if (!uncertain[at]) continue;
    float* const line = scores.line();
    for (std::int64_t k = 0; k < length; ++k) line[k] = in[k * stride + i];
    math::sigmoid_array(line, line, length);
    std::int64_t place = 0;
    greatest_of_rows(line, length, 1, &block.greatest[at], &place);
    block.places[at] = static_cast<std::int32_t>(place);
    --uncertain_count;
  }
  return true;
}

struct Lines {
  std::int64_t outer;
  std::int64_t length;
  std::int64_t inner;
};

void run_strided(KernelContext& context, const Lines& lines, bool sigmoid, const float* in, float* greatest,
                 std::int64_t* places) {
  const std::int64_t blocks = (lines.inner + kLines - 1) / kLines;
  const std::int64_t grain = kElementGrain / (lines.length * std::min(lines.inner, kLines)) + 1;
  base::parallel_for(context.threads(), lines.outer * blocks, grain, [&](std::int64_t begin, std::int64_t end) {
    Scores scores(lines.length, context.allocator());
    Block block;
    bool alike = false;  // whether scores were so much alike that those that follow will be, too
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t first = item % blocks * kLines;
      const std::int64_t count = std::min(kLines, lines.inner - first);
      const float* from = in + item / blocks * lines.length * lines.inner + first;
      if (!alike) find_greatest(from, lines.length, lines.inner, count, block);
      if (sigmoid && !alike) alike = !activate(from, lines.length, lines.inner, count, scores, block);
      if (alike) find_greatest_score(from, lines.length, lines.inner, count, scores, block);
      const std::int64_t to = item / blocks * lines.inner + first;
      std::copy_n(block.greatest.data(), count, greatest + to);
      std::copy_n(block.places.data(), count, places + to);
    }
  });
}

void run_rows(KernelContext& context, const Lines& lines, bool sigmoid, const float* in, float* greatest,
              std::int64_t* places) {
  const std::int64_t grain = kElementGrain / lines.length + 1;
  base::parallel_for(context.threads(), lines.outer, grain, [&](std::int64_t begin, std::int64_t end) {
    if (!sigmoid) {
      greatest_of_rows(in + begin * lines.length, lines.length, end - begin, greatest + begin, places + begin);
      return;
    }
    constexpr std::int64_t kCached = 4096;
    const std::int64_t step = std::max<std::int64_t>(kCached / lines.length, 1);
    Tensor scratch = Tensor::allocate(ElementType::kFloat32, {step * lines.length}, context.allocator());
    for (std::int64_t row = begin; row < end; row += step) {
      const std::int64_t count = std::min(step, end - row);
      math::sigmoid_array(in + row * lines.length, scratch.data<float>(), count * lines.length);
      greatest_of_rows(scratch.data<float>(), lines.length, count, greatest + row, places + row);
    }
  });
}

}  // namespace

std::unique_ptr<Kernel> make_MaxWithIndex(const KernelInfo& info) {
  const std::int64_t wanted = info.attributes.require_int("axis");
  const bool keep_dims = info.attributes.get_int("keepdims", 1) != 0;
  const std::string activation = info.attributes.get_string("activation", "");
  if (!activation.empty() && activation != "Sigmoid") {
    base::invalid("op.attribute", "activation must be Sigmoid or absent, but is '{}'", activation);
  }
  return make_kernel([wanted, keep_dims, sigmoid = !activation.empty()](KernelContext& context) {
    const Tensor& data = context.input(0);
    if (data.element_type() != ElementType::kFloat32) {
      base::invalid("op.type", "the input must be float32, but is {}", element_type_name(data.element_type()));
    }
    const Shape& from = data.shape();
    const int axis = normalize_axis(wanted, from.rank());
    Shape shape;
    for (int i = 0; i < from.rank(); ++i) {
      if (i != axis) shape.push_back(from[i]);
      if (i == axis && keep_dims) shape.push_back(1);
    }
    Tensor& greatest = context.allocate_output(0, ElementType::kFloat32, shape);
    Tensor& places = context.allocate_output(1, ElementType::kInt64, shape);
    if (greatest.element_count() == 0) return;
    const Lines lines{from.element_count(0, axis), from[axis], from.element_count(axis + 1, from.rank())};
    if (lines.length == 0 || lines.length > std::numeric_limits<std::int32_t>::max()) {
      base::invalid("op.shape", "axis {} of shape {} is empty or too long", axis, from.to_string());
    }
    const auto run = lines.inner == 1 ? run_rows : run_strided;
    run(context, lines, sigmoid, data.data<float>(), greatest.data<float>(), places.data<std::int64_t>());
  });
}

}  // namespace lanner::kernels
