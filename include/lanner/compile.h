// From an ONNX model to a program.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lanner/export.h"
#include "lanner/program.h"

namespace lanner {

struct CompileOptions {
  // Rewrite rules to leave out, by name; the name of a pass leaves out its rules, "all" every one. Throws
  // `rule.unknown` for a name that is none of these.
  std::vector<std::string> disable_rules;
  // Operators to keep from a backend: "OP" keeps it from every backend but native, "OP@BACKEND" from one, "@BACKEND"
  // leaves out a backend.
  std::vector<std::string> deny;
  // Only "f32" so far.
  std::string precision = "f32";
  // Called as compiling goes on, from the calling thread: what is being done, and how far it is (0 to 1).
  std::function<void(std::string_view step, double fraction)> progress;
  // Called for each pass that changed the graph, with the graph's text before and after it.
  std::function<void(std::string_view pass, std::string_view before, std::string_view after)> trace;
};

// Imports, optimises and lowers a model. `model` is an .onnx file (external data beside it), or a .lanner file, which
// is loaded as it is. Throws `file.*`, `model.*` for a file that is no valid model, `op.unsupported` listing every
// operator without a kernel with its count.
LANNER_EXPORT Program compile(const std::filesystem::path& model, const CompileOptions& options = {});
// The same from the bytes of an .onnx file; external data is looked for in `folder`, or refused when it is empty.
LANNER_EXPORT Program compile_bytes(std::span<const std::byte> model, const CompileOptions& options = {},
                                    const std::filesystem::path& folder = {});

// The names of the rewrite rules, in the order they run, each with its one-sentence description.
LANNER_EXPORT std::vector<std::pair<std::string, std::string>> rewrite_rules();

// The names of a pass's rules; empty where there is no such pass.
LANNER_EXPORT std::vector<std::string> pass_rules(std::string_view pass);

// "0.1.0"
LANNER_EXPORT std::string_view version();

}  // namespace lanner
