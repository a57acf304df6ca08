#include "fuzz/execute.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>

#include "base/fail.h"
#include "fuzz/budget.h"
#include "tensor/dispatch.h"
#include "vm/executable.h"
#include "vm/frame.h"

namespace lanner::fuzz {

namespace {

constexpr std::int64_t kMostElements = 4096;  // of an input
constexpr std::size_t kBytes = std::size_t{16} << 20;
constexpr std::size_t kBlocks = 4000;

// Operators whose results nobody can tell beforehand.
constexpr std::array<std::string_view, 7> kRandomOperators = {
    "Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"};

template <typename T>
T random_element(Random& random) {
  if constexpr (std::is_same_v<T, bool>) {
    return random.one_in(2);
  } else if constexpr (std::is_same_v<T, std::string>) {
    static const std::array<std::string, 8> kStrings = {"", "a", "b", "ab a", "1", "-2.5e3", "nan", "\xc3\xa4\xf0\x9f"};
    return kStrings[random.below(kStrings.size())];
  } else if constexpr (std::is_integral_v<T>) {
    if (random.one_in(16)) return random.one_in(2) ? std::numeric_limits<T>::max() : std::numeric_limits<T>::min();
    if (random.one_in(8)) return static_cast<T>(random.bits());
    return static_cast<T>(static_cast<int>(random.below(9)) - 2);
  } else if constexpr (!std::is_convertible_v<T, float> || !std::is_constructible_v<T, float>) {
    return T(static_cast<int>(random.bits()));  // the small integers
  } else {
    constexpr std::array<double, 8> kOdd = {NAN, INFINITY, -INFINITY, -0.0, 3e38, -3e38, 1e-40, 1e15};
    if (random.one_in(16)) return T(static_cast<float>(kOdd[random.below(kOdd.size())]));
    if (random.one_in(3)) return T(static_cast<float>(static_cast<int>(random.below(12)) - 4));
    return T(static_cast<float>(random.bits()) * (8.0f / 4294967296.0f) - 4.0f);
  }
}

// What instructions make has no known size, so that each value gets memory of its own.
void forget_sizes(program::Block& block) {
  for (program::Instruction& instruction : block.instructions) {
    for (const program::SlotIndex slot : instruction.outputs) {
      if (slot != program::kNoSlot) block.slots[slot].type.ranked = false;
    }
    if (instruction.op == program::kSubgraph) continue;
    for (program::NamedBlock& inner : instruction.blocks) forget_sizes(inner.block);
  }
}

bool is_deterministic(const program::Block& block) {
  return std::ranges::all_of(block.instructions, [](const program::Instruction& instruction) {
    return std::ranges::find(kRandomOperators, instruction.op) == kRandomOperators.end() &&
           std::ranges::all_of(instruction.blocks,
                               [](const program::NamedBlock& inner) { return is_deterministic(inner.block); });
  });
}

bool same(const Tensor& a, const Tensor& b) {
  return a.element_type() == b.element_type() && a.shape() == b.shape() &&
         tensor::same_attribute(tensor::Attribute(a), tensor::Attribute(b));
}

bool same(const Value& a, const Value& b) {
  if (a.is_tensor() && b.is_tensor()) return same(a.tensor(), b.tensor());
  if (a.is_sequence() && b.is_sequence()) {
    return std::ranges::equal(a.sequence(), b.sequence(), [](const Tensor& x, const Tensor& y) { return same(x, y); });
  }
  return a.is_none() && b.is_none();
}

// What a run returned; nothing if it ended with an Error.
using Results = std::optional<std::vector<Value>>;

Results run_once(vm::Frame& frame, std::span<const Value> inputs, unsigned char fill, int lanes) {
  Budget budget(kBytes, kBlocks, fill);
  try {
    return frame.run(inputs, {.pool = budget, .scratch = budget, .threads = lanes, .lanes = lanes});
  } catch (const Error&) {
    return std::nullopt;
  }
}

void compare(const Results& expected, const Results& actual, const char* message) {
  if (!expected || !actual) return;
  if (!std::ranges::equal(*expected, *actual, [](const Value& a, const Value& b) { return same(a, b); })) {
    finding(message);
  }
}

}  // namespace

void finding(const char* message) {
  std::fprintf(stderr, "FINDING: %s\n", message);
  std::abort();
}

Tensor random_tensor(Random& random, ElementType type, const Shape& shape) {
  ExactMemory memory;
  Tensor result = Tensor::allocate(type, shape, memory);
  const auto fill = [&]<typename T>() {
    for (T& element : result.values<T>()) element = random_element<T>(random);
  };
  if (type == ElementType::kString) {
    fill.operator()<std::string>();
  } else if (type == ElementType::kComplex64 || type == ElementType::kComplex128) {
    std::memset(result.raw_data(), 0, result.byte_count());
  } else {
    tensor::dispatch(tensor::AllNumericTypes{}, type, "a random tensor", fill);
  }
  return result;
}

std::optional<Value> random_value(Random& random, const tensor::ValueType& type) {
  using Kind = tensor::ValueType::Kind;
  const auto tensor = [&]() -> std::optional<Tensor> {
    Shape shape;
    if (type.dims.size() > Shape::kMaxRank) return std::nullopt;
    const std::size_t rank = type.ranked ? type.dims.size() : random.below(4);
    for (std::size_t i = 0; i < rank; ++i) {
      const bool known = type.ranked && type.dims[i].known();
      shape.push_back(known ? type.dims[i].size : static_cast<std::int64_t>(random.below(6)));
    }
    try {
      if (shape.element_count() > kMostElements) return std::nullopt;
    } catch (const Error&) {
      return std::nullopt;
    }
    const ElementType element = type.element == ElementType::kUndefined ? ElementType::kFloat32 : type.element;
    return random_tensor(random, element, shape);
  };
  if ((type.kind == Kind::kOptional || type.kind == Kind::kOptionalSequence) && random.one_in(4)) return Value();
  if (type.kind == Kind::kSequence || type.kind == Kind::kOptionalSequence) {
    Sequence sequence;
    for (std::size_t i = random.below(4); i > 0; --i) {
      std::optional<Tensor> item = tensor();
      if (!item) return std::nullopt;
      sequence.push_back(std::move(*item));
    }
    return sequence;
  }
  std::optional<Tensor> made = tensor();
  if (!made) return std::nullopt;
  return Value(std::move(*made));
}

void execute(const program::Program& program, std::uint64_t seed) {
  Random random(seed);
  program::Program altered = program;
  if (random.one_in(2)) forget_sizes(altered.main);
  ExactMemory memory;
  for (Tensor& constant : altered.constants) constant = constant.clone(memory);
  const auto make_inputs = [&]() -> std::optional<std::vector<Value>> {
    std::vector<Value> inputs;
    for (const program::SlotIndex slot : altered.main.inputs) {
      const auto fallback = std::ranges::find(altered.input_defaults, slot, &program::ConstantBinding::slot);
      std::optional<Value> value = fallback != altered.input_defaults.end() && random.one_in(2)
                                       ? altered.constants[fallback->constant]
                                       : random_value(random, altered.main.slots[slot].type);
      if (!value) return std::nullopt;
      inputs.push_back(std::move(*value));
    }
    return inputs;
  };
  const std::optional<std::vector<Value>> inputs = make_inputs();
  if (!inputs) return;
  std::vector<Value> given;
  for (const Value& input : *inputs) given.push_back(input.is_tensor() ? Value(input.tensor().clone()) : input);
  try {
    const vm::ReadyBlock ready = vm::make_ready(altered, altered.main, {.threads = 1});
    vm::Frame frame(ready, altered.constants);
    const Results first = run_once(frame, *inputs, 0x00, 1);
    const bool deterministic = is_deterministic(altered.main);
    if (first && deterministic) {
      compare(first, run_once(frame, *inputs, 0xFF, 1), "results depend on what memory held before");
    }
    if (first && deterministic && altered.main.instructions.size() > 1 && random.one_in(8)) {
      const std::vector<std::int64_t> costs(altered.main.instructions.size(), 1'000'000);
      auto layout =
          std::make_shared<const vm::Layout>(altered.main, vm::make_schedule(altered.main, {costs, costs}, 2));
      vm::Frame on_lanes(ready, altered.constants, std::move(layout));
      compare(first, run_once(on_lanes, *inputs, 0x7F, 2), "results depend on lanes");
    }
    if (!std::ranges::equal(*inputs, given, [](const Value& a, const Value& b) { return same(a, b); })) {
      finding("a run has written to its inputs");
    }
    if (const auto others = make_inputs()) run_once(frame, *others, 0xFF, 1);
  } catch (const Error&) {
    // A program may be one that cannot run.
  }
}

}  // namespace lanner::fuzz
