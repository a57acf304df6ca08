#include "backends/onednn/algorithm.h"

#include <algorithm>
#include <cmath>
#include <limits>

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

constexpr std::int64_t kLeastChannels = 8;

// Of a core, per vector, which is a block of channels.
constexpr double kProductsPerCycle = 2;
constexpr double kWindowCycles = 4;        // to transform inputs
constexpr double kSharedWindowCycles = 8;  // and where all threads share them, in the last cache
constexpr double kOutputCycles = 2.5;      // to transform products
constexpr double kWeightCycles = 2.2;      // to transform weights
// Weights come from memory, because those of a network exceed the caches, and the cores share what it delivers.
constexpr double kWeightBytesPerCycle = 6;
// So many tiles share plain weights once they are transformed.
constexpr double kTilesOfPlainWeights = 112;

double expected_cycles(Algorithm algorithm, const ConvolutionProblem& problem) {
  // Slower than ours; and a block of channels that is padding but for a few is transformed in vain.
  if (algorithm == Algorithm::kOnednnWinograd ||
      (is_own(algorithm) && std::min(problem.inputs, problem.outputs) < kLeastChannels)) {
    return std::numeric_limits<double>::infinity();
  }
  const double lanes = has_avx512() ? 16 : 8;
  const double input_blocks = std::ceil(static_cast<double>(problem.inputs) / lanes);
  const double output_blocks = std::ceil(static_cast<double>(problem.outputs) / lanes);
  // For each element of the kernel.
  const double weights = static_cast<double>(problem.inputs / problem.groups) * output_blocks;
  const double weight_cycles = weights * lanes * sizeof(float) / kWeightBytesPerCycle;
  const auto batch = static_cast<double>(problem.batch);
  const auto depth = static_cast<double>(problem.window.output[0]);
  const auto height = static_cast<double>(problem.window.output[1]);
  const auto width = static_cast<double>(problem.window.output[2]);
  if (!is_own(algorithm)) {
    double elements = 1;
    for (const std::int64_t size : problem.window.kernel) elements *= static_cast<double>(size);
    return elements * (batch * depth * height * width * weights / kProductsPerCycle + weight_cycles);
  }

  const auto side = static_cast<double>(kernels::tile_side(form_of(algorithm)));
  const auto points = static_cast<double>(kernels::point_count(form_of(algorithm)));
  // Each of a dilation's phases has tiles of its own.
  const auto strips = [&](double size, std::int64_t dilation) {
    const double phases = std::min(size, static_cast<double>(dilation));
    return phases * std::ceil(std::ceil(size / phases) / side);
  };
  const double tiles = batch * strips(height, problem.window.dilation[1]) * strips(width, problem.window.dilation[2]);
  const bool plain = storage_of(algorithm) == WinogradStorage::kPlain;
  const double tile_cycles = weights / kProductsPerCycle +
                             input_blocks * (plain ? kSharedWindowCycles : kWindowCycles) +
                             output_blocks * kOutputCycles;
  const double transforms = plain ? std::ceil(tiles / kTilesOfPlainWeights) : 0;
  return points * (tiles * tile_cycles + transforms * weights * kWeightCycles) + (plain ? 9 : points) * weight_cycles;
}

}  // namespace

std::span<const AlgorithmRow> algorithms() {
  return kAlgorithms;
}

std::string_view name_of(Algorithm algorithm) {
  return std::ranges::find(kAlgorithms, algorithm, &AlgorithmRow::algorithm)->name;
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

std::vector<Expectation> expectations(const ConvolutionProblem& problem) {
  std::vector<Expectation> result;
  for (const AlgorithmRow& row : kAlgorithms) {
    if (!is_candidate(row.algorithm, problem)) continue;
    result.push_back({row.algorithm, expected_cycles(row.algorithm, problem)});
  }
  std::ranges::stable_sort(result, {}, &Expectation::cycles);
  return result;
}

}  // namespace lanner::backends::onednn
