// Which of oneDNN's convolution algorithms runs a convolution: the one place that decides.
#pragma once

#include <cstdint>

#include "kernels/window.h"

namespace lanner::backends::onednn {

enum class Algorithm : std::uint8_t { kDirect, kWinograd };

struct ConvolutionProblem {
  std::int64_t batch;
  std::int64_t groups;
  std::int64_t inputs;   // channels, all groups
  std::int64_t outputs;  // channels, all groups
  kernels::Window window;
};

// The algorithm to try first; where oneDNN does not have it for the problem, the direct one serves.
Algorithm choose_algorithm(const ConvolutionProblem& problem);

}  // namespace lanner::backends::onednn
