// The subcommands of `lanner`: each adds itself to the command line and returns what to do when it is chosen. Errors
// leave as lanner::Error and are printed by main.cpp; nothing else here exits or catches.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "lanner/compile.h"
#include "lanner/program.h"
#include "lanner/session.h"

namespace lanner::cli {

// Options that every command with a MODEL takes.
struct ModelOptions {
  std::string model;
  int threads = 0;
  int lanes = 0;
  std::string precision = "f32";
  std::string config;
  std::vector<std::string> disable_rules;
  std::vector<std::string> deny;

  void add_to(CLI::App& command);
  // Compiles an .onnx file, showing progress on a terminal, or loads a .lanner file. The config file's settings apply
  // where the command line has none.
  Program open(CompileOptions options = {}) const;
  SessionOptions session_options() const;
};

using Action = std::function<void()>;

Action add_compile(CLI::App& app);
Action add_run(CLI::App& app);
Action add_profile(CLI::App& app);
Action add_explain(CLI::App& app);
Action add_detect(CLI::App& app);

}  // namespace lanner::cli
