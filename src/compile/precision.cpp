#include "compile/precision.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "backends/backend.h"

namespace lanner::compiler {

using program::Block;
using program::Instruction;
using program::SlotIndex;

namespace {

constexpr std::string_view kAttribute = "precision";
constexpr std::string_view kBackend = "onednn";

// Sums for fewer outputs, such as the expected distance of a distribution, cost little and mean much.
constexpr std::int64_t kLeastOutputs = 8;

bool is_product(const Instruction& instruction) {
  constexpr std::string_view kProducts[] = {"Conv", "FusedConv", "MatMul", "Gemm", "FusedMatMul"};
  return std::ranges::find(kProducts, instruction.op) != std::end(kProducts) && instruction.inputs.size() >= 2;
}

// Why a product stays float32; empty where bfloat16 may gain.
std::string objection(const Block& block, const Instruction& instruction) {
  const SlotIndex weights = instruction.inputs[1];
  const auto shape = block.slots[weights].type.static_shape();
  const bool constant =
      std::ranges::find(block.constants, weights, &program::ConstantBinding::slot) != block.constants.end();
  if (!constant || !shape || shape->rank() < 2) return "its weights are not constant";
  const bool rows =
      instruction.op == "Conv" || instruction.op == "FusedConv" || instruction.attributes.get_int("transB", 0) != 0;
  const std::int64_t outputs = (*shape)[rows ? 0 : shape->rank() - 1];
  if (outputs < kLeastOutputs) return fmt::format("it has fewer than {} outputs", kLeastOutputs);
  return {};
}

template <typename Visit>
void visit_products(Instruction& subgraph, const Visit& visit) {
  if (subgraph.op != program::kSubgraph || subgraph.backend != kBackend) return;
  Block& body = subgraph.blocks.front().block;
  for (Instruction& instruction : body.instructions) {
    if (is_product(instruction)) visit(body, instruction);
  }
}

// Of the block and those nested in it.
template <typename Visit>
void visit_all_products(Block& block, const Visit& visit) {
  for (Instruction& instruction : block.instructions) {
    visit_products(instruction, visit);
    if (instruction.op == program::kSubgraph) continue;
    for (program::NamedBlock& inner : instruction.blocks) visit_all_products(inner.block, visit);
  }
}

const std::string& value_of(const Block& block, const Instruction& instruction) {
  return block.slots[instruction.outputs.front()].name;
}

}  // namespace

std::vector<Instruction*> bf16_candidates(Instruction& subgraph) {
  std::vector<Instruction*> found;
  visit_products(subgraph, [&](const Block& block, Instruction& instruction) {
    if (objection(block, instruction).empty()) found.push_back(&instruction);
  });
  return found;
}

bool allows_bf16(const Instruction& instruction) {
  return instruction.attributes.has(kAttribute);
}

void allow_bf16(Instruction& instruction, bool allowed) {
  if (allowed) {
    instruction.attributes.set(std::string(kAttribute), std::string("bf16"));
  } else {
    instruction.attributes.erase(kAttribute);
  }
}

void force_bf16(Instruction& instruction) {
  instruction.attributes.set(std::string(kAttribute), std::string("bf16-always"));
}

PrecisionReport allow_bf16_everywhere(program::Program& program) {
  PrecisionReport report;
  report.wanted = "bf16";
  visit_all_products(program.main, [&](const Block& block, Instruction& instruction) {
    allow_bf16(instruction, objection(block, instruction).empty());
  });
  report_rest(program, "", report);
  return report;
}

void report_rest(program::Program& program, const std::string& reason, PrecisionReport& report) {
  visit_all_products(program.main, [&](const Block& block, const Instruction& instruction) {
    const std::string& value = value_of(block, instruction);
    if (std::ranges::find(report.decisions, value, &PrecisionDecision::value) != report.decisions.end()) return;
    std::string why_not = objection(block, instruction);
    report.decisions.push_back({value, allows_bf16(instruction), why_not.empty() ? reason : std::move(why_not)});
  });
}

bool cpu_computes_bf16() {
  const backends::Backend* backend = backends::find_backend(kBackend);
  return backend != nullptr && backend->computes_bf16();
}

}  // namespace lanner::compiler
