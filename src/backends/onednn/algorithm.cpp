#include "backends/onednn/algorithm.h"

#include <algorithm>
#include <cmath>

#include "backends/onednn/engine.h"

namespace lanner::backends::onednn {

namespace {

using kernels::WinogradForm;
using kernels::WinogradStorage;

constexpr AlgorithmRow kAlgorithms[] = {
    {Algorithm::kDirect, "direct"},
    {Algorithm::kOnednnWinograd, "onednn-winograd"},
    {Algorithm::kWinogradF2, "winograd-f2"},
    {Algorithm::kWinogradF4, "winograd-f4"},
    {Algorithm::kWinogradF2Plain, "winograd-f2-plain"},
    {Algorithm::kWinogradF4Plain, "winograd-f4-plain"},
};

constexpr std::int64_t kLeastChannels = 16;

// What a core needs for a convolution of 3 × 3, in cycles. A vector is a block of channels.
double expected_cycles(Algorithm algorithm, const ConvolutionProblem& problem) {
  constexpr double kProductsPerCycle = 2;     // of vectors
  constexpr double kInputCycles = 4;          // for a vector of transformed inputs
  constexpr double kOutputCycles = 2.5;       // for a vector of products
  constexpr double kWeightCycles = 2.2;       // for a vector of weights transformed where they are needed
  constexpr double kWeightBytesPerCycle = 6;  // from memory, because a network's weights exceed the caches
  constexpr double kPlainTilesAtOnce = 56;    // as many as share the weights transformed once
  const double lanes = has_avx512() ? 16 : 8;
  const auto blocks = [&](std::int64_t channels) { return std::ceil(static_cast<double>(channels) / lanes); };
  const auto inputs = static_cast<double>(problem.inputs);
  const double output_blocks = blocks(problem.outputs);
  const double weights = inputs * output_blocks;  // vectors, for each element of the kernel
  const auto batch = static_cast<double>(problem.batch);
  const auto height = static_cast<double>(problem.window.output[1]);
  const auto width = static_cast<double>(problem.window.output[2]);
  const double weight_cycles = weights * lanes * sizeof(float) / kWeightBytesPerCycle;
  if (!is_own(algorithm)) return 9 * (batch * height * width * weights / kProductsPerCycle + weight_cycles);

  const auto side = static_cast<double>(kernels::tile_side(form_of(algorithm)));
  const auto points = static_cast<double>(kernels::point_count(form_of(algorithm)));
  // Each of a dilation's phases has tiles of its own.
  const auto strips = [&](double size, std::int64_t dilation) {
    const double phases = std::min(size, static_cast<double>(dilation));
    return phases * std::ceil(std::ceil(size / phases) / side);
  };
  const double tiles = batch * strips(height, problem.window.dilation[1]) * strips(width, problem.window.dilation[2]);
  double cycles = points * tiles *
                  (weights / kProductsPerCycle + kInputCycles * blocks(problem.inputs) + kOutputCycles * output_blocks);
  if (storage_of(algorithm) == WinogradStorage::kTransformed) return cycles + points * weight_cycles;
  return cycles + 9 * weight_cycles + points * weights * kWeightCycles * std::ceil(tiles / kPlainTilesAtOnce);
}

}  // namespace

std::span<const AlgorithmRow> algorithms() {
  return kAlgorithms;
}

bool is_own(Algorithm algorithm) {
  return algorithm != Algorithm::kDirect && algorithm != Algorithm::kOnednnWinograd;
}

WinogradForm form_of(Algorithm algorithm) {
  return algorithm == Algorithm::kWinogradF2 || algorithm == Algorithm::kWinogradF2Plain ? WinogradForm::kF2
                                                                                         : WinogradForm::kF4;
}

WinogradStorage storage_of(Algorithm algorithm) {
  return algorithm == Algorithm::kWinogradF2 || algorithm == Algorithm::kWinogradF4 ? WinogradStorage::kTransformed
                                                                                    : WinogradStorage::kPlain;
}

const kernels::WinogradLoops* winograd_loops() {
  static const kernels::WinogradLoops* const loops = kernels::find_winograd_loops(has_avx512() ? 16 : 8);
  return loops;
}

bool is_candidate(Algorithm algorithm, const ConvolutionProblem& problem) {
  if (algorithm == Algorithm::kDirect) return true;
  const kernels::Window& window = problem.window;
  const bool three_by_three = window.rank == 2 && window.kernel[1] == 3 && window.kernel[2] == 3;
  const bool dense = problem.groups == 1 && window.stride[1] == 1 && window.stride[2] == 1;
  if (!three_by_three || !dense) return false;
  if (is_own(algorithm)) return winograd_loops() != nullptr;
  return has_avx512() && window.dilation[1] == 1 && window.dilation[2] == 1;
}

Algorithm choose_algorithm(const ConvolutionProblem& problem) {
  // A block of channels of which most are padding is transformed in vain.
  if (std::min(problem.inputs, problem.outputs) < kLeastChannels) return Algorithm::kDirect;
  Algorithm best = Algorithm::kDirect;
  for (const AlgorithmRow& row : kAlgorithms) {
    // Slower than ours.
    if (row.algorithm == Algorithm::kOnednnWinograd || !is_candidate(row.algorithm, problem)) continue;
    if (expected_cycles(row.algorithm, problem) < expected_cycles(best, problem)) best = row.algorithm;
  }
  return best;
}

}  // namespace lanner::backends::onednn
