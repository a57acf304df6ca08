// Which algorithm runs a convolution: the one place that decides. An instruction's attribute `algorithm` overrules it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "kernels/window.h"
#include "kernels/winograd.h"

namespace lanner::backends::onednn {

enum class Algorithm : std::uint8_t {
  kDirect,          // oneDNN's
  kOnednnWinograd,  // oneDNN's
  kWinogradF2,      // kernels/winograd.h, weights kept transformed
  kWinogradF4,
  kWinogradF2Plain,  // weights kept plain
  kWinogradF4Plain,
};

struct ConvolutionProblem {
  std::int64_t batch;
  std::int64_t groups;
  std::int64_t inputs;   // channels, all groups
  std::int64_t outputs;  // channels, all groups
  kernels::Window window;
};

struct AlgorithmRow {
  Algorithm algorithm;
  std::string_view name;
};
std::span<const AlgorithmRow> algorithms();

// Whether an algorithm can run the problem on this CPU; oneDNN may still lack its own Winograd for it.
bool is_candidate(Algorithm algorithm, const ConvolutionProblem& problem);
// The candidate that is expected to be the fastest.
Algorithm choose_algorithm(const ConvolutionProblem& problem);

// For the algorithms of kernels/winograd.h.
bool is_own(Algorithm algorithm);
kernels::WinogradForm form_of(Algorithm algorithm);
kernels::WinogradStorage storage_of(Algorithm algorithm);
// Their loops for the layout that convolutions run in; null where this CPU has none.
const kernels::WinogradLoops* winograd_loops();

}  // namespace lanner::backends::onednn
