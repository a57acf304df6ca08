// Parts of a program whose results can be compared when it computes with other numbers. Two runs that differ in the
// last digits may select other boxes, or the same in another order, and then lists differ though nothing is wrong. So
// what is compared are the values that leave subgraphs, and the program's outputs, as far as nothing was selected
// before; and the outputs of subgraphs that come after a selection, each run by itself on the inputs that it has in
// float32.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "lanner/session.h"
#include "program/program.h"

namespace lanner::compiler {

struct Trial {
  program::Program program;         // its outputs are compared
  std::vector<std::size_t> origin;  // of each of its main block's instructions: which one it is of the whole program's
  std::vector<NamedValues> inputs;  // for each sample
  std::vector<NamedValues> expected;  // the outputs in float32
};

// `program` computes in float32 and has passed verify(). Throws what running it on the samples does.
std::vector<Trial> make_trials(const program::Program& program, const std::vector<NamedValues>& samples);

// Runs a program once for each sample.
std::vector<NamedValues> run_samples(const program::Program& program, const std::vector<NamedValues>& samples);

// The shapes of the inputs of the main block's subgraphs in a run on `sample`.
std::map<const program::Instruction*, std::vector<Shape>> subgraph_input_shapes(const program::Program& program,
                                                                                const NamedValues& sample);

// Generated inputs, the same each time: float32 from 0 to 1, zeros of other types. Throws `input.missing` where a shape
// is not known.
NamedValues generated_sample(const program::Program& program);

}  // namespace lanner::compiler
