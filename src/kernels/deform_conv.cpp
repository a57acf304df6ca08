// DeformConv in one to three spatial dimensions, float32 and float64: a convolution whose taps are read beside where
// they would be, by offsets that are an input, with linear interpolation, and times a mask. The samples of a stretch of
// outputs are laid out as columns, and a matrix product with the weights makes the outputs of them.
#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/gemm.h"
#include "kernels/kernel.h"
#include "kernels/sampling.h"
#include "kernels/window.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

static_assert(kSampledRank == kWindowRank);

// Elements of the columns that are made at once, and the least number of outputs that they are for.
constexpr std::int64_t kColumnElements = 1 << 20;
constexpr std::int64_t kLeastStretch = 64;

struct Problem {
  Window window;
  std::int64_t channels;
  std::int64_t offset_groups;
};

// The samples of outputs [first, first + count) of one image: columns [channels, taps, count]. `offsets` is [offset
// groups, taps, dimensions, outputs], `mask` the same without dimensions, or null.
template <typename T>
void sample_columns(const Problem& problem, int threads, const T* x, const T* offsets, const T* mask,
                    std::int64_t first, std::int64_t count, T* columns) {
  const Window& window = problem.window;
  const auto rank = static_cast<std::size_t>(window.rank);
  const std::size_t lead = kWindowRank - rank;
  const std::int64_t taps = window.tap_count();
  const std::int64_t outputs = window.output[0] * window.output[1] * window.output[2];
  const std::int64_t plane = window.input[0] * window.input[1] * window.input[2];
  const std::int64_t share = problem.channels / problem.offset_groups;
  const std::int64_t blocks = (count + kLeastStretch - 1) / kLeastStretch;
  const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / (8 * kLeastStretch * share));
  base::parallel_for(threads, problem.offset_groups * taps * blocks, grain, [&](std::int64_t begin, std::int64_t end) {
    PointTaps<T> points;
    std::array<AxisTaps<T>, kWindowRank> axes;
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t group_tap = item / blocks;
      const std::int64_t group = group_tap / taps;
      const std::int64_t tap = group_tap % taps;
      const WindowDims k{tap / window.kernel[2] / window.kernel[1], tap / window.kernel[2] % window.kernel[1],
                         tap % window.kernel[2]};
      const std::int64_t start = item % blocks * kLeastStretch;
      const std::int64_t stop = std::min(start + kLeastStretch, count);
      points.clear();
      for (std::int64_t i = first + start; i < first + stop; ++i) {
        const WindowDims o{i / window.output[2] / window.output[1], i / window.output[2] % window.output[1],
                           i % window.output[2]};
        for (std::size_t d = 0; d < rank; ++d) {
          const std::size_t axis = lead + d;
          const std::int64_t at =
              o[axis] * window.stride[axis] + k[axis] * window.dilation[axis] - window.pad_begin[axis];
          const T offset = offsets[(group_tap * window.rank + static_cast<std::int64_t>(d)) * outputs + i];
          axes[d] = linear_taps(static_cast<T>(at) + offset, window.input[axis]);
        }
        points.add_point(std::span(axes).first(rank), std::span(window.input).subspan(lead),
                         mask != nullptr ? mask[group_tap * outputs + i] : T{1});
      }
      for (std::int64_t c = group * share; c < (group + 1) * share; ++c) {
        points.sample(x + c * plane, columns + (c * taps + tap) * count + start);
      }
    }
  });
}

void check_shape(const Tensor& tensor, const Shape& wanted, std::string_view name) {
  if (tensor.shape() == wanted) return;
  base::invalid("op.shape", "input '{}' must have shape {}, but has {}", name, wanted.to_string(),
                tensor.shape().to_string());
}

}  // namespace

std::unique_ptr<Kernel> make_DeformConv(const KernelInfo& info) {
  const std::int64_t groups = info.attributes.get_int("group", 1);
  const std::int64_t offset_groups = info.attributes.get_int("offset_group", 1);
  for (const std::int64_t count : {groups, offset_groups}) {
    if (count < 1) base::invalid("op.attribute", "the number of groups must be positive, but is {}", count);
  }
  return make_kernel([groups, offset_groups, attributes = parse_window(info.attributes)](KernelContext& context) {
    const Tensor& x = context.input(0);
    const Tensor& w = context.input(1);
    const Tensor& offset = context.input(2);
    const Tensor* b = context.optional_input(3);
    const Tensor* mask = context.optional_input(4);
    for (const Tensor* tensor : {&w, &offset, b, mask}) {
      if (tensor == nullptr || tensor->element_type() == x.element_type()) continue;
      base::invalid("op.type", "all inputs must have one element type");
    }
    if (x.rank() < 3 || w.rank() != x.rank()) {
      base::invalid("op.rank", "inputs 'X' and 'W' must have one rank of at least 3, but have shapes {} and {}",
                    x.shape().to_string(), w.shape().to_string());
    }
    const std::int64_t channels = x.shape()[1];
    const std::int64_t maps = w.shape()[0];
    if (channels % groups != 0 || channels % offset_groups != 0 || maps % groups != 0 ||
        w.shape()[1] != channels / groups) {
      base::invalid("op.shape", "weights of shape {} do not fit an input of shape {} in {} groups, {} of offsets",
                    w.shape().to_string(), x.shape().to_string(), groups, offset_groups);
    }
    const auto kernel = w.shape().dims().subspan(2);
    if (!attributes.kernel.empty() && !std::ranges::equal(attributes.kernel, kernel)) {
      base::invalid("op.shape", "attribute 'kernel_shape' [{}] differs from the weights' shape {}",
                    fmt::join(attributes.kernel, ","), w.shape().to_string());
    }
    const Problem problem{make_window(attributes, x.shape(), kernel), channels, offset_groups};
    const Window& window = problem.window;
    const std::int64_t batch = x.shape()[0];
    // Of inputs that exist: the offsets have as many elements as this says.
    const auto expected = [&](std::int64_t each) {
      std::int64_t count = offset_groups;
      for (const std::int64_t dim : {each, window.kernel[0], window.kernel[1], window.kernel[2]}) {
        if (__builtin_mul_overflow(count, dim, &count)) base::invalid("op.size", "there are too many offsets");
      }
      return window.output_shape(batch, count);
    };
    check_shape(offset, expected(window.rank), "offset");
    if (mask != nullptr) check_shape(*mask, expected(1), "mask");
    if (b != nullptr) check_shape(*b, Shape{maps}, "B");
    Tensor& y = context.allocate_output(0, x.element_type(), window.output_shape(batch, maps));
    if (y.element_count() == 0) return;
    tensor::dispatch(tensor::FloatTypes{}, x.element_type(), "DeformConv", [&]<typename T>() {
      const std::int64_t outputs = window.output[0] * window.output[1] * window.output[2];
      const std::int64_t plane = window.input[0] * window.input[1] * window.input[2];
      const std::int64_t taps = window.tap_count();
      const std::int64_t rows = channels * taps;
      const std::int64_t stretch =
          std::min(std::max(kColumnElements / std::max<std::int64_t>(rows, 1), kLeastStretch), outputs);
      Tensor columns = context.allocate_scratch(x.element_type(), {rows, stretch});
      for (std::int64_t image = 0; image < batch; ++image) {
        const T* const offsets = offset.data<T>() + image * offset_groups * taps * window.rank * outputs;
        const T* const factors =
            mask != nullptr ? mask->data<T>() + image * offset_groups * taps * outputs : static_cast<const T*>(nullptr);
        for (std::int64_t first = 0; first < outputs; first += stretch) {
          const std::int64_t count = std::min(stretch, outputs - first);
          if (rows > 0) {
            sample_columns(problem, context.threads(), x.data<T>() + image * channels * plane, offsets, factors, first,
                           count, columns.data<T>());
          }
          for (std::int64_t group = 0; group < groups; ++group) {
            const std::int64_t depth = rows / groups;
            multiply<T>(context.threads(), maps / groups, count, depth,
                        {w.data<T>() + group * maps / groups * depth, depth, 1},
                        {columns.data<T>() + group * depth * count, count, 1},
                        y.data<T>() + (image * maps + group * maps / groups) * outputs + first, outputs);
          }
        }
      }
      if (b == nullptr) return;
      const T* const bias = b->data<T>();
      T* const out = y.data<T>();
      base::parallel_for(context.threads(), batch * maps, std::max<std::int64_t>(1, kElementGrain / outputs),
                         [=](std::int64_t begin, std::int64_t end) {
                           for (std::int64_t i = begin; i < end; ++i) {
                             for (std::int64_t j = 0; j < outputs; ++j) out[i * outputs + j] += bias[i % maps];
                           }
                         });
    });
  });
}

}  // namespace lanner::kernels
