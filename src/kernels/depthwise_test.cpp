#include "kernels/depthwise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/depthwise_testing.h"

namespace lanner::kernels {
namespace {

using testing::apply;
using testing::Blocked;
using testing::Buffer;
using testing::I;
using testing::Image;
using testing::normal;
using testing::round_up;
using Kind = ImageActivation::Kind;

struct Case {
  DepthwiseProblem problem;
  bool bias = true;
  ImageActivation activation = {};
};

// Channels that fill up a block are NaN in the input, which nobody may use, and must be zero in the output.
class Experiment {
 public:
  Experiment(const Case& c, I lanes, unsigned seed)
      : case_(c),
        input_layout_{lanes, c.problem.channels, c.problem.height, c.problem.width},
        output_layout_{lanes, c.problem.channels, c.problem.output_height, c.problem.output_width},
        input_(input_layout_.floats(c.problem.batch)),
        weights_(static_cast<std::size_t>(round_up(c.problem.channels, lanes) * c.problem.kernel_height *
                                          c.problem.kernel_width)),
        bias_(static_cast<std::size_t>(c.problem.channels)) {
    std::mt19937 random(seed);
    const DepthwiseProblem& p = c.problem;
    std::fill_n(input_.data(), input_.size(), std::numeric_limits<float>::quiet_NaN());
    for (I n = 0; n < p.batch; ++n) {
      for (I k = 0; k < p.channels; ++k) {
        for (I i = 0; i < p.height * p.width; ++i) {
          // Exact in bfloat16, too.
          const float value = testing::from_bf16(testing::to_bf16(normal(random)));
          input_[input_layout_.at(n, k, i / p.width, i % p.width)] = value;
        }
      }
    }
    std::fill_n(weights_.data(), weights_.size(), 0.0F);
    for (I k = 0; k < p.channels; ++k) {
      for (I i = 0; i < p.kernel_height * p.kernel_width; ++i) weights_[weight_at(k, i)] = normal(random);
    }
    for (std::size_t i = 0; i < bias_.size(); ++i) bias_.data()[i] = normal(random);
  }

  std::vector<float> run(const DepthwiseLoops& loops, int threads) const {
    const Image input(input_.size(), case_.problem.number);
    input.set({input_.data(), input_.size()});
    const std::size_t outputs = output_layout_.floats(case_.problem.batch);
    const Image output(outputs, case_.problem.number);
    output.set(std::vector<float>(outputs, std::numeric_limits<float>::quiet_NaN()));
    Depthwise(loops, case_.problem)
        .run({input.data(), weights_.data(), case_.bias ? bias_.data() : nullptr, output.data(), case_.activation},
             threads);
    return output.values();
  }

  // Every output is the definition's, in float64, within `tolerance`.
  void check(std::span<const float> output, double tolerance) const {
    const DepthwiseProblem& p = case_.problem;
    for (I n = 0; n < p.batch; ++n) {
      for (I k = 0; k < round_up(p.channels, output_layout_.lanes); ++k) {
        for (I i = 0; i < p.output_height * p.output_width; ++i) {
          const I at = output_layout_.at(n, k, i / p.output_width, i % p.output_width);
          const double expected = k < p.channels ? reference(n, k, i / p.output_width, i % p.output_width) : 0;
          ASSERT_NEAR(output[static_cast<std::size_t>(at)], expected, tolerance * (1 + std::abs(expected)))
              << "channel " << k << ", output " << i;
        }
      }
    }
  }

 private:
  I weight_at(I channel, I element) const {
    const I lanes = output_layout_.lanes;
    const I size = case_.problem.kernel_height * case_.problem.kernel_width;
    return (channel / lanes * size + element) * lanes + channel % lanes;
  }

  double reference(I n, I k, I y, I x) const {
    const DepthwiseProblem& p = case_.problem;
    double sum = case_.bias ? bias_[k] : 0;
    for (I r = 0; r < p.kernel_height; ++r) {
      for (I s = 0; s < p.kernel_width; ++s) {
        const I row = y * p.stride + r - p.pad_top;
        const I column = x * p.stride + s - p.pad_left;
        if (row < 0 || row >= p.height || column < 0 || column >= p.width) continue;
        sum += static_cast<double>(input_[input_layout_.at(n, k, row, column)]) *
               weights_[weight_at(k, r * p.kernel_width + s)];
      }
    }
    return apply(case_.activation, sum);
  }

  const Case& case_;
  Blocked input_layout_;
  Blocked output_layout_;
  Buffer input_;
  Buffer weights_;
  Buffer bias_;
};

// On every instruction set that the CPU has; the same bits for any number of threads.
void check(const Case& c, unsigned seed) {
  for (const LoopsRow<DepthwiseLoops>& row : depthwise_loops_rows()) {
    if (!row.supported()) continue;
    const Experiment experiment(c, static_cast<I>(row.loops->lanes), seed);
    const std::vector<float> one = experiment.run(*row.loops, 1);
    const bool is_half = c.problem.number == ImageNumber::kBfloat16;
    SCOPED_TRACE(std::string(row.name) + ", seed " + std::to_string(seed));
    experiment.check(one, is_half ? 0x1p-8 : 1e-5);
    for (int threads = 2; threads <= 4; ++threads) {
      const std::vector<float> other = experiment.run(*row.loops, threads);
      EXPECT_EQ(std::memcmp(one.data(), other.data(), one.size() * sizeof(float)), 0) << threads << " threads";
    }
  }
}

TEST(Depthwise, AgreesWithTheDefinition) {
  std::mt19937 random(1);
  for (unsigned seed = 0; seed < 120; ++seed) {
    Case c{testing::random_depthwise(random, 70, seed % 4 == 0)};
    c.problem.number = testing::between(random, 0, 2) == 0 ? ImageNumber::kBfloat16 : ImageNumber::kFloat32;
    c.bias = testing::between(random, 0, 1) == 1;
    check(c, seed);
  }
}

TEST(Depthwise, AppliesActivations) {
  const ImageActivation activations[] = {
      ImageActivation::relu(),  {Kind::kClip, 0, 6},    {Kind::kLeakyRelu, 0.2F, 0}, {Kind::kHardSigmoid, 0.2F, 0.5F},
      {Kind::kHardSwish, 0, 0}, {Kind::kSigmoid, 1, 0}, {Kind::kSwish, 1.7F, 0}};
  for (const ImageActivation& activation : activations) {
    for (const I channels : {32, 21}) {
      Case c{{1, channels, 11, 23, 3, 3, 1, 1, 1, 11, 23}};
      c.activation = activation;
      check(c, 5);
    }
  }
}

}  // namespace
}  // namespace lanner::kernels
