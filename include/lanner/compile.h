// From an ONNX model to a program.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lanner/export.h"
#include "lanner/program.h"
#include "lanner/session.h"

namespace lanner {

inline constexpr double kDefaultTolerance = 0.02;

// Of an input: its dimensions, -1 where one is decided at run time.
struct InputShape {
  std::string input;
  std::vector<std::int64_t> dims;
};

// Of a symbolic dimension of the inputs, by its name.
struct DimensionSize {
  std::string name;
  std::int64_t size = 0;
};

struct CompileOptions {
  // Input shapes other than those the model was exported with, and sizes of symbolic dimensions. Everything computed
  // from them is specialised. Throws `option.shapes`, naming the node that bakes the exported size in where one does.
  std::vector<InputShape> shapes;
  std::vector<DimensionSize> dimensions;
  // Rewrite rules to leave out, by name; the name of a pass leaves out its rules, "all" every one. Throws
  // `rule.unknown` for a name that is none of these.
  std::vector<std::string> disable_rules;
  // Operators to keep from a backend: "OP" keeps it from every backend but native, "OP@BACKEND" from one, "@BACKEND"
  // leaves out a backend.
  std::vector<std::string> deny;
  // How many operators a backend's subgraph must have at least, where none of them is a convolution or product of a
  // million operations or more. Throws `option.min_subgraph` for less than 1.
  int min_subgraph = 3;
  // What convolutions and matrix products are computed with: "f32"; "bf16", where that is faster (bfloat16, summed up
  // in float32); or "auto", bfloat16 as far as the values that dense subgraphs compute from the samples stay within the
  // tolerance. What does not belong to dense subgraphs, such as decoding and suppressing boxes, is always float32.
  std::string precision = "f32";
  // Of "auto": the root mean square of the difference over that of the value in float32.
  double tolerance = kDefaultTolerance;
  // Inputs to judge "auto" on; generated ones, with a warning, where there are none. Where the model leaves sizes open,
  // algorithms are measured for those of the first sample.
  std::vector<NamedValues> samples;
  // How the algorithms of convolutions and matrix products are chosen: "off", by what a model of the CPU expects;
  // "fast", by measuring those expected to be close, which takes seconds; "full", by measuring all, more often.
  // Measurements are kept in the user's cache folder, so that equal layers are measured once. Layers of open sizes need a
  // sample. What is chosen is part of
  // the program, and has effect on CPUs like this one.
  std::string tune = "off";
  // What packed weights may take: "fast", as much as the fastest algorithms want, up to four times the plain weights of
  // a convolution; "small", no more than plain ones.
  std::string memory = "fast";
  // That sessions will have, for which algorithms are measured; 0: as many as the process may use.
  int threads = 0;
  // Called as compiling goes on, by one thread at a time: what is being done, and how far it is (0 to 1).
  std::function<void(std::string_view step, double fraction)> progress;
  // Called with what the caller should know about the result, from the calling thread.
  std::function<void(std::string_view warning)> warn;
  // Called for each pass that changed the graph, with the graph's text before and after it.
  std::function<void(std::string_view pass, std::string_view before, std::string_view after)> trace;
};

// Imports, optimises and lowers a model. `model` is an .onnx file (external data beside it), or a .lanner file, which
// is loaded as it is and then tuned again unless `tune` is "off". Throws `file.*`, `model.*` for a file that is no
// valid model, `op.unsupported` listing every operator without a kernel with its count, `option.*`.
LANNER_EXPORT Program compile(const std::filesystem::path& model, const CompileOptions& options = {});
// The same from the bytes of an .onnx file; external data is looked for in `folder`, or refused when it is empty.
LANNER_EXPORT Program compile_bytes(std::span<const std::byte> model, const CompileOptions& options = {},
                                    const std::filesystem::path& folder = {});

// Program::report() with what convolutions and matrix products run with on this CPU, for sessions with so many threads
// (0: as many as the process may use), as "algorithms"; docs/commands.md describes it. "" for a program without a
// report. Throws `report.invalid` for a report that the compiler did not write.
LANNER_EXPORT std::string explain(const Program& program, int threads = 0);

// The names of the rewrite rules, in the order they run, each with its one-sentence description.
LANNER_EXPORT std::vector<std::pair<std::string, std::string>> rewrite_rules();

// The names of a pass's rules; empty where there is no such pass.
LANNER_EXPORT std::vector<std::string> pass_rules(std::string_view pass);

// "0.1.0"
LANNER_EXPORT std::string_view version();

}  // namespace lanner
