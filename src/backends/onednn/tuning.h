// Which algorithms suit a block, found out by running it: Backend::choices() and Backend::tune() of oneDNN. Candidates
// are timed in their place in the block, with weights that come from memory and inputs that come from the caches as
// they do when it matters, and with the reorders that they cause.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "backends/backend.h"

namespace lanner::backends::onednn {

// The CPU, the instruction set that oneDNN uses, and oneDNN's version.
std::string tuning_target();

// Whether the algorithms that a block's instructions name hold here.
bool uses_choices(const BuildOptions& options);

// See Backend.
std::vector<Choice> choices(const program::Block& block, std::span<const Tensor> constants,
                            const BuildOptions& options);
std::vector<Choice> tune(const program::Block& block, std::span<const Tensor> constants, const TuneOptions& options,
                         Measurements& measurements);

// The candidates worth measuring at a level, what is expected to be best first.
std::vector<std::string> entrants(const Choice& choice, TuneLevel level);

}  // namespace lanner::backends::onednn
