// What the VM runs: blocks of instructions over numbered slots. The main block is the model; an If, Loop, Scan, ForEach
// or subgraph instruction holds blocks of its own. A block is closed: it sees its own slots only, and what an inner
// block needs from outside is passed to it as trailing inputs (`capture_count` of them), so dependencies are between
// the instructions of one block. A slot is written once, by a block input, a constant or one instruction.
//
// A subgraph instruction gives its one block, "body", to a backend. The block is the plain description a backend builds
// from (operators, attributes, links, weights), the same for every backend and runnable by the native kernels.
//
// Plain data: everything here may come from a file, so nothing else reads it before verify() has accepted it.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lanner/tensor.h"
#include "tensor/attributes.h"
#include "tensor/value_type.h"

namespace lanner::program {

using SlotIndex = std::uint32_t;
inline constexpr SlotIndex kNoSlot = std::numeric_limits<SlotIndex>::max();  // an absent optional input or output

inline constexpr std::string_view kIf = "If";
inline constexpr std::string_view kLoop = "Loop";
inline constexpr std::string_view kScan = "Scan";
inline constexpr std::string_view kSubgraph = "Subgraph";

// A region: its block "body" runs `count` times, on values of each iteration's own and on those that all share, and the
// results are joined. No iteration sees another, so they may run at once.
//
//     outputs... = ForEach(items..., captures...) with {axes=[...], count=N}
//
// Items are lists of N values, one list after another; iteration k is given the k-th of each list and all captures.
// Output i is what Concat makes of the N results i, in the order of the iterations, along axis axes[i]; so results may
// differ in their size along it, which ONNX's Scan does not allow.
inline constexpr std::string_view kForEach = "ForEach";

struct Slot {
  std::string name;        // the model's name for the value
  tensor::ValueType type;  // as far as it was known when compiled; unknown dimensions are decided at run time
};

struct ConstantBinding {
  SlotIndex slot;
  std::uint32_t constant;  // index into Program::constants
};

struct NamedBlock;

struct Instruction {
  std::string op;                  // an operator with a kernel, or kIf, kLoop, kScan, kForEach, kSubgraph
  std::string backend = "native";  // who runs it
  std::string name;                // the model's name for the node
  std::vector<SlotIndex> inputs;
  std::vector<SlotIndex> outputs;
  tensor::Attributes attributes;
  std::vector<NamedBlock> blocks;   // "then_branch" and "else_branch"; "body"
  std::uint32_t capture_count = 0;  // trailing inputs that only the blocks read
  // Earlier instructions of the block, by index, ascending, that must have ended before this one starts: at least the
  // producers of its inputs.
  std::vector<std::uint32_t> dependencies;
  std::vector<std::string> stands_for;  // ONNX operators this instruction replaced; empty: just `op`
};

struct Block {
  std::vector<Slot> slots;
  std::vector<SlotIndex> inputs;
  std::vector<SlotIndex> outputs;
  std::vector<ConstantBinding> constants;
  std::vector<Instruction> instructions;  // in an order that respects the dependencies
};

struct NamedBlock {
  std::string name;
  Block block;
};

struct Program {
  std::vector<std::pair<std::string, std::string>> properties;  // the model's metadata
  std::vector<Tensor> constants;  // shared by all blocks; of a loaded file, views of the mapping they keep alive
  // Inputs of `main` that may be omitted, with what they are then.
  std::vector<ConstantBinding> input_defaults;
  std::vector<std::string> output_names;  // one per output of `main`
  Block main;
};

// The producers of each instruction's inputs, as `dependencies` must at least hold them.
void set_data_dependencies(Block& block);

// The operators that something stands for, as users see them: "Conv+Relu", "NonMaxSuppression×90".
std::string joined_operators(const std::vector<std::string>& names);

}  // namespace lanner::program
