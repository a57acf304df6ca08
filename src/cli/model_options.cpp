#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/fail.h"
#include "cli/command.h"
#include "cli/npz.h"
#include "compile/config.h"
#include "program/file.h"

namespace lanner::cli {

namespace {

// The options with the config file's settings where the command line has none.
ModelOptions with_config(ModelOptions options) {
  if (options.config.empty()) return options;
  compiler::Settings settings = compiler::read_config(options.config);
  if (!options.threads) options.threads = settings.threads;
  if (!options.lanes) options.lanes = settings.lanes;
  if (!options.precision) options.precision = std::move(settings.precision);
  if (!options.tolerance) options.tolerance = settings.tolerance;
  if (options.samples.empty()) options.samples = std::move(settings.samples);
  if (!options.tune) options.tune = std::move(settings.tune);
  if (!options.memory) options.memory = std::move(settings.memory);
  if (options.disable_rules.empty()) options.disable_rules = std::move(settings.disable_rules);
  if (options.deny.empty()) options.deny = std::move(settings.deny);
  return options;
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

[[noreturn]] void wrong_size(std::string_view option, const std::string& text, std::string_view form) {
  throw CLI::ValidationError(fmt::format("{} must be {}, but is '{}'", option, form, text));
}

// A size of at least 0; nothing for any other text.
std::optional<std::int64_t> parse_size(std::string_view text) {
  std::int64_t size = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
  if (error != std::errc() || end != text.data() + text.size() || size < 0) return std::nullopt;
  return size;
}

// INPUT=4x3x640x640, the last '=' being the one that counts; nothing after it is a scalar.
InputShape parse_shape(const std::string& text) {
  constexpr std::string_view kForm = "INPUT=4x3x640x640";
  const std::size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0) wrong_size("--shape", text, kForm);
  InputShape shape{text.substr(0, equals), {}};
  std::string_view rest = std::string_view(text).substr(equals + 1);
  while (!rest.empty()) {
    const std::size_t x = std::min(rest.find('x'), rest.size());
    const std::string_view word = rest.substr(0, x);
    const auto size = word == "?" ? std::optional<std::int64_t>(-1) : parse_size(word);
    if (!size || x + 1 == rest.size()) wrong_size("--shape", text, kForm);
    shape.dims.push_back(*size);
    rest.remove_prefix(std::min(x + 1, rest.size()));
  }
  return shape;
}

DimensionSize parse_dimension(const std::string& text) {
  const std::size_t equals = text.rfind('=');
  const auto size = equals == std::string::npos ? std::nullopt : parse_size(std::string_view(text).substr(equals + 1));
  if (!size || equals == 0) wrong_size("--dim", text, "NAME=4");
  return {text.substr(0, equals), *size};
}

}  // namespace

CLI::Validator at_least(int least) {
  return CLI::Validator(
      [least](std::string& text) {
        int number = 0;
        if (CLI::detail::lexical_cast(text, number) && number >= least) return std::string();
        return fmt::format("must be a whole number of at least {}, but is '{}'", least, text);
      },
      fmt::format("{} or more", least));
}

void add_json_option(CLI::App& command, std::string& json, const std::string& doc) {
  command.add_option("--json", json, doc)->expected(0, 1)->default_str("-")->check([](const std::string& name) {
    return name == "-" || name.ends_with(".json") ? std::string() : "'" + name + "' must end in .json";
  });
}

void ModelOptions::add_to(CLI::App& command, std::string usual_tune) {
  usual_tune_ = std::move(usual_tune);
  command.add_option("MODEL", model, "An .onnx or a .lanner file")->required();
  command.add_option("--threads", threads, "Threads of a session; 0: as many as the process may use")
      ->check(at_least(0));
  command
      .add_option("--lanes", lanes, "Instructions of one request that may run at once (default: as many as threads)")
      ->check(at_least(0));
  command.add_option("--precision", precision,
                     "Numbers that dense operators compute with: f32; bf16, where it is faster; auto, bf16 as far as "
                     "results stay within the tolerance");
  command.add_option(
      "--tolerance", tolerance,
      fmt::format("Of --precision auto: the relative error that values may have (default: {})", kDefaultTolerance));
  command
      .add_option(
          "--samples", samples,
          "An .npz file with one array per input: what --precision auto judges on, and whose sizes --tune measures "
          "where the model leaves them open; may be given several times")
      ->allow_extra_args(false);
  command.add_option(
      "--tune", tune,
      fmt::format("Choose algorithms by measuring: off, fast (those that are close) or full (default: {})",
                  usual_tune_));
  command.add_option(
      "--memory", memory,
      "What packed weights may take: fast, as much as the fastest algorithms want, or small, no more than "
      "plain weights (default: fast)");
  command
      .add_option("--shape", shapes,
                  "INPUT=4x3x640x640: compile for another input shape than the model's; '?' for a size that is open")
      ->allow_extra_args(false);
  command.add_option("--dim", dimensions, "NAME=4: the size of a symbolic dimension of the inputs")
      ->allow_extra_args(false);
  command.add_option("--config", config,
                     "A TOML file with these settings and the [detect] keys; the command line wins");
  command.add_option("--disable-rule", disable_rules, "A rewrite rule or pass to leave out; 'all' for every rule")
      ->allow_extra_args(false);
  command.add_option("--deny", deny, "OP, OP@BACKEND or @BACKEND: what to keep from a backend")
      ->allow_extra_args(false);
}

bool ModelOptions::is_compiled() const {
  return std::filesystem::is_regular_file(model) && program::is_program_file(model);
}

void ModelOptions::check_compilable(bool wanted, std::string_view option) const {
  if (!wanted || !is_compiled()) return;
  throw CLI::ValidationError(
      fmt::format("{} needs a model to compile, but '{}' is compiled already: give its .onnx file", option, model));
}

Program ModelOptions::open(CompileOptions options, bool retunes) const {
  check_compilable(precision.has_value(), "--precision");
  check_compilable(tolerance.has_value(), "--tolerance");
  check_compilable(!samples.empty() && !tune && !retunes, "--samples");
  check_compilable(memory.has_value(), "--memory");
  check_compilable(!disable_rules.empty(), "--disable-rule");
  check_compilable(!deny.empty(), "--deny");
  check_compilable(!shapes.empty(), "--shape");
  check_compilable(!dimensions.empty(), "--dim");
  for (const std::string& text : shapes) options.shapes.push_back(parse_shape(text));
  for (const std::string& text : dimensions) options.dimensions.push_back(parse_dimension(text));
  ModelOptions merged = with_config(*this);
  if (merged.precision) options.precision = *merged.precision;
  if (merged.tolerance) options.tolerance = *merged.tolerance;
  options.memory = merged.memory.value_or(options.memory);
  const bool stays = !tune && !retunes && is_compiled();
  options.tune = stays ? "off" : merged.tune.value_or(usual_tune_);
  if (options.precision == "auto" || options.tune != "off") {
    for (const std::string& path : merged.samples) options.samples.push_back(read_npz(path));
  }
  options.threads = merged.threads.value_or(0);
  options.disable_rules.insert(options.disable_rules.end(), merged.disable_rules.begin(), merged.disable_rules.end());
  options.deny = std::move(merged.deny);
  options.progress = terminal_progress();
  options.warn = [clear = ::isatty(STDERR_FILENO) != 0 ? "\r\x1b[K" : ""](std::string_view warning) {
    fmt::print(stderr, "{}warning: {}\n", clear, warning);
  };
  try {
    return compile(std::filesystem::path(model), options);
  } catch (...) {
    if (options.progress) options.progress("", 1);  // clear the line
    throw;
  }
}

SessionOptions ModelOptions::session_options() const {
  const ModelOptions merged = with_config(*this);
  return {.threads = merged.threads.value_or(0), .lanes = merged.lanes.value_or(0)};
}

NamedValues inputs_for(const Program& program, const std::string& path) {
  if (!path.empty()) return read_npz(path);
  NamedValues inputs;
  for (const ValueInfo& info : program.inputs()) {
    if (info.optional) continue;
    if (!info.is_tensor) {
      base::fail(ErrorCode::kUnimplemented, "input.type", "input '{}' is {}, which only Python and C++ can give",
                 info.name, info.type);
    }
    if (!info.has_rank) {
      base::invalid("input.missing", "the shape of input '{}' is not known; give --inputs", info.name);
    }
    Shape shape;
    for (std::size_t i = 0; i < info.shape.size(); ++i) {
      if (info.shape[i] < 0) {
        base::invalid("input.missing", "dimension {} of input '{}' is not known; give --inputs", i, info.name);
      }
      shape.push_back(info.shape[i]);
    }
    Tensor tensor = Tensor::allocate(info.element_type, shape);
    if (info.element_type != ElementType::kString && tensor.byte_count() != 0) {
      std::memset(tensor.raw_data(), 0, tensor.byte_count());
    }
    inputs.emplace_back(info.name, std::move(tensor));
  }
  return inputs;
}

}  // namespace lanner::cli
