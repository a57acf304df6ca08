// The config file: settings under the names that the command line and Python have for them.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace lanner::compiler {

// What a file sets; the rest is absent or empty.
struct Settings {
  std::optional<int> threads;
  std::optional<int> lanes;
  std::optional<std::string> precision;
  std::optional<std::string> tune;
  std::optional<std::string> memory;
  std::optional<double> tolerance;
  std::vector<std::string> samples;
  std::vector<std::string> disable_rules;
  std::vector<std::string> deny;
};

// Reads a TOML file. Its table [detect] is left to whoever detects. Throws `file.not_found`, `file.unreadable`,
// `config.invalid` for text that is no TOML, an unknown setting or a value of the wrong kind.
Settings read_config(const std::string& path);

}  // namespace lanner::compiler
