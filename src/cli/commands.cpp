// compile, run and explain: thin layers over the library.
#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "cli/command.h"
#include "cli/explanation.h"
#include "cli/npz.h"

namespace lanner::cli {

namespace {

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

}  // namespace

Action add_compile(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("compile", "Compile an ONNX model, or tune a .lanner file again, to a .lanner file");
  struct Options : ModelOptions {
    std::string output;
    bool print_graphs = false;
  };
  const auto options = std::make_shared<Options>();
  options->add_to(*command, "fast");
  command->add_option("-o,--output", options->output, "The .lanner file to write")->required();
  command->add_flag("--print-graphs", options->print_graphs, "Print the graph before and after each pass");
  return [options] {
    CompileOptions compile_options;
    if (options->print_graphs) compile_options.trace = print_graph;
    const Program program = options->open(std::move(compile_options), true);
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
  options->add_to(*command, "off");
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

Action add_explain(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "explain", "Show which backend runs each node with which algorithm and why, and what the rewrite rules did");
  struct Options : ModelOptions {
    bool json = false;
  };
  const auto options = std::make_shared<Options>();
  options->add_to(*command, "fast");
  command->add_flag("--json", options->json, "Print JSON");
  return [options] {
    const Program program = options->open();
    const std::string report = explain(program, options->session_options().threads);
    const std::string text = explanation(report);
    print("{}", options->json ? report + "\n" : text);
  };
}

}  // namespace lanner::cli
