#include "backends/onednn/algorithm.h"

#include <algorithm>

#include "backends/onednn/engine.h"

namespace lanner::backends::onednn {

namespace {

// Winograd's packed weights take up to four times the memory of the plain ones, and oneDNN needs about 40 ns a weight
// to pack them. It is worth that where a map is large enough to use each weight often, or the weights are few.
constexpr std::int64_t kWinogradLeastChannels = 32;
constexpr std::int64_t kWinogradLeastSide = 8;
constexpr std::int64_t kWinogradLargeMap = 32 * 32;  // output pixels
constexpr std::int64_t kWinogradMostWeights = 3 * 3 * 256 * 256;
constexpr std::int64_t kWinogradMostWeightsOfLargeMaps = 3 * 3 * 512 * 512;

}  // namespace

Algorithm choose_algorithm(const ConvolutionProblem& problem) {
  const kernels::Window& window = problem.window;
  const bool three_by_three = window.rank == 2 && window.kernel[1] == 3 && window.kernel[2] == 3;
  const bool dense = problem.groups == 1 && window.stride[1] == 1 && window.stride[2] == 1 && window.dilation[1] == 1 &&
                     window.dilation[2] == 1;
  const bool large = std::min(problem.inputs, problem.outputs) >= kWinogradLeastChannels &&
                     std::min(window.output[1], window.output[2]) >= kWinogradLeastSide;
  const std::int64_t most_weights =
      window.output[1] * window.output[2] >= kWinogradLargeMap ? kWinogradMostWeightsOfLargeMaps : kWinogradMostWeights;
  const bool worth_packing = 9 * problem.inputs * problem.outputs <= most_weights;
  return has_avx512() && three_by_three && dense && large && worth_packing ? Algorithm::kWinograd : Algorithm::kDirect;
}

}  // namespace lanner::backends::onednn
