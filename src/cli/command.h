// The subcommands of `lanner`: each adds itself to the command line and returns what to do when it is chosen. Errors
// leave as lanner::Error, or CLI::ParseError for a wrong command line, and are printed by main.cpp; nothing else here
// exits or catches.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lanner/compile.h"
#include "lanner/program.h"
#include "lanner/session.h"

namespace lanner::cli {

// Options that every command with a MODEL takes.
struct ModelOptions {
  std::string model;
  std::optional<int> threads;
  std::optional<int> lanes;
  std::optional<std::string> precision;
  std::optional<double> tolerance;
  std::vector<std::string> samples;
  std::optional<std::string> tune;
  std::optional<std::string> memory;
  std::string config;
  std::vector<std::string> disable_rules;
  std::vector<std::string> deny;
  std::vector<std::string> shapes;      // NAME=4x3x640x640
  std::vector<std::string> dimensions;  // NAME=4

  // `usual_tune` is how a model is tuned where nobody says.
  void add_to(CLI::App& command, std::string usual_tune);
  // Compiles an .onnx file, showing progress on a terminal and printing warnings to the standard error, or loads a
  // .lanner file, which is tuned again if the
  // command line, or `retunes` and the settings for an .onnx file, say so. A setting of the config file applies where
  // the command line does not have it; rules to disable add to those of `options`. Throws `config.invalid`, what
  // compile() does, and what check_compilable() does for the options of compiling.
  Program open(CompileOptions options = {}, bool retunes = false) const;
  // Throws CLI::ValidationError when `option` is `wanted` but MODEL is a .lanner file, on which it would have no
  // effect.
  void check_compilable(bool wanted, std::string_view option) const;
  SessionOptions session_options() const;

 private:
  bool is_compiled() const;  // whether MODEL is a .lanner file

  std::string usual_tune_ = "off";
};

// The arrays of an .npz file or, where `path` is empty, zeros; throws `input.missing` where a shape is not known.
NamedValues inputs_for(const Program& program, const std::string& path);

// Accepts whole numbers from `least` on.
CLI::Validator at_least(int least);

// Adds `--json [FILE.json]`: sets `json` to the file's name, or to "-" where none follows. Only names that end in .json
// are taken, so that a MODEL or an IMAGE that follows is not mistaken for the file to write.
void add_json_option(CLI::App& command, std::string& json, const std::string& doc);

// Prints to the standard output.
template <typename... Args>
void print(fmt::format_string<Args...> format, Args&&... args) {
  const std::string text = fmt::format(format, std::forward<Args>(args)...);
  std::fwrite(text.data(), 1, text.size(), stdout);
}

using Action = std::function<void()>;

Action add_compile(CLI::App& app);
Action add_run(CLI::App& app);
Action add_profile(CLI::App& app);
Action add_explain(CLI::App& app);
Action add_bench(CLI::App& app);
Action add_detect(CLI::App& app);

}  // namespace lanner::cli
