#include "backends/onednn/algorithm.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "backends/backend.h"
#include "backends/onednn/engine.h"

namespace lanner::backends::onednn {

namespace {

using kernels::WinogradForm;
using kernels::WinogradStorage;

constexpr AlgorithmRow kAlgorithms[] = {
    {Algorithm::kDirect, "direct"},
    {Algorithm::kDirectBf16, "direct-bf16"},
    {Algorithm::kOnednnWinograd, "onednn-winograd"},
    {Algorithm::kWinogradF2, "winograd-f2"},
    {Algorithm::kWinogradF4, "winograd-f4"},
    {Algorithm::kWinogradF2Plain, "winograd-f2-plain"},
    {Algorithm::kWinogradF4Plain, "winograd-f4-plain"},
    {Algorithm::kDepthwise, "depthwise"},
    {Algorithm::kPointwiseDepthwise, "pointwise-depthwise"},
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

// To convert a vector between float32 and bfloat16, in a pass of its own.
constexpr double kConversionCycles = 8;

// Of what oneDNN's depthwise convolutions take, and its pointwise ones.
constexpr double kDepthwisePart = 0.8;
constexpr double kPointwisePart = 1.15;
// Images that exceed this are written to, and read from, caches or memory that deliver so much.
constexpr double kNearCacheBytes = 1 << 20;
constexpr double kFarCacheBytesPerCycle = 18;

double product(const kernels::WindowDims& sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), 1.0,
                         [](double a, std::int64_t b) { return a * static_cast<double>(b); });
}

// What a core needs for the direct algorithm. bfloat16 is multiplied, and read, at twice the rate.
double direct_cycles(bool bf16, const ConvolutionProblem& problem, double lanes) {
  const double speed = bf16 ? 2 : 1;
  const auto batch = static_cast<double>(problem.batch);
  const double input_vectors = batch * std::ceil(static_cast<double>(problem.inputs) / lanes);
  const double output_vectors = batch * std::ceil(static_cast<double>(problem.outputs) / lanes);
  const double pixels = product(problem.window.output);
  const double weights = product(problem.window.kernel) * static_cast<double>(problem.inputs / problem.groups);
  const double weight_bytes = weights * static_cast<double>(problem.outputs) * sizeof(float);
  double cycles = output_vectors * pixels * weights / kProductsPerCycle + weight_bytes / kWeightBytesPerCycle;
  cycles /= speed;
  if (bf16 != problem.bf16_input) cycles += kConversionCycles * input_vectors * product(problem.window.input);
  if (!bf16 && problem.bf16_output) cycles += kConversionCycles * output_vectors * pixels;
  return cycles;
}

// What a core needs for a convolution, of 3 × 3 where the algorithm is our own.
double expected_cycles(Algorithm algorithm, const ConvolutionProblem& problem) {
  // Slower than ours; and a block of channels that is padding but for a few is transformed in vain.
  if (algorithm == Algorithm::kOnednnWinograd ||
      (is_winograd(algorithm) && std::min(problem.inputs, problem.outputs) < kLeastChannels)) {
    return std::numeric_limits<double>::infinity();
  }
  const double lanes = has_avx512() ? 16 : 8;
  if (algorithm == Algorithm::kDepthwise) return kDepthwisePart * direct_cycles(problem.bf16_input, problem, lanes);
  if (!is_winograd(algorithm)) return direct_cycles(algorithm == Algorithm::kDirectBf16, problem, lanes);
  const double input_blocks = std::ceil(static_cast<double>(problem.inputs) / lanes);
  const double output_blocks = std::ceil(static_cast<double>(problem.outputs) / lanes);
  const double weights = static_cast<double>(problem.inputs) * output_blocks;  // for each element of the kernel
  const double weight_cycles = weights * lanes * sizeof(float) / kWeightBytesPerCycle;
  const auto batch = static_cast<double>(problem.batch);
  const auto height = static_cast<double>(problem.window.output[1]);
  const auto width = static_cast<double>(problem.window.output[2]);

  const auto stride = static_cast<std::size_t>(problem.window.stride[1]);
  const WinogradForm form = form_of(algorithm);
  const auto side = static_cast<double>(kernels::tile_side(form));
  const auto points = static_cast<double>(kernels::point_count(form, stride));
  const auto products = static_cast<double>(kernels::window_count(form, stride));
  const auto weight_values = static_cast<double>(kernels::weight_count(form, stride));
  // Each of a dilation's phases has tiles of its own.
  const auto strips = [&](double size, std::int64_t dilation) {
    const double phases = std::min(size, static_cast<double>(dilation));
    return phases * std::ceil(std::ceil(size / phases) / side);
  };
  const double tiles = batch * strips(height, problem.window.dilation[1]) * strips(width, problem.window.dilation[2]);
  const bool plain = storage_of(algorithm) == WinogradStorage::kPlain;
  const double tile_cycles =
      products * (weights / kProductsPerCycle + input_blocks * (plain ? kSharedWindowCycles : kWindowCycles)) +
      points * output_blocks * kOutputCycles;
  const double transforms = plain ? std::ceil(tiles / kTilesOfPlainWeights) : 0;
  return tiles * tile_cycles + transforms * weight_values * weights * kWeightCycles +
         (plain ? 9 : weight_values) * weight_cycles;
}

// And for the convolution before, where it counts. As one, both do without the traffic of what is between them.
double expected_cycles_of_both(Algorithm algorithm, const ConvolutionProblem& problem) {
  if (problem.pointwise_inputs == 0) return expected_cycles(algorithm, problem);
  const double lanes = has_avx512() ? 16 : 8;
  const double between = static_cast<double>(problem.batch) * std::ceil(static_cast<double>(problem.inputs) / lanes) *
                         product(problem.window.input);
  const double pointwise = between * static_cast<double>(problem.pointwise_inputs) / kProductsPerCycle;
  if (algorithm != Algorithm::kPointwiseDepthwise) return pointwise + expected_cycles(algorithm, problem);
  const double bytes = between * lanes * sizeof(float);
  const double saved = bytes > kNearCacheBytes ? bytes / kFarCacheBytesPerCycle : 0;
  const double computing = kPointwisePart * pointwise + expected_cycles(Algorithm::kDepthwise, problem);
  return std::max(computing - saved, computing / 2);
}

double packed_bytes(Algorithm algorithm, const ConvolutionProblem& problem) {
  const double plain =
      product(problem.window.kernel) * static_cast<double>(problem.inputs / problem.groups * problem.outputs);
  if (algorithm == Algorithm::kDirectBf16) return plain * 2;
  if (algorithm == Algorithm::kOnednnWinograd) return plain * sizeof(float) * 4;
  if (!is_winograd(algorithm) || storage_of(algorithm) == WinogradStorage::kPlain) return plain * sizeof(float);
  const auto stride = static_cast<std::size_t>(problem.window.stride[1]);
  return plain * sizeof(float) * static_cast<double>(kernels::weight_count(form_of(algorithm), stride)) / 9;
}

}  // namespace

std::span<const AlgorithmRow> algorithms() {
  return kAlgorithms;
}

std::string_view name_of(Algorithm algorithm) {
  return std::ranges::find(kAlgorithms, algorithm, &AlgorithmRow::algorithm)->name;
}

bool prefers_bf16(std::int64_t rows, std::int64_t depth, std::int64_t columns) {
  // The left side is converted, one pass over it; products and the right side, which comes from memory, take half.
  const double vectors = static_cast<double>(depth) / 16;
  const double weights = static_cast<double>(depth) * static_cast<double>(columns);
  const double saved = static_cast<double>(rows) * weights / 16 / kProductsPerCycle / 2 +
                       weights * sizeof(float) / kWeightBytesPerCycle / 2;
  return saved > kConversionCycles * static_cast<double>(rows) * vectors;
}

bool is_winograd(Algorithm algorithm) {
  return algorithm >= Algorithm::kWinogradF2 && algorithm <= Algorithm::kWinogradF4Plain;
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
  static const kernels::WinogradLoops* const loops =
      kernels::find_loops(kernels::winograd_loops_rows(), has_avx512() ? 16 : 8);
  return loops;
}

const kernels::DepthwiseLoops* depthwise_loops() {
  static const kernels::DepthwiseLoops* const loops =
      kernels::find_loops(kernels::depthwise_loops_rows(), has_avx512() ? 16 : 8);
  return loops;
}

namespace {

bool is_depthwise(const ConvolutionProblem& problem) {
  const kernels::Window& window = problem.window;
  return depthwise_loops() != nullptr && window.rank == 2 && problem.groups > 1 && problem.groups == problem.inputs &&
         problem.groups == problem.outputs && !problem.has_residual && problem.bf16_input == problem.bf16_output &&
         std::ranges::find(kernels::kDepthwiseWidths, window.kernel[2]) != kernels::kDepthwiseWidths.end() &&
         window.stride[1] == window.stride[2] && window.stride[1] <= kernels::kMostDepthwiseStride &&
         window.dilation[1] == 1 && window.dilation[2] == 1;
}

}  // namespace

bool is_candidate(Algorithm algorithm, const ConvolutionProblem& problem) {
  if (algorithm == Algorithm::kDirect) return true;
  if (algorithm == Algorithm::kDirectBf16) return problem.may_use_bf16;
  if (algorithm == Algorithm::kDepthwise) return is_depthwise(problem);
  if (algorithm == Algorithm::kPointwiseDepthwise) {
    return is_depthwise(problem) && problem.pointwise_inputs > 0;
  }
  const kernels::Window& window = problem.window;
  const bool three_by_three = window.rank == 2 && window.kernel[1] == 3 && window.kernel[2] == 3;
  if (!three_by_three || problem.groups != 1 || window.stride[1] != window.stride[2]) return false;
  const bool dilated = window.dilation[1] != 1 || window.dilation[2] != 1;
  const std::int64_t stride = window.stride[1];
  if (stride != 1 && (stride != 2 || dilated || !is_winograd(algorithm))) return false;
  // Transformed weights take 16 or 36 numbers for 9.
  const bool plain = is_winograd(algorithm) && storage_of(algorithm) == WinogradStorage::kPlain;
  if (problem.small_weights && !plain) return false;
  if (is_winograd(algorithm)) return winograd_loops() != nullptr;
  return has_avx512() && !dilated;
}

std::vector<Expectation> expectations(const ConvolutionProblem& problem) {
  std::vector<Expectation> result;
  for (const AlgorithmRow& row : kAlgorithms) {
    if (!is_candidate(row.algorithm, problem)) continue;
    result.push_back(
        {row.algorithm, expected_cycles_of_both(row.algorithm, problem), packed_bytes(row.algorithm, problem)});
  }
  std::ranges::stable_sort(
      result, {}, [](const Expectation& candidate) { return priced(candidate.cycles, candidate.weight_bytes); });
  return result;
}

}  // namespace lanner::backends::onednn
