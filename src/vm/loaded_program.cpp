#include "vm/loaded_program.h"

#include <algorithm>

#include "lanner/program.h"
#include "program/file.h"
#include "program/text.h"
#include "program/verify.h"

namespace lanner {

namespace vm {

LoadedProgram::LoadedProgram(program::Program program, std::string report,
                             std::shared_ptr<const base::MappedFile> mapping)
    : program_(std::move(program)), report_(std::move(report)), mapping_(std::move(mapping)) {}

const ReadyBlock& LoadedProgram::ready(const backends::BuildOptions& options) {
  const std::lock_guard lock(mutex_);
  if (ready_ == nullptr) {
    ready_ = std::make_unique<ReadyBlock>(make_ready(program_, program_.main, options));
    release_file_pages();
  }
  return *ready_;
}

void LoadedProgram::release_file_pages() const {
  if (mapping_ != nullptr) mapping_->release_pages(mapping_->bytes().data(), mapping_->bytes().size());
}

std::shared_ptr<const Layout> LoadedProgram::best_layout(int threads, int lanes) {
  const std::lock_guard lock(mutex_);
  const auto found = best_layouts_.find({threads, lanes});
  return found != best_layouts_.end() ? found->second : nullptr;
}

void LoadedProgram::set_best_layout(int threads, int lanes, std::shared_ptr<const Layout> layout) {
  const std::lock_guard lock(mutex_);
  best_layouts_.try_emplace({threads, lanes}, std::move(layout));
}

}  // namespace vm

namespace {

ValueInfo value_info(const program::Block& block, program::SlotIndex slot) {
  const program::Slot& from = block.slots[slot];
  ValueInfo info;
  info.name = from.name;
  info.type = from.type.to_string();
  info.element_type = from.type.element;
  info.is_tensor = from.type.kind == tensor::ValueType::Kind::kTensor;
  info.has_rank = from.type.ranked;
  for (const tensor::Dim& dim : from.type.dims) {
    info.shape.push_back(dim.size);
    info.symbols.push_back(dim.symbol);
  }
  return info;
}

std::size_t count_instructions(const program::Block& block) {
  std::size_t count = block.instructions.size();
  for (const program::Instruction& instruction : block.instructions) {
    if (instruction.op == program::kSubgraph) continue;
    for (const auto& [key, inner] : instruction.blocks) count += count_instructions(inner);
  }
  return count;
}

}  // namespace

Program Program::load(const std::filesystem::path& path) {
  program::FileContent content = program::read_file(path);
  return Program(std::make_shared<vm::LoadedProgram>(std::move(content.program), std::move(content.report),
                                                     std::move(content.mapping)));
}

Program Program::from_text(std::string_view text) {
  program::Program program = program::parse(text);
  program::verify(program);
  return Program(std::make_shared<vm::LoadedProgram>(std::move(program), ""));
}

void Program::save(const std::filesystem::path& path) const {
  program::write_file(path, loaded_->program(), loaded_->report());
}

std::string Program::to_text() const {
  return program::print(loaded_->program());
}

std::vector<ValueInfo> Program::inputs() const {
  const program::Program& program = loaded_->program();
  std::vector<ValueInfo> result;
  for (const program::SlotIndex slot : program.main.inputs) {
    result.push_back(value_info(program.main, slot));
    result.back().optional = std::ranges::find(program.input_defaults, slot, &program::ConstantBinding::slot) !=
                             program.input_defaults.end();
  }
  return result;
}

std::vector<ValueInfo> Program::outputs() const {
  const program::Program& program = loaded_->program();
  std::vector<ValueInfo> result;
  for (std::size_t i = 0; i < program.main.outputs.size(); ++i) {
    result.push_back(value_info(program.main, program.main.outputs[i]));
    result.back().name = program.output_names[i];
  }
  return result;
}

const std::vector<std::pair<std::string, std::string>>& Program::properties() const {
  return loaded_->program().properties;
}

std::size_t Program::instruction_count() const {
  return count_instructions(loaded_->program().main);
}

const std::string& Program::report() const {
  return loaded_->report();
}

}  // namespace lanner
