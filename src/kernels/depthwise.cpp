#include "kernels/depthwise.h"

#include <algorithm>

#include "base/parallel.h"

namespace lanner::kernels {

namespace {

// A thread's share has so many products at least, some microseconds of them.
constexpr std::int64_t kLeastProducts = 100'000;

}  // namespace

Depthwise::Depthwise(const DepthwiseLoops& loops, const DepthwiseProblem& problem)
    : lanes_(static_cast<std::int64_t>(loops.lanes)), problem_(problem) {
  const auto width = std::ranges::find(kDepthwiseWidths, problem.kernel_width) - kDepthwiseWidths.begin();
  make_row_ = loops.make_row[static_cast<std::size_t>(width)][static_cast<std::size_t>(problem.stride - 1)]
                            [number_index(problem.number)];
}

void Depthwise::make_rows(const DepthwiseArguments& arguments, const Plane& plane, std::int64_t first,
                          std::int64_t end) const {
  const DepthwiseProblem& p = problem_;
  const std::int64_t exist = std::min(lanes_, p.channels - plane.block * lanes_);
  const BlockBias bias(arguments.bias, plane.block * lanes_, exist);
  const auto element_bytes = static_cast<std::int64_t>(bytes_of(p.number));
  for (std::int64_t y = first; y < end; ++y) {
    const std::int64_t top = y * p.stride - p.pad_top;  // the row that the kernel's first one meets
    const std::int64_t skipped = std::clamp<std::int64_t>(-top, 0, p.kernel_height);
    const std::int64_t rows = std::clamp<std::int64_t>(p.height - top, skipped, p.kernel_height) - skipped;
    const std::int64_t input = rows == 0 ? 0 : (top + skipped - plane.first_input) * p.width * lanes_;
    make_row_({static_cast<const std::byte*>(plane.input) + input * element_bytes,
               static_cast<std::size_t>(p.width * lanes_),
               p.width,
               arguments.weights + (plane.block * p.kernel_height + skipped) * p.kernel_width * lanes_,
               static_cast<std::size_t>(rows),
               p.pad_left,
               static_cast<std::byte*>(plane.output) + y * p.output_width * lanes_ * element_bytes,
               p.output_width,
               {bias.data(), nullptr, arguments.activation, static_cast<std::size_t>(exist)}});
  }
}

void Depthwise::run(const DepthwiseArguments& arguments, int threads) const {
  const DepthwiseProblem& p = problem_;
  const std::int64_t blocks = (p.channels + lanes_ - 1) / lanes_;
  const auto pixel_bytes = lanes_ * static_cast<std::int64_t>(bytes_of(p.number));
  const auto* const input = static_cast<const std::byte*>(arguments.input);
  auto* const output = static_cast<std::byte*>(arguments.output);
  const std::int64_t products_of_row = p.output_width * lanes_ * p.kernel_height * p.kernel_width;
  const std::int64_t least_rows = std::max<std::int64_t>(1, kLeastProducts / products_of_row);
  base::parallel_for(threads, p.batch * blocks * p.output_height, least_rows,
                     [&](std::int64_t begin, std::int64_t end) {
                       for (std::int64_t row = begin; row < end;) {
                         const std::int64_t plane = row / p.output_height;
                         const std::int64_t last = std::min(end, (plane + 1) * p.output_height);
                         make_rows(arguments,
                                   {plane % blocks, input + plane * p.height * p.width * pixel_bytes, 0,
                                    output + plane * p.output_height * p.output_width * pixel_bytes},
                                   row - plane * p.output_height, last - plane * p.output_height);
                         row = last;
                       }
                     });
}

}  // namespace lanner::kernels
