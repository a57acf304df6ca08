#include "backends/onednn/algorithm.h"

#include <algorithm>

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
  const bool dense = problem.groups == 1 && window.stride[1] == 1 && window.stride[2] == 1 && window.dilation[1] == 1 &&
                     window.dilation[2] == 1;
  return three_by_three && dense && (is_own(algorithm) ? winograd_loops() != nullptr : has_avx512());
}

Algorithm choose_algorithm(const ConvolutionProblem& problem) {
  const kernels::Window& window = problem.window;
  const bool large =
      std::min(problem.inputs, problem.outputs) >= 16 && std::min(window.output[1], window.output[2]) >= 7;
  if (!large || !is_candidate(Algorithm::kWinogradF4, problem)) return Algorithm::kDirect;
  return std::min(window.output[1], window.output[2]) < 10 ? Algorithm::kWinogradF2 : Algorithm::kWinogradF4;
}

}  // namespace lanner::backends::onednn
