// A compiled model: what compile() makes, a .lanner file holds and a Session runs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lanner/export.h"
#include "lanner/tensor.h"

namespace lanner {

namespace vm {
class LoadedProgram;
}

// An input or output of a model.
struct ValueInfo {
  std::string name;
  ElementType element_type = ElementType::kUndefined;
  std::string type;                 // all that is known: "float32[1,3,height,?]", "sequence(int64[?])", "optional(...)"
  bool is_tensor = true;            // otherwise a sequence of tensors or an optional
  bool has_rank = false;            // whether `shape` is known
  std::vector<std::int64_t> shape;  // -1 where a dimension is decided at run time
  std::vector<std::string> symbols;  // the model's name for such a dimension; empty elsewhere
  bool optional = false;             // an input with a default, which may be omitted
};

// A handle to an immutable program; copies share it, packed weights included. Thread-safe.
class LANNER_EXPORT Program {
 public:
  // Maps and verifies a .lanner file. Throws `file.not_found`, `file.unreadable`, `program.truncated`,
  // `program.corrupt`, `program.version`, `program.syntax`, `program.invalid`.
  static Program load(const std::filesystem::path& path);
  // Reads the text form, weights included. Throws `program.syntax`, `program.invalid`.
  static Program from_text(std::string_view text);

  // Writes a .lanner file; on failure (`file.unwritable`) nothing is left at `path` or beside it and a file that was
  // there before is unchanged.
  void save(const std::filesystem::path& path) const;
  // The text form; reads back with from_text().
  std::string to_text() const;

  std::vector<ValueInfo> inputs() const;
  std::vector<ValueInfo> outputs() const;
  // The model's metadata, such as "lanner.detect.classes".
  const std::vector<std::pair<std::string, std::string>>& properties() const;
  // Instructions in all blocks.
  std::size_t instruction_count() const;
  // What compile() decided and why, as JSON: {"nodes": [...], "rules": [...]}; "" for a program made from text.
  const std::string& report() const;

  explicit Program(std::shared_ptr<vm::LoadedProgram> loaded) : loaded_(std::move(loaded)) {}
  const std::shared_ptr<vm::LoadedProgram>& loaded() const { return loaded_; }

 private:
  std::shared_ptr<vm::LoadedProgram> loaded_;
};

}  // namespace lanner
