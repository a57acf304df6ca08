// The algorithms that convolutions have, and what they are expected to cost. An instruction's attribute `algorithm`
// overrules the expectation; tuning.h finds out what it should be.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/depthwise.h"
#include "kernels/window.h"
#include "kernels/winograd.h"

namespace lanner::backends::onednn {

enum class Algorithm : std::uint8_t {
  kDirect,          // oneDNN's
  kDirectBf16,      // oneDNN's, of bfloat16
  kOnednnWinograd,  // oneDNN's
  kWinogradF2,      // kernels/winograd.h, weights kept transformed
  kWinogradF4,
  kWinogradF2Plain,  // weights kept plain
  kWinogradF4Plain,
  kDepthwise,           // kernels/depthwise.h
  kPointwiseDepthwise,  // kernels/pointwise_depthwise.h, with the convolution before
};

struct ConvolutionProblem {
  std::int64_t batch;
  std::int64_t groups;
  std::int64_t inputs;   // channels, all groups
  std::int64_t outputs;  // channels, all groups
  kernels::Window window;
  bool has_residual = false;
  bool may_use_bf16 = false;
  bool bf16_input = false;     // as it lies
  bool bf16_output = false;    // as its readers want it
  bool small_weights = false;  // packed weights are to take no more memory than plain ones
  // Channels that a convolution of 1 × 1 reads whose output is the input, where nobody else reads that; else 0.
  std::int64_t pointwise_inputs = 0;
};

// What a choice supposes of the number of rows where it must be the same for any.
inline constexpr std::int64_t kTypicalRows = 100;

struct AlgorithmRow {
  Algorithm algorithm;
  std::string_view name;
};
std::span<const AlgorithmRow> algorithms();
std::string_view name_of(Algorithm algorithm);

// Whether an algorithm can run the problem on this CPU; oneDNN may still lack its own Winograd for it.
bool is_candidate(Algorithm algorithm, const ConvolutionProblem& problem);

struct Expectation {
  Algorithm algorithm;
  double cycles;  // of a core, with those of the pointwise convolution before, if any; infinite where the algorithm is
                  // not expected to be of use
  double weight_bytes;  // packed, about
};
// The candidates, the best first, as their expected times and their memory are priced. There is always one.
std::vector<Expectation> expectations(const ConvolutionProblem& problem);

// Whether a matrix product of [rows, depth] and [depth, columns] is expected to be faster of bfloat16.
bool prefers_bf16(std::int64_t rows, std::int64_t depth, std::int64_t columns);

// For the algorithms of kernels/winograd.h.
bool is_winograd(Algorithm algorithm);
kernels::WinogradForm form_of(Algorithm algorithm);
kernels::WinogradStorage storage_of(Algorithm algorithm);
// Their loops, and those of kernels/depthwise.h, for the layout that convolutions run in; null where this CPU has none.
const kernels::WinogradLoops* winograd_loops();
const kernels::DepthwiseLoops* depthwise_loops();

}  // namespace lanner::backends::onednn
