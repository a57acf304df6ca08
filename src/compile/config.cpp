#include "compile/config.h"

#include <limits>
#include <sstream>
#include <toml.hpp>

#include "base/fail.h"
#include "base/file.h"

namespace lanner::compiler {

namespace {

toml::value parse_config(const std::string& path) {
  std::istringstream text(base::read_file(path));
  try {
    return toml::parse(text, path);
  } catch (const std::exception& error) {  // toml11 also throws std::out_of_range and std::runtime_error
    base::invalid("config.invalid", "config file '{}': {}", path, error.what());
  }
}

// Reads settings of a parsed file, with errors that name the file and the setting.
class Config {
 public:
  explicit Config(const std::string& path) : path_(path), config_(parse_config(path)) {}

  Settings settings() const {
    Settings settings;
    for (const auto& [key, value] : config_.as_table()) {
      if (key == "threads") {
        settings.threads = count(key, value);
      } else if (key == "lanes") {
        settings.lanes = count(key, value);
      } else if (key == "precision") {
        settings.precision = text(key, value);
      } else if (key == "tune") {
        settings.tune = text(key, value);
      } else if (key == "memory") {
        settings.memory = text(key, value);
      } else if (key == "tolerance") {
        settings.tolerance = number(key, value);
      } else if (key == "samples") {
        settings.samples = texts(key, value);
      } else if (key == "disable-rule") {
        settings.disable_rules = texts(key, value);
      } else if (key == "deny") {
        settings.deny = texts(key, value);
      } else if (key != "detect" || !value.is_table()) {
        base::invalid("config.invalid", "config file '{}': there is no setting '{}'", path_, key);
      }
    }
    return settings;
  }

 private:
  [[noreturn]] void wrong(const std::string& key, std::string_view needed) const {
    base::invalid("config.invalid", "config file '{}': '{}' must be {}", path_, key, needed);
  }

  int count(const std::string& key, const toml::value& value) const {
    constexpr int kLargest = std::numeric_limits<int>::max();
    if (!value.is_integer() || value.as_integer() < 0 || value.as_integer() > kLargest) {
      wrong(key, fmt::format("a whole number from 0 to {}", kLargest));
    }
    return static_cast<int>(value.as_integer());
  }

  double number(const std::string& key, const toml::value& value) const {
    if (value.is_integer()) return static_cast<double>(value.as_integer());
    if (!value.is_floating()) wrong(key, "a number");
    return value.as_floating();
  }

  std::string text(const std::string& key, const toml::value& value) const {
    if (!value.is_string()) wrong(key, "a string");
    return value.as_string().str;
  }

  std::vector<std::string> texts(const std::string& key, const toml::value& value) const {
    if (!value.is_array()) wrong(key, "an array of strings");
    std::vector<std::string> result;
    for (const toml::value& entry : value.as_array()) {
      if (!entry.is_string()) wrong(key, "an array of strings");
      result.push_back(entry.as_string().str);
    }
    return result;
  }

  const std::string& path_;
  toml::value config_;
};

}  // namespace

Settings read_config(const std::string& path) {
  return Config(path).settings();
}

}  // namespace lanner::compiler
