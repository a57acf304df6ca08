#include "backends/onednn/precision.h"

#include <algorithm>
#include <ranges>
#include <string_view>

#include "base/fail.h"

namespace lanner::backends::onednn {

using program::Block;
using program::Instruction;
using program::kNoSlot;
using program::SlotIndex;

namespace {

// What they take and give may be bfloat16 alike.
constexpr std::string_view kTransparent[] = {"MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool",
                                             "Split",   "Concat",      "Resize",        "ResizeLike",
                                             "Reshape", "Transpose",   "Relu",          "LeakyRelu",
                                             "Clip",    "Elu",         "Gelu",          "Sigmoid",
                                             "Swish",   "Tanh",        "HardSwish",     "HardSigmoid",
                                             "Abs",     "Mish",        "Add",           "Sub",
                                             "Mul",     "Div",         "Max",           "Min"};

struct PrecisionRow {
  std::string_view name;
  Bf16 use;
};
constexpr PrecisionRow kPrecisions[] = {{"f32", Bf16::kNo}, {"bf16", Bf16::kMay}, {"bf16-always", Bf16::kMust}};

bool is_transparent(const Instruction& instruction) {
  return std::ranges::find(kTransparent, instruction.op) != std::end(kTransparent);
}

}  // namespace

Bf16 use_of_bf16(const Instruction& instruction) {
  const std::string precision = instruction.attributes.get_string("precision", "f32");
  const auto* row = std::ranges::find(kPrecisions, precision, &PrecisionRow::name);
  if (row == std::end(kPrecisions)) {
    base::invalid("op.attribute", "attribute 'precision' must be 'f32', 'bf16' or 'bf16-always', but is '{}'",
                  precision);
  }
  return has_bf16() ? row->use : Bf16::kNo;
}

std::vector<Number> numbers_of(const Block& block) {
  // Nobody needs more than bfloat16 of a slot, until a reader is found that does.
  std::vector<char> suffices(block.slots.size(), 1);
  std::vector<char> is_made(block.slots.size(), 0);
  for (const SlotIndex output : block.outputs) suffices[output] = 0;
  for (const Instruction& instruction : block.instructions | std::views::reverse) {
    bool takes_bf16 = use_of_bf16(instruction) != Bf16::kNo;
    if (is_transparent(instruction)) {
      takes_bf16 = std::ranges::all_of(instruction.outputs,
                                       [&](SlotIndex output) { return output == kNoSlot || suffices[output] != 0; });
    }
    for (const SlotIndex output : instruction.outputs) {
      if (output != kNoSlot) is_made[output] = 1;
    }
    if (takes_bf16) continue;
    for (const SlotIndex input : instruction.inputs) {
      if (input != kNoSlot) suffices[input] = 0;
    }
  }
  std::vector<Number> numbers(block.slots.size(), Number::f32);
  if (!has_bf16()) return numbers;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (is_made[i] != 0 && suffices[i] != 0) numbers[i] = Number::bf16;
  }
  return numbers;
}

}  // namespace lanner::backends::onednn
