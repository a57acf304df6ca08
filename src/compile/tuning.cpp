#include "compile/tuning.h"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/fail.h"
#include "compile/precision.h"
#include "compile/trial.h"
#include "compile/tuning_cache.h"
#include "kernels/peak.h"
#include "lanner_version.h"
#include "vm/master.h"

namespace lanner::compiler {

using backends::Backend;
using backends::Choice;
using backends::Measurements;
using backends::TuneLevel;
using nlohmann::json;
using program::Block;
using program::Instruction;

namespace {

constexpr std::array kLevels{std::pair(TuneLevel::kOff, "off"), std::pair(TuneLevel::kFast, "fast"),
                             std::pair(TuneLevel::kFull, "full")};

// Calls `use(instruction)` for the subgraphs of a block and of the blocks in it.
template <typename BlockType, typename Use>
void each_subgraph(BlockType& block, const Use& use) {
  for (auto& instruction : block.instructions) {
    if (instruction.op == program::kSubgraph) {
      use(instruction);
    } else {
      for (auto& named : instruction.blocks) each_subgraph(named.block, use);
    }
  }
}

// Input shapes of subgraphs, in the order of each_subgraph(); empty where nothing is known beyond the program.
using InputShapes = std::vector<std::vector<Shape>>;

bool is_open(const Block& body) {
  return std::ranges::any_of(
      body.inputs, [&](program::SlotIndex input) { return !body.slots[input].type.static_shape().has_value(); });
}

// Of those that the program leaves open. Only the main block's are found, by running it.
InputShapes open_shapes(program::Program& program, const NamedValues& sample) {
  bool any = false;
  each_subgraph(program.main,
                [&](const Instruction& subgraph) { any = any || is_open(subgraph.blocks.front().block); });
  if (!any) return {};
  const auto shapes = subgraph_input_shapes(program, sample);
  InputShapes result;
  each_subgraph(program.main, [&](const Instruction& subgraph) {
    const auto found = shapes.find(&subgraph);
    const bool known = found != shapes.end() && is_open(subgraph.blocks.front().block);
    result.push_back(known ? found->second : std::vector<Shape>());
  });
  return result;
}

// The body of a subgraph as it is for the shapes that are known of its inputs.
Block with_shapes(const Block& body, const InputShapes& shapes, std::size_t subgraph) {
  Block result = body;
  if (subgraph >= shapes.size() || shapes[subgraph].size() != body.inputs.size()) return result;
  for (std::size_t i = 0; i < body.inputs.size(); ++i) {
    tensor::ValueType& type = result.slots[body.inputs[i]].type;
    type = tensor::ValueType::tensor(type.element, shapes[subgraph][i]);
  }
  return result;
}

json shapes_json(const InputShapes& shapes) {
  json result = json::array();
  for (const std::vector<Shape>& inputs : shapes) {
    json row = json::array();
    for (const Shape& shape : inputs) row.push_back(shape.dims());
    result.push_back(inputs.empty() ? json(nullptr) : std::move(row));
  }
  return result;
}

InputShapes read_shapes(const json& content) {
  InputShapes result;
  for (const json& inputs : content) {
    std::vector<Shape>& shapes = result.emplace_back();
    for (const json& dims : inputs)
      shapes.emplace_back(std::span<const std::int64_t>(dims.get<std::vector<std::int64_t>>()));
  }
  return result;
}

std::string operator_of(const Instruction& instruction) {
  return instruction.stands_for.empty() ? instruction.op : program::joined_operators(instruction.stands_for);
}

// An empty object where it is none: a program's report may come from anywhere.
json object_of(const std::string& report) {
  json content = json::parse(report, nullptr, false);
  return content.is_object() ? content : json{{"nodes", json::array()}, {"rules", json::array()}};
}

std::string text_of(const json& content) {
  return content.dump(-1, ' ', false, json::error_handler_t::replace);
}

// One backend's share.
struct Tuned {
  Measurements known;
  Measurements used;  // of problems that the program has
};

// Those of `measurements` that `known` does not have.
Measurements new_ones(const Measurements& measurements, const Measurements& known) {
  Measurements result;
  for (const auto& [problem, measurement] : measurements) {
    const auto before = known.find(problem);
    if (before == known.end() || before->second != measurement) result.insert_or_assign(problem, measurement);
  }
  return result;
}

void write_choices(Instruction& subgraph, const std::vector<Choice>& choices, const std::string& target, Tuned& tuned) {
  Block& body = subgraph.blocks.front().block;
  bool any = false;
  for (const Choice& choice : choices) {
    tensor::Attributes& attributes = body.instructions[choice.instruction].attributes;
    attributes.erase(backends::kAlgorithmAttribute);
    const auto measured = tuned.known.find(choice.problem);
    if (measured == tuned.known.end()) continue;
    tuned.used.insert(*measured);
    if (choice.candidates.size() < 2) continue;
    attributes.set(std::string(backends::kAlgorithmAttribute), choice.algorithm);
    any = true;
  }
  subgraph.attributes.erase(backends::kTunedForAttribute);
  if (any) subgraph.attributes.set(std::string(backends::kTunedForAttribute), target);
}

// Of each backend, what was measured on this CPU.
std::map<std::string, Measurements, std::less<>> measurements_here(const json& shares) {
  std::map<std::string, Measurements, std::less<>> result;
  for (const auto& [name, share] : shares.items()) {
    const Backend* backend = backends::find_backend(name);
    if (backend == nullptr || share.at("target") != backend->tuning_target()) continue;
    result.emplace(name, read_measurements(share.at("problems")));
  }
  return result;
}

json row_of(const Choice& choice, const Measurements& measurements, double peak_gflops) {
  if (choice.problem.empty()) {
    return {{"algorithm", nullptr}, {"reason", "open"},  {"problem", nullptr},
            {"macs", nullptr},      {"us", nullptr},     {"candidates", json::array()},
            {"gflops", nullptr},    {"of_peak", nullptr}};
  }
  const auto measured = measurements.find(choice.problem);
  const auto us_of = [&](const std::string& algorithm) -> json {
    if (measured == measurements.end()) return nullptr;
    const backends::Timing* timing = measured->second.find(algorithm);
    return timing == nullptr ? json(nullptr) : json(timing->us);
  };
  json candidates = json::array();
  for (const Choice::Candidate& candidate : choice.candidates) {
    candidates.push_back({{"algorithm", candidate.algorithm},
                          {"us", us_of(candidate.algorithm)},
                          {"weight_mib", candidate.weight_bytes / (1 << 20)}});
  }
  json row{{"algorithm", choice.algorithm}, {"problem", choice.problem}, {"macs", choice.macs}};
  row["candidates"] = std::move(candidates);
  row["us"] = us_of(choice.algorithm);
  row["reason"] = row["us"].is_null() ? "expected" : "measured";
  row["gflops"] = row["us"].is_null() ? json(nullptr) : json(2e-3 * choice.macs / row["us"].get<double>());
  row["of_peak"] =
      row["us"].is_null() || peak_gflops <= 0 ? json(nullptr) : json(row["gflops"].get<double>() / peak_gflops);
  return row;
}

}  // namespace

TuneLevel parse_tune_level(std::string_view name) {
  const auto found = std::ranges::find(kLevels, name, [](const auto& level) { return std::string_view(level.second); });
  if (found == kLevels.end()) {
    base::invalid("option.tune", "tune must be 'off', 'fast' or 'full', but is '{}'", name);
  }
  return found->first;
}

std::string_view tune_level_name(TuneLevel level) {
  return std::ranges::find(kLevels, level, [](const auto& row) { return row.first; })->second;
}

std::string tune_program(program::Program& program, const std::string& report, const TuneProgramOptions& options) {
  const std::int64_t start = base::now_ns();
  std::size_t count = 0;
  each_subgraph(program.main, [&](Instruction&) { ++count; });

  const InputShapes shapes = options.sample == nullptr ? InputShapes() : open_shapes(program, *options.sample);
  std::map<const Backend*, Tuned> backends;
  double peak_gflops = 0;
  // A thread of tuning's own takes its workers with it, as in a session.
  vm::Master().run([&] {
    std::size_t done = 0;
    each_subgraph(program.main, [&](Instruction& subgraph) {
      const Backend* backend = backends::find_backend(subgraph.backend);
      const std::string target = backend == nullptr ? "" : backend->tuning_target();
      if (!target.empty()) {
        const TuningCache cache(cache_folder(), fmt::format("{}: {}, {} threads, Lanner {}", backend->name(), target,
                                                            options.threads, LANNER_VERSION));
        const auto [found, is_new] = backends.try_emplace(backend);
        Tuned& tuned = found->second;
        if (is_new) tuned.known = cache.load();
        Measurements measured = tuned.known;
        const backends::TuneOptions tune{
            .threads = options.threads, .level = options.level, .progress = [&](double fraction) {
              options.progress((static_cast<double>(done) + fraction) / static_cast<double>(count));
            }};
        const std::vector<Choice> choices =
            base::with_context([&] { return fmt::format("while tuning subgraph '{}'", subgraph.name); },
                               [&] {
                                 return backend->tune(with_shapes(subgraph.blocks.front().block, shapes, done),
                                                      program.constants, tune, measured);
                               });
        cache.add(new_ones(measured, tuned.known));
        tuned.known = std::move(measured);
        write_choices(subgraph, choices, target, tuned);
      }
      options.progress(static_cast<double>(++done) / static_cast<double>(count));
    });
    peak_gflops = kernels::measure_peak_gflops(options.threads);
  });

  json shares = json::object();
  for (const auto& [backend, tuned] : backends) {
    shares[std::string(backend->name())] = {{"target", backend->tuning_target()},
                                            {"problems", measurements_json(tuned.used)}};
  }
  json content = object_of(report);
  content["tuning"] = {{"level", tune_level_name(options.level)},
                       {"threads", options.threads},
                       {"seconds", static_cast<double>(base::now_ns() - start) * 1e-9},
                       {"peak_gflops", peak_gflops},
                       {"input_shapes", shapes_json(shapes)},
                       {"backends", std::move(shares)}};
  return text_of(content);
}

std::string explain_algorithms(const program::Program& program, const std::string& report, int threads) {
  json content;
  std::map<std::string, Measurements, std::less<>> measurements;
  InputShapes shapes;
  double peak_gflops = 0;
  try {
    content = json::parse(report);
    if (content.contains("tuning")) {
      measurements = measurements_here(content.at("tuning").at("backends"));
      peak_gflops = content.at("tuning").at("peak_gflops").get<double>();
      shapes = read_shapes(content.at("tuning").value("input_shapes", json::array()));
    }
  } catch (const std::exception& error) {
    base::invalid("report.invalid", "the program's report is not what the compiler writes: {}", error.what());
  }
  json rows = json::array();
  std::size_t index = 0;
  each_subgraph(program.main, [&](const Instruction& subgraph) {
    const std::size_t position = index++;
    const Backend* backend = backends::find_backend(subgraph.backend);
    if (backend == nullptr) return;
    const Block body = with_shapes(subgraph.blocks.front().block, shapes, position);
    const std::string target = subgraph.attributes.get_string(backends::kTunedForAttribute, "");
    for (const Choice& choice : backend->choices(body, program.constants, {.threads = threads, .tuned_for = target})) {
      const Instruction& instruction = body.instructions[choice.instruction];
      json row = row_of(choice, measurements[subgraph.backend], peak_gflops);
      row["node"] = instruction.name;
      row["operator"] = operator_of(instruction);
      row["backend"] = subgraph.backend;
      if (!target.empty() && target != backend->tuning_target()) {
        row["reason"] = "elsewhere";
      } else if (row["us"].is_null() && instruction.attributes.has(backends::kAlgorithmAttribute)) {
        row["reason"] = "given";
      }
      rows.push_back(std::move(row));
    }
  });
  content["algorithms"] = std::move(rows);
  if (content.contains("precision")) content["precision"]["computes_bf16"] = cpu_computes_bf16();
  return text_of(content);
}

}  // namespace lanner::compiler
