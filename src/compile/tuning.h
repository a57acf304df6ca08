// Tuning a program: its backends measure which algorithms suit their subgraphs, and what they choose is written into
// the program, with what it was chosen for; and the answer to the question which algorithms a program runs with.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "backends/backend.h"
#include "lanner/session.h"
#include "program/program.h"

namespace lanner::compiler {

// "off", "fast", "full". Throws `option.tune` for another word.
backends::TuneLevel parse_tune_level(std::string_view name);
std::string_view tune_level_name(backends::TuneLevel level);

struct TuneProgramOptions {
  backends::TuneLevel level = backends::TuneLevel::kFast;  // not kOff
  int threads = 1;
  // Says the sizes to tune for where the program leaves them open; without it such subgraphs are not tuned.
  const NamedValues* sample = nullptr;
  std::function<void(double fraction)> progress = [](double) {};  // called from a thread of tuning's own
};

// Writes the chosen algorithms into `program`, in place of those that it has, and returns `report` with the section
//
//   "tuning": {"level", "threads", "seconds", "peak_gflops",
//              "input_shapes": [null or the shapes of a subgraph's inputs, which were open, in the sample],
//              "backends": {"onednn": {"target", "problems": see tuning_cache.h}}}
//
// Measurements come from the cache folder as far as they are there, and new ones go into it. Throws what running the
// sample does.
std::string tune_program(program::Program& program, const std::string& report, const TuneProgramOptions& options);

// `report` with the section "algorithms": for each instruction of the program's subgraphs that has several, in the
// order in which they run,
//
//   {"node", "operator", "backend", "algorithm", "reason", "problem", "macs",
//    "candidates": [{"algorithm", "us" or null, "weight_mib"}], "us" or null, "gflops" or null, "of_peak" or null}
//
// "algorithm" is what it runs with on this CPU, and "reason" why: "measured"; "given" by an attribute; "expected" to be
// the fastest; "elsewhere", the same because what was measured is of another CPU or oneDNN; "open", where it is decided
// once input shapes are known and no sample said them: then it, "problem" and "macs" are null. Times are those of
// "tuning", where they are of this CPU. The section "precision", where there is one, gets "computes_bf16", whether this
// CPU does. Throws `report.invalid`, and what backends do.
std::string explain_algorithms(const program::Program& program, const std::string& report, int threads);

}  // namespace lanner::compiler
