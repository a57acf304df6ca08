// lanner.Expectation: the mean of `weights` under the distribution that Softmax makes of each line of `data` along an
// axis, the sum of Softmax(data) * weights. Detectors that predict a distribution over distances to a box's sides
// decode it so. Nothing is divided before the end and no line is kept, so results differ from those of the operators it
// stands for by rounding.
//
// inputs: data (float32), weights (float32, as many as the axis is long); attributes: `axis`. The axis stays, with one
// element.
#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>

#include "base/fail.h"
#include "base/multiversion.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/exp.h"
#include "kernels/kernel.h"

namespace lanner::kernels {

namespace {

// Lines that are walked together.
constexpr std::int64_t kLines = 128;

// Of `count` lines of `length` elements that are `stride` apart, `line_step` elements from one line to the next.
LANNER_MULTIVERSION void expect_lines(const float* in, const float* weights, std::int64_t length, std::int64_t stride,
                                      std::int64_t line_step, std::int64_t count, float* out) {
  alignas(64) std::array<float, kLines> greatest;
  alignas(64) std::array<float, kLines> total{};
  alignas(64) std::array<float, kLines> weighted{};
  float* const top = greatest.data();
  float* const sum = total.data();
  float* const product = weighted.data();
  std::fill_n(top, kLines, -std::numeric_limits<float>::infinity());
  for (std::int64_t k = 0; k < length; ++k) {
    const float* x = in + k * stride;
    if (line_step == 1) {
      LANNER_INDEPENDENT_ITERATIONS
      for (std::int64_t i = 0; i < count; ++i) top[i] = x[i] > top[i] ? x[i] : top[i];
    } else {
      for (std::int64_t i = 0; i < count; ++i) top[i] = x[i * line_step] > top[i] ? x[i * line_step] : top[i];
    }
  }
  for (std::int64_t k = 0; k < length; ++k) {
    const float* x = in + k * stride;
    const float weight = weights[k];
    if (line_step == 1) {
      LANNER_INDEPENDENT_ITERATIONS
      for (std::int64_t i = 0; i < count; ++i) {
        const float e = math::exp(x[i] - top[i]);
        sum[i] += e;
        product[i] += e * weight;
      }
    } else {
      LANNER_INDEPENDENT_ITERATIONS
      for (std::int64_t i = 0; i < count; ++i) {
        const float e = math::exp(x[i * line_step] - top[i]);
        sum[i] += e;
        product[i] += e * weight;
      }
    }
  }
  LANNER_INDEPENDENT_ITERATIONS
  for (std::int64_t i = 0; i < count; ++i) out[i] = product[i] / sum[i];
}

}  // namespace

std::unique_ptr<Kernel> make_Expectation(const KernelInfo& info) {
  return make_kernel([wanted = info.attributes.require_int("axis")](KernelContext& context) {
    const Tensor& data = context.input(0);
    const Tensor& weights = context.input(1);
    for (const Tensor* input : {&data, &weights}) {
      if (input->element_type() != ElementType::kFloat32) {
        base::invalid("op.type", "the inputs must be float32, but one is {}", element_type_name(input->element_type()));
      }
    }
    Shape shape = data.shape();
    const int axis = normalize_axis(wanted, shape.rank());
    const std::int64_t length = shape[axis];
    if (weights.rank() != 1 || weights.shape()[0] != length) {
      base::invalid("op.shape", "weights must have shape [{}], but have {}", length, weights.shape().to_string());
    }
    shape[axis] = 1;
    Tensor& out = context.allocate_output(0, ElementType::kFloat32, shape);
    if (out.element_count() == 0) return;
    if (length == 0) base::invalid("op.shape", "axis {} of shape {} is empty", axis, data.shape().to_string());
    const std::int64_t inner = shape.element_count(axis + 1, shape.rank());
    // A row of neighbouring lines; where lines are contiguous, all of them follow one another.
    const std::int64_t row = inner == 1 ? shape.element_count() : inner;
    const std::int64_t step = inner == 1 ? length : 1;
    const std::int64_t blocks = (row + kLines - 1) / kLines;
    const std::int64_t rows = shape.element_count() / row;
    const float* in = data.data<float>();
    float* to = out.data<float>();
    base::parallel_for(context.threads(), rows * blocks, kElementGrain / 4 / (length * std::min(row, kLines)) + 1,
                       [&](std::int64_t begin, std::int64_t end) {
                         for (std::int64_t item = begin; item < end; ++item) {
                           const std::int64_t first = item % blocks * kLines;
                           const std::int64_t line = item / blocks * row + first;
                           const float* from = in + item / blocks * length * inner + first * step;
                           expect_lines(from, weights.data<float>(), length, inner, step, std::min(kLines, row - first),
                                        to + line);
                         }
                       });
  });
}

}  // namespace lanner::kernels
