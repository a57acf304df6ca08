#include "kernels/pointwise_depthwise.h"

#include <algorithm>

#include "base/parallel.h"

namespace lanner::kernels {

namespace {

// The rows between the convolutions are to stay in the first-level cache, a strip of the input in the second.
constexpr std::int64_t kRowsBytes = std::int64_t{24} << 10;
constexpr std::int64_t kStripBytes = std::int64_t{512} << 10;
// Of outputs: fewer would make too many rows twice.
constexpr std::int64_t kLeastStripHeight = 8;

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

}  // namespace

// Rows [first, end) of an image's block of outputs.
struct PointwiseDepthwise::Strip {
  std::int64_t image;
  std::int64_t block;
  std::int64_t first;
  std::int64_t end;
};

PointwiseDepthwise::PointwiseDepthwise(const DepthwiseLoops& loops, std::int64_t inputs,
                                       const DepthwiseProblem& depthwise, int threads)
    : loops_(&loops),
      inputs_(inputs),
      depthwise_(loops, depthwise),
      workers_(static_cast<std::size_t>(std::max(threads, 1))) {
  const auto lanes = static_cast<std::int64_t>(loops.lanes);
  const std::int64_t row_bytes = depthwise.width * lanes * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t least_rows = depthwise.kernel_height;
  kept_outputs_ = std::max<std::int64_t>(1, (kRowsBytes / row_bytes - least_rows) / depthwise.stride + 1);
  kept_outputs_ = std::min(kept_outputs_, depthwise.output_height);
  rows_bytes_ = static_cast<std::size_t>((least_rows + (kept_outputs_ - 1) * depthwise.stride) * row_bytes);
  const std::int64_t input_row_bytes = divide_up(inputs, lanes) * row_bytes * depthwise.stride;
  const std::int64_t most = std::max(kStripBytes / input_row_bytes, kLeastStripHeight);
  strip_height_ = divide_up(depthwise.output_height, divide_up(depthwise.output_height, most));
}

void PointwiseDepthwise::make_strip(const PointwiseDepthwiseArguments& arguments, const Strip& strip,
                                    float* rows) const {
  const DepthwiseProblem& p = depthwise_.problem();
  const auto lanes = static_cast<std::int64_t>(loops_->lanes);
  const std::int64_t blocks = divide_up(p.channels, lanes);
  const std::int64_t input_blocks = divide_up(inputs_, lanes);
  const std::int64_t row = p.width * lanes;
  const std::int64_t exist = std::min(lanes, p.channels - strip.block * lanes);
  const BlockBias bias(arguments.pointwise_bias, strip.block * lanes, exist);
  const ImageEpilogue epilogue{bias.data(), nullptr, arguments.pointwise_activation, static_cast<std::size_t>(exist)};
  const float* const input = arguments.input + strip.image * input_blocks * p.height * row;
  const float* const weights = arguments.pointwise_weights + strip.block * input_blocks * lanes * lanes;
  float* const output =
      arguments.output + (strip.image * blocks + strip.block) * p.output_height * p.output_width * lanes;
  const DepthwiseArguments depthwise{nullptr, arguments.depthwise_weights, arguments.depthwise_bias, nullptr,
                                     arguments.activation};

  std::int64_t first_kept = 0;  // the rows between the convolutions that `rows` holds
  std::int64_t end_kept = 0;
  for (std::int64_t y = strip.first; y < strip.end; y += kept_outputs_) {
    const std::int64_t end = std::min(y + kept_outputs_, strip.end);
    const std::int64_t first_row = std::clamp<std::int64_t>(y * p.stride - p.pad_top, 0, p.height);
    const std::int64_t end_row =
        std::clamp<std::int64_t>((end - 1) * p.stride - p.pad_top + p.kernel_height, first_row, p.height);
    const std::int64_t made = std::clamp(end_kept, first_row, end_row);
    if (made > first_row) std::copy(rows + (first_row - first_kept) * row, rows + (made - first_kept) * row, rows);
    if (end_row > made) {
      loops_->make_pixels({input + made * row, static_cast<std::size_t>(p.height * row),
                           static_cast<std::size_t>(inputs_), weights, rows + (made - first_row) * row,
                           static_cast<std::size_t>((end_row - made) * p.width), epilogue});
    }
    first_kept = first_row;
    end_kept = end_row;
    depthwise_.make_rows(depthwise, {strip.block, rows, first_row, output}, y, end);
  }
}

void PointwiseDepthwise::run(const PointwiseDepthwiseArguments& arguments, int threads) const {
  const DepthwiseProblem& p = depthwise_.problem();
  const std::int64_t blocks = divide_up(p.channels, static_cast<std::int64_t>(loops_->lanes));
  const std::int64_t strips = divide_up(p.output_height, strip_height_);
  const auto count = static_cast<std::size_t>(p.batch * strips * blocks);
  // The blocks of a strip follow each other, because they read the same input.
  base::share_out(std::min(threads, static_cast<int>(workers_)), count, [&](std::size_t worker, std::size_t item) {
    const auto at = static_cast<std::int64_t>(item);
    const std::int64_t first = at / blocks % strips * strip_height_;
    auto* const rows = reinterpret_cast<float*>(static_cast<std::byte*>(arguments.scratch) + worker * rows_bytes_);
    make_strip(arguments, {at / blocks / strips, at % blocks, first, std::min(first + strip_height_, p.output_height)},
               rows);
  });
}

}  // namespace lanner::kernels
