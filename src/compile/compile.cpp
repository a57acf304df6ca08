// The driver: import, rewrite, place, lower.
#include "lanner/compile.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/fail.h"
#include "base/parallel.h"
#include "compile/lower.h"
#include "compile/precision.h"
#include "compile/precision_guard.h"
#include "compile/report.h"
#include "compile/tuning.h"
#include "kernels/registry.h"
#include "lanner_version.h"
#include "onnx/import.h"
#include "onnx/infer.h"
#include "passes/pipeline.h"
#include "placement/place.h"
#include "program/file.h"
#include "program/verify.h"
#include "vm/loaded_program.h"

namespace lanner {

namespace {

bool has_kernel(std::string_view op) {
  return op == program::kIf || op == program::kLoop || op == program::kScan || op == program::kForEach ||
         kernels::find_operator(op) != nullptr;
}

void count_unsupported(const ir::Graph& graph, std::map<std::string, int>& counts) {
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    const bool known_domain = node.domain.empty() || node.domain == "ai.onnx.ml" || node.domain == "lanner";
    if (!known_domain || !has_kernel(node.op)) ++counts[node.domain.empty() ? node.op : node.domain + "." + node.op];
    for (const auto& [key, nested] : node.graphs) count_unsupported(*nested, counts);
  }
}

void check_supported(const ir::Graph& graph) {
  std::map<std::string, int> counts;
  count_unsupported(graph, counts);
  if (counts.empty()) return;
  std::string list;
  for (const auto& [op, count] : counts) list += fmt::format("{}{} (×{})", list.empty() ? "" : ", ", op, count);
  base::fail(ErrorCode::kUnimplemented, "op.unsupported", "the model has operators without a kernel: {}", list);
}

std::vector<std::string> disabled_rules(const CompileOptions& options) {
  if (std::ranges::find(options.disable_rules, "all") == options.disable_rules.end()) return options.disable_rules;
  std::vector<std::string> all;
  for (const passes::Rule* rule : passes::rules()) all.emplace_back(rule->name);
  return all;
}

using Progress = std::function<void(std::string_view, double)>;

// The program, tuned if it is to be.
Program finish(program::Program program, std::string report, std::shared_ptr<const base::MappedFile> mapping,
               const CompileOptions& options, const Progress& progress) {
  const backends::TuneLevel level = compiler::parse_tune_level(options.tune);
  if (level != backends::TuneLevel::kOff) {
    constexpr double kBegin = 0.75;
    constexpr double kEnd = 0.99;
    progress("tuning", kBegin);
    report = compiler::tune_program(
        program, report,
        {.level = level,
         .threads = base::wanted_threads(options.threads),
         .sample = options.samples.empty() ? nullptr : &options.samples.front(),
         .progress = [&](double fraction) { progress("tuning", kBegin + (kEnd - kBegin) * fraction); }});
  }
  progress("done", 1);
  return Program(std::make_shared<vm::LoadedProgram>(std::move(program), std::move(report), std::move(mapping)));
}

// In the block and those nested in it.
void keep_weights_small(program::Block& block) {
  for (program::Instruction& instruction : block.instructions) {
    if (instruction.op == "Conv" || instruction.op == "FusedConv") {
      instruction.attributes.set(std::string(backends::kMemoryAttribute), std::string("small"));
    }
    for (program::NamedBlock& inner : instruction.blocks) keep_weights_small(inner.block);
  }
}

compiler::PrecisionReport choose_precision(program::Program& program, const CompileOptions& options,
                                           const Progress& progress) {
  if (options.precision == "bf16") return compiler::allow_bf16_everywhere(program);
  if (options.precision == "f32") return {};
  return compiler::guard_precision(program, {options.samples, options.tolerance, [&](double fraction) {
                                               progress("comparing bf16 with f32", 0.7 + 0.05 * fraction);
                                             }});
}

Program compile_graph(ir::Graph graph, const CompileOptions& options, const Progress& progress) {
  progress("rewriting", 0.3);
  passes::PipelineOptions pipeline;
  pipeline.disabled = disabled_rules(options);
  pipeline.trace = options.trace;
  pipeline.infer_shapes = onnx::infer_shapes;
  const passes::Report rules = passes::run_pipeline(graph, pipeline);
  check_supported(graph);

  progress("placing", 0.7);
  compiler::ReportWriter report;
  placement::PlaceOptions place_options;
  place_options.deny = options.deny;
  place_options.min_nodes = options.min_subgraph;
  const auto place = [&](const ir::Graph& part) {
    placement::Placement placement = placement::place(part, place_options);
    report.add_placement(part, placement);
    return placement;
  };
  program::Program program = compiler::lower(graph, place);
  program::verify(program);
  if (options.memory == "small") keep_weights_small(program.main);
  const compiler::PrecisionReport precision = choose_precision(program, options, progress);
  for (const std::string& warning : precision.warnings) {
    if (options.warn) options.warn(warning);
  }
  return finish(std::move(program), report.json(rules, precision), {}, options, progress);
}

Progress progress_of(const CompileOptions& options) {
  return options.progress ? options.progress : [](std::string_view, double) {};
}

void check_options(const CompileOptions& options) {
  constexpr std::string_view kPrecisions[] = {"f32", "bf16", "auto"};
  if (std::ranges::find(kPrecisions, options.precision) == std::end(kPrecisions)) {
    base::invalid("option.precision", "precision must be 'f32', 'bf16' or 'auto', but is '{}'", options.precision);
  }
  if (!std::isfinite(options.tolerance) || options.tolerance < 0) {
    base::invalid("option.tolerance", "the tolerance must be a number of at least 0, but is {}", options.tolerance);
  }
  if (options.memory != "fast" && options.memory != "small") {
    base::invalid("option.memory", "memory must be 'fast' or 'small', but is '{}'", options.memory);
  }
  if (options.min_subgraph < 1) {
    base::invalid("option.min_subgraph", "a subgraph must have at least 1 operator, but {} are asked for",
                  options.min_subgraph);
  }
  compiler::parse_tune_level(options.tune);
  base::wanted_threads(options.threads);
}

Program open_program(const std::filesystem::path& file, const CompileOptions& options, const Progress& progress) {
  if (!options.shapes.empty() || !options.dimensions.empty()) {
    base::invalid("option.shapes", "'{}' is compiled already, for its own input shapes: give its .onnx file",
                  file.string());
  }
  if (options.tune == "off") return Program::load(file);
  progress("loading", 0);
  program::FileContent content = program::read_file(file);
  return base::with_context([&] { return fmt::format("while tuning '{}'", file.string()); },
                            [&] {
                              return finish(std::move(content.program), std::move(content.report),
                                            std::move(content.mapping), options, progress);
                            });
}

}  // namespace

Program compile(const std::filesystem::path& model, const CompileOptions& options) {
  check_options(options);
  const auto progress = progress_of(options);
  if (program::is_program_file(model)) return open_program(model, options, progress);
  progress("importing", 0);
  return base::with_context([&] { return fmt::format("while compiling '{}'", model.string()); },
                            [&] {
                              return compile_graph(
                                  onnx::import_model(model, has_kernel, {options.shapes, options.dimensions}), options,
                                  progress);
                            });
}

Program compile_bytes(std::span<const std::byte> model, const CompileOptions& options,
                      const std::filesystem::path& folder) {
  check_options(options);
  const auto progress = progress_of(options);
  progress("importing", 0);
  const auto in = folder.empty() ? std::nullopt : std::optional(folder);
  return compile_graph(onnx::import_model(model, has_kernel, in, {options.shapes, options.dimensions}), options,
                       progress);
}

std::string explain(const Program& program, int threads) {
  if (program.report().empty()) return "";
  return compiler::explain_algorithms(program.loaded()->program(), program.report(), base::wanted_threads(threads));
}

std::vector<std::pair<std::string, std::string>> rewrite_rules() {
  std::vector<std::pair<std::string, std::string>> result;
  for (const passes::Rule* rule : passes::rules()) result.emplace_back(rule->name, rule->doc);
  return result;
}

std::vector<std::string> pass_rules(std::string_view pass) {
  std::vector<std::string> result;
  const auto found = std::ranges::find(passes::passes(), pass, &passes::Pass::name);
  if (found == passes::passes().end()) return result;
  for (const passes::Rule* rule : found->rules) result.emplace_back(rule->name);
  return result;
}

std::string_view version() {
  return LANNER_VERSION;
}

}  // namespace lanner
