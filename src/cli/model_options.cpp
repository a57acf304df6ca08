#include <unistd.h>

#include <toml.hpp>

#include "base/fail.h"
#include "base/file.h"
#include "cli/command.h"

namespace lanner::cli {

namespace {

// The top-level settings of a config file, under the names the command line has for them.
void apply_config(const std::string& path, ModelOptions& options) {
  const auto wrong = [&](std::string_view what) {
    base::invalid("config.invalid", "config file '{}': {}", path, what);
  };
  toml::value config;
  try {
    std::istringstream text(base::read_file(path));
    config = toml::parse(text, path);
    for (const auto& [key, value] : config.as_table()) {
      if (key == "threads") {
        if (options.threads == 0) options.threads = static_cast<int>(toml::get<std::int64_t>(value));
      } else if (key == "lanes") {
        if (options.lanes == 0) options.lanes = static_cast<int>(toml::get<std::int64_t>(value));
      } else if (key == "precision") {
        if (options.precision == "f32") options.precision = toml::get<std::string>(value);
      } else if (key == "disable-rule") {
        for (std::string& rule : toml::get<std::vector<std::string>>(value)) {
          options.disable_rules.push_back(std::move(rule));
        }
      } else if (key == "deny") {
        for (std::string& entry : toml::get<std::vector<std::string>>(value)) options.deny.push_back(std::move(entry));
      } else if (key != "detect") {
        wrong(fmt::format("unknown setting '{}'", key));
      }
    }
  } catch (const toml::exception& error) {
    wrong(error.what());
  }
}

// A line that is rewritten in place on a terminal; silent elsewhere.
std::function<void(std::string_view, double)> terminal_progress() {
  if (::isatty(STDERR_FILENO) == 0) return {};
  return [](std::string_view step, double fraction) {
    std::fprintf(stderr, "\r\x1b[K");
    if (fraction < 1) std::fprintf(stderr, "%3.0f%%  %.*s", 100 * fraction, static_cast<int>(step.size()), step.data());
    std::fflush(stderr);
  };
}

}  // namespace

void ModelOptions::add_to(CLI::App& command) {
  command.add_option("MODEL", model, "An .onnx or a .lanner file")->required();
  command.add_option("--threads", threads, "Threads of a session; 0: as many as the process may use")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--lanes", lanes, "Instructions of one request that may run at once (one at a time so far)")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--precision", precision, "f32");
  command.add_option("--config", config, "A TOML file with these settings and the [detect] keys");
  command.add_option("--disable-rule", disable_rules, "A rewrite rule to leave out; 'all' for every one")
      ->allow_extra_args(false);
  command.add_option("--deny", deny, "OP, OP@BACKEND or @BACKEND: what to keep from a backend")->allow_extra_args(false);
}

Program ModelOptions::open(CompileOptions options) const {
  ModelOptions merged = *this;
  if (!config.empty()) apply_config(config, merged);
  options.precision = merged.precision;
  options.disable_rules = merged.disable_rules;
  options.deny = merged.deny;
  options.progress = terminal_progress();
  try {
    return compile(std::filesystem::path(model), options);
  } catch (...) {
    if (options.progress) options.progress("", 1);  // clear the line
    throw;
  }
}

SessionOptions ModelOptions::session_options() const {
  ModelOptions merged = *this;
  if (!config.empty()) apply_config(config, merged);
  return {.threads = merged.threads};
}

}  // namespace lanner::cli
