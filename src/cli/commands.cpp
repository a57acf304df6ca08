// compile, run, profile and explain: thin layers over the library.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/fail.h"
#include "cli/command.h"
#include "cli/npz.h"

namespace lanner::cli {

namespace {

template <typename... Args>
void print(fmt::format_string<Args...> format, Args&&... args) {
  const std::string text = fmt::format(format, std::forward<Args>(args)...);
  std::fwrite(text.data(), 1, text.size(), stdout);
}

// The inputs of `path`, or made-up ones where it is empty: every unknown dimension 1, every element 0.
NamedValues read_inputs(const Program& program, const std::string& path) {
  if (!path.empty()) return read_npz(path);
  NamedValues inputs;
  for (const ValueInfo& info : program.inputs()) {
    if (info.optional) continue;
    if (!info.is_tensor || !info.has_rank) {
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

std::string shape_text(const ValueInfo& info) {
  if (!info.has_rank) return "of unknown rank";
  std::string text;
  for (std::size_t i = 0; i < info.shape.size(); ++i) {
    if (i != 0) text += "x";
    if (info.shape[i] >= 0)
      text += fmt::to_string(info.shape[i]);
    else
      text += info.symbols[i].empty() ? "?" : info.symbols[i];
  }
  return text.empty() ? "scalar" : text;
}

void print_interface(const Program& program) {
  for (const ValueInfo& info : program.inputs()) {
    print("input  {}: {} {}\n", info.name, element_type_name(info.element_type), shape_text(info));
  }
  for (const ValueInfo& info : program.outputs()) {
    print("output {}: {} {}\n", info.name, element_type_name(info.element_type), shape_text(info));
  }
}

void print_graph(std::string_view pass, std::string_view before, std::string_view after) {
  print("==== before {}\n{}==== after {}\n{}", pass, before, pass, after);
}

void print_explanation(const nlohmann::json& report) {
  std::map<std::string, int> per_backend;
  print("{:<24} {:<8} {:>8}  {}\n", "#Operator", "#Backend", "#Subgraph", "#Node");
  for (const auto& row : report.at("nodes")) {
    const std::string backend = row.at("backend");
    ++per_backend[backend];
    const std::string subgraph = row.at("subgraph").is_null() ? "" : fmt::to_string(row.at("subgraph").get<int>());
    const std::string reason = row.at("reason");
    print("{:<24} {:<8} {:>8}  {}{}{}\n", row.at("operator").get<std::string>(), backend, subgraph,
          row.at("node").get<std::string>(), reason.empty() ? "" : " -- ", reason);
  }
  print("\n");
  for (const auto& [backend, count] : per_backend) print("{}: {} nodes\n", backend, count);
  print("\n{:<34} {:>6} {:>9}\n", "#Rule", "#Fired", "#Time(ms)");
  for (const auto& rule : report.at("rules")) {
    print("{:<34} {:>6} {:>9.1f}\n", rule.at("rule").get<std::string>(), rule.at("fired").size(),
          rule.at("ms").get<double>());
    for (const auto& declined : rule.at("declined")) {
      std::string where;
      for (const auto& node : declined.at("where")) where += (where.empty() ? "" : ", ") + node.get<std::string>();
      print("    declined {} times: {} ({}{})\n", declined.at("count").get<int>(),
            declined.at("reason").get<std::string>(), where,
            declined.at("count") > declined.at("where").size() ? ", ..." : "");
    }
  }
}

}  // namespace

Action add_compile(CLI::App& app) {
  CLI::App* command = app.add_subcommand("compile", "Compile an ONNX model to a .lanner file");
  struct Options : ModelOptions {
    std::string output;
    bool print_graphs = false;
  };
  const auto options = std::make_shared<Options>();
  options->add_to(*command);
  command->add_option("-o,--output", options->output, "The .lanner file to write")->required();
  command->add_flag("--print-graphs", options->print_graphs, "Print the graph before and after each pass");
  return [options] {
    CompileOptions compile_options;
    if (options->print_graphs) compile_options.trace = print_graph;
    const Program program = options->open(std::move(compile_options));
    program.save(options->output);
    print_interface(program);
    std::error_code no_size;  // a device has none
    const auto size_bytes = std::filesystem::file_size(options->output, no_size);
    print("{}: {} instructions{}\n", options->output, program.instruction_count(),
          no_size ? "" : fmt::format(", {} bytes", size_bytes));
  };
}

Action add_run(CLI::App& app) {
  CLI::App* command = app.add_subcommand("run", "Run a model on the arrays of an .npz file");
  struct Options : ModelOptions {
    std::string inputs, outputs;
  };
  const auto options = std::make_shared<Options>();
  options->add_to(*command);
  command->add_option("--inputs", options->inputs, "An .npz file with one array per input")->required();
  command->add_option("--outputs", options->outputs, "The .npz file to write, one array per output")->required();
  return [options] {
    const NamedValues inputs = read_npz(options->inputs);
    Session session(options->open(), options->session_options());
    const NamedValues outputs = session.run(inputs);
    write_npz(options->outputs, outputs);
    for (const auto& [name, value] : outputs) {
      print("{}: {}\n", name, value.is_tensor() ? value.tensor().type_string() : "no tensor");
    }
  };
}

Action add_profile(CLI::App& app) {
  CLI::App* command = app.add_subcommand("profile", "Measure where a model's time goes, operator by operator");
  struct Options : ModelOptions {
    std::string inputs, trace, json;
    int runs = 20;
  };
  const auto options = std::make_shared<Options>();
  options->add_to(*command);
  command->add_option("--inputs", options->inputs, "An .npz file with one array per input; zeros without it");
  command->add_option("--runs", options->runs, "Recorded runs, after one that is not")
      ->check(at_least(1))
      ->capture_default_str();
  command->add_option("--trace", options->trace, "Write a Chrome trace, for Perfetto");
  add_json_option(*command, options->json,
                  "Write rows and events as JSON to a .json file; without a file name, print it instead of the table");
  return [options] {
    const Program program = options->open();
    const NamedValues inputs = read_inputs(program, options->inputs);
    Session session(program, options->session_options());
    const Profile profile = session.profile(inputs, options->runs);
    if (!options->trace.empty()) profile.write_trace(options->trace);
    if (options->json == "-") {
      print("{}\n", profile.json());
      return;
    }
    if (!options->json.empty()) profile.write_json(options->json);
    std::vector<double> run_ms = profile.run_ms();
    std::ranges::sort(run_ms);
    print("{}\n{} runs on {} threads, median {:.3f} ms\n", profile.table(), profile.run_count(), session.threads(),
          run_ms[run_ms.size() / 2]);
  };
}

Action add_explain(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("explain", "Show which backend runs each node and why, and what the rewrite rules did");
  struct Options : ModelOptions {
    bool json = false;
  };
  const auto options = std::make_shared<Options>();
  options->add_to(*command);
  command->add_flag("--json", options->json, "Print JSON");
  return [options] {
    const Program program = options->open();
    if (options->json)
      print("{}\n", program.report());
    else
      print_explanation(nlohmann::json::parse(program.report()));
  };
}

}  // namespace lanner::cli
