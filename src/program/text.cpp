#include "program/text.h"

#include <algorithm>

#include "base/fail.h"
#include "tensor/text.h"

namespace lanner::program {

namespace {

constexpr std::uint32_t kTextVersion = 1;
constexpr int kMaxDepth = 32;  // of nested blocks; keeps the recursive parser within its stack

std::string slot_list(const std::vector<SlotIndex>& slots) {
  std::string text;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (i != 0) text += ", ";
    text += slots[i] == kNoSlot ? "_" : fmt::to_string(slots[i]);
  }
  return text;
}

void print_block(const Block& block, std::string& text, int indent);

void print_instruction(const Instruction& instruction, std::string& text, int indent) {
  text.append(static_cast<std::size_t>(indent), ' ');
  text += fmt::format("{} = {}({})", slot_list(instruction.outputs), instruction.op, slot_list(instruction.inputs));
  if (!instruction.attributes.empty()) text += " with " + tensor::attributes_text(instruction.attributes);
  if (instruction.backend != "native") text += " on " + instruction.backend;
  if (!instruction.name.empty()) text += " name " + tensor::quoted(instruction.name);
  if (!instruction.dependencies.empty()) {
    text += fmt::format(" after({})", fmt::join(instruction.dependencies, ", "));
  }
  if (!instruction.stands_for.empty()) {
    text += fmt::format(" for({})", fmt::join(instruction.stands_for, ", "));
  }
  if (instruction.capture_count != 0) text += fmt::format(" captures {}", instruction.capture_count);
  for (const auto& [key, block] : instruction.blocks) {
    text += fmt::format(" block {} {{\n", key);
    print_block(block, text, indent + 2);
    text.append(static_cast<std::size_t>(indent), ' ');
    text += "}";
  }
  text += "\n";
}

void print_block(const Block& block, std::string& text, int indent) {
  const std::string margin(static_cast<std::size_t>(indent), ' ');
  for (std::size_t i = 0; i < block.slots.size(); ++i) {
    text += fmt::format("{}slot {} {} {}\n", margin, i, tensor::quoted(block.slots[i].name),
                        block.slots[i].type.to_string());
  }
  text += fmt::format("{}inputs({})\n", margin, slot_list(block.inputs));
  for (const ConstantBinding& binding : block.constants) {
    text += fmt::format("{}const {} {}\n", margin, binding.slot, binding.constant);
  }
  for (const Instruction& instruction : block.instructions) print_instruction(instruction, text, indent);
  text += fmt::format("{}outputs({})\n", margin, slot_list(block.outputs));
}

class Parser {
 public:
  Parser(std::string_view text, const ResolveConstant& resolve) : scanner_(text), resolve_(resolve) {}

  Program program() {
    Program program;
    scanner_.expect("program");
    const std::uint32_t version = scanner_.count();
    if (version != kTextVersion) {
      base::fail(ErrorCode::kFailedPrecondition, "program.version",
                 "this program has text version {}, but this build reads version {}", version, kTextVersion);
    }
    while (scanner_.take("property")) {
      std::string key = scanner_.string_literal();
      program.properties.emplace_back(std::move(key), scanner_.string_literal());
    }
    while (scanner_.take("constant")) {
      number(program.constants.size());
      program.constants.push_back(constant());
    }
    while (scanner_.take("default")) program.input_defaults.push_back(binding());
    while (scanner_.take("output")) program.output_names.push_back(scanner_.string_literal());
    scanner_.expect("main");
    scanner_.expect("{");
    program.main = block(0);
    if (!scanner_.at_end()) scanner_.fail("the end of the program");
    return program;
  }

 private:
  // Constants and slots are numbered in the text for the reader; the numbers must be the positions.
  void number(std::size_t expected) {
    if (scanner_.count() != expected) scanner_.fail(fmt::format("number {} before this", expected));
  }

  ConstantBinding binding() {
    ConstantBinding result{};
    result.slot = scanner_.count();
    result.constant = scanner_.count();
    return result;
  }

  Tensor constant() {
    if (!scanner_.take("@")) return scanner_.tensor();
    const std::int64_t offset = scanner_.integer();
    const tensor::ValueType type = scanner_.value_type();
    const std::optional<Shape> shape = type.static_shape();
    if (!shape || type.element == ElementType::kUndefined || !resolve_) scanner_.fail("a constant with its elements");
    return resolve_(type.element, *shape, offset);
  }

  std::vector<SlotIndex> slots(std::string_view end) {
    std::vector<SlotIndex> result;
    while (!scanner_.take(end)) {
      if (!result.empty()) scanner_.expect(",");
      result.push_back(scanner_.take("_") ? kNoSlot : scanner_.count(kNoSlot - 1));
    }
    return result;
  }

  std::vector<SlotIndex> slot_line() {
    scanner_.expect("(");
    return slots(")");
  }

  Block block(int depth) {
    if (depth > kMaxDepth) scanner_.fail(fmt::format("at most {} nested blocks", kMaxDepth));
    Block block;
    while (scanner_.take("slot")) {
      number(block.slots.size());
      std::string name = scanner_.string_literal();
      block.slots.push_back({std::move(name), scanner_.value_type()});
    }
    scanner_.expect("inputs");
    block.inputs = slot_line();
    while (scanner_.take("const")) block.constants.push_back(binding());
    while (!scanner_.take("outputs")) block.instructions.push_back(instruction(depth));
    block.outputs = slot_line();
    scanner_.expect("}");
    return block;
  }

  Instruction instruction(int depth) {
    Instruction instruction;
    instruction.outputs = slots("=");
    instruction.op = scanner_.identifier();
    scanner_.expect("(");
    instruction.inputs = slots(")");
    if (scanner_.take("with")) instruction.attributes = scanner_.attributes();
    if (scanner_.take("on")) instruction.backend = scanner_.identifier();
    if (scanner_.take("name")) instruction.name = scanner_.string_literal();
    if (scanner_.take("after")) {
      scanner_.expect("(");
      instruction.dependencies = slots(")");
    }
    if (scanner_.take("for")) {
      scanner_.expect("(");
      while (!scanner_.take(")")) {
        if (!instruction.stands_for.empty()) scanner_.expect(",");
        instruction.stands_for.emplace_back(scanner_.identifier());
      }
    }
    if (scanner_.take("captures")) instruction.capture_count = scanner_.count();
    while (scanner_.take("block")) {
      std::string key(scanner_.identifier());
      scanner_.expect("{");
      instruction.blocks.push_back({std::move(key), block(depth + 1)});
    }
    return instruction;
  }

  tensor::Scanner scanner_;
  const ResolveConstant& resolve_;
};

}  // namespace

std::string print(const Program& program, const std::function<std::string(std::uint32_t)>& constant_text) {
  std::string text = fmt::format("program {}\n", kTextVersion);
  for (const auto& [key, value] : program.properties) {
    text += fmt::format("property {} {}\n", tensor::quoted(key), tensor::quoted(value));
  }
  for (std::uint32_t i = 0; i < program.constants.size(); ++i) {
    text += fmt::format("constant {} {}\n", i,
                        constant_text ? constant_text(i) : tensor::tensor_text(program.constants[i]));
  }
  for (const ConstantBinding& binding : program.input_defaults) {
    text += fmt::format("default {} {}\n", binding.slot, binding.constant);
  }
  for (const std::string& name : program.output_names) text += fmt::format("output {}\n", tensor::quoted(name));
  text += "main {\n";
  print_block(program.main, text, 2);
  text += "}\n";
  return text;
}

Program parse(std::string_view text, const ResolveConstant& resolve) {
  return Parser(text, resolve).program();
}

}  // namespace lanner::program
