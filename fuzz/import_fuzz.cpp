// The importer, and the whole compile of what it takes, with all rules and without any; both programs are then run.
// Nothing but lanner::Error may come out, and no file may be read: a model that is given as bytes has no folder.
//
// An input that begins with "{" is the report of a program file, which `lanner explain` reads.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstring>
#include <string>

#include "fuzz/execute.h"
#include "fuzz/model_mutator.h"
#include "lanner/compile.h"
#include "lanner/error.h"
#include "vm/loaded_program.h"

namespace {

void compile_and_run(std::span<const std::byte> model, const lanner::CompileOptions& options, std::uint64_t seed) {
  try {
    const lanner::Program program = lanner::compile_bytes(model, options);
    lanner::fuzz::execute(program.loaded()->program(), seed);
  } catch (const lanner::Error&) {
    // Most changed models are none.
  }
}

void read_report(std::string report) {
  lanner::program::Program empty;
  const lanner::Program program(std::make_shared<lanner::vm::LoadedProgram>(std::move(empty), std::move(report)));
  try {
    lanner::explain(program, 1);
  } catch (const lanner::Error&) {
    // Most texts are no report.
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  if (size != 0 && data[0] == '{') {
    read_report({reinterpret_cast<const char*>(data), size});
    return 0;
  }
  const std::uint64_t seed = XXH3_64bits(data, size);
  lanner::CompileOptions all_rules;
  all_rules.min_subgraph = 1;
  lanner::CompileOptions plain;
  plain.disable_rules = {"all"};
  plain.deny = {"@onednn"};
  compile_and_run(bytes, all_rules, seed);
  if (seed % 4 == 0) compile_and_run(bytes, plain, seed);
  return 0;
}

#ifdef LANNER_FUZZ
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  lanner::fuzz::Random random(seed);
  if (random.one_in(6)) return LLVMFuzzerMutate(data, size, max_size);
  const std::string changed = lanner::fuzz::mutate_model({reinterpret_cast<const char*>(data), size}, random);
  if (changed.empty() || changed.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, changed.data(), changed.size());
  return changed.size();
}
#endif
