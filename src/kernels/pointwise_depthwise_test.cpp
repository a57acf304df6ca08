#include "kernels/pointwise_depthwise.h"

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
using testing::normal;
using testing::round_up;
using Kind = ImageActivation::Kind;

struct Case {
  I inputs;
  DepthwiseProblem depthwise;
  bool bias = true;
  ImageActivation pointwise_activation = ImageActivation::relu();
  ImageActivation activation = {};
};

// Channels that fill up a block are NaN in the input, which nobody may use, and must be zero in the output.
class Experiment {
 public:
  Experiment(const Case& c, I lanes, unsigned seed)
      : case_(c),
        lanes_(lanes),
        input_layout_{lanes, c.inputs, c.depthwise.height, c.depthwise.width},
        output_layout_{lanes, c.depthwise.channels, c.depthwise.output_height, c.depthwise.output_width},
        input_(input_layout_.floats(c.depthwise.batch)),
        pointwise_(static_cast<std::size_t>(round_up(c.depthwise.channels, lanes) * round_up(c.inputs, lanes))),
        depthwise_(static_cast<std::size_t>(round_up(c.depthwise.channels, lanes) * elements())),
        pointwise_bias_(static_cast<std::size_t>(c.depthwise.channels)),
        depthwise_bias_(static_cast<std::size_t>(c.depthwise.channels)) {
    std::mt19937 random(seed);
    const DepthwiseProblem& p = c.depthwise;
    std::fill_n(input_.data(), input_.size(), std::numeric_limits<float>::quiet_NaN());
    for (I n = 0; n < p.batch; ++n) {
      for (I k = 0; k < c.inputs; ++k) {
        for (I i = 0; i < p.height * p.width; ++i) {
          input_[input_layout_.at(n, k, i / p.width, i % p.width)] = normal(random);
        }
      }
    }
    std::fill_n(pointwise_.data(), pointwise_.size(), 0.0F);
    std::fill_n(depthwise_.data(), depthwise_.size(), 0.0F);
    for (I k = 0; k < p.channels; ++k) {
      for (I i = 0; i < c.inputs; ++i) pointwise_[pointwise_at(k, i)] = normal(random);
      for (I i = 0; i < elements(); ++i) depthwise_[depthwise_at(k, i)] = normal(random);
      pointwise_bias_[k] = normal(random);
      depthwise_bias_[k] = normal(random);
    }
  }

  std::vector<float> run(const DepthwiseLoops& loops, int threads) const {
    const PointwiseDepthwise both(loops, case_.inputs, case_.depthwise, threads);
    const Buffer output(output_layout_.floats(case_.depthwise.batch));
    std::fill_n(output.data(), output.size(), std::numeric_limits<float>::quiet_NaN());
    const Buffer scratch(both.scratch_bytes() / sizeof(float));
    both.run({input_.data(), pointwise_.data(), case_.bias ? pointwise_bias_.data() : nullptr,
              case_.pointwise_activation, depthwise_.data(), case_.bias ? depthwise_bias_.data() : nullptr,
              case_.activation, output.data(), scratch.data()},
             threads);
    return {output.data(), output.data() + output.size()};
  }

  // Every output is the definition's, in float64.
  void check(const std::vector<float>& output) const {
    const DepthwiseProblem& p = case_.depthwise;
    for (I n = 0; n < p.batch; ++n) {
      for (I k = 0; k < round_up(p.channels, lanes_); ++k) {
        std::vector<double> between;
        if (k < p.channels) between = plane_between(n, k);
        for (I i = 0; i < p.output_height * p.output_width; ++i) {
          const I y = i / p.output_width;
          const I x = i % p.output_width;
          const double expected = k < p.channels ? reference(between, k, y, x) : 0;
          ASSERT_NEAR(output[static_cast<std::size_t>(output_layout_.at(n, k, y, x))], expected,
                      1e-4 * (1 + std::abs(expected)))
              << "channel " << k << ", output " << i;
        }
      }
    }
  }

 private:
  I elements() const { return case_.depthwise.kernel_height * case_.depthwise.kernel_width; }
  I pointwise_at(I output, I input) const {
    return (output / lanes_ * round_up(case_.inputs, lanes_) + input) * lanes_ + output % lanes_;
  }
  I depthwise_at(I channel, I element) const {
    return (channel / lanes_ * elements() + element) * lanes_ + channel % lanes_;
  }

  std::vector<double> plane_between(I n, I k) const {
    const DepthwiseProblem& p = case_.depthwise;
    std::vector<double> plane;
    for (I i = 0; i < p.height * p.width; ++i) {
      double sum = case_.bias ? pointwise_bias_[k] : 0;
      for (I c = 0; c < case_.inputs; ++c) {
        sum += static_cast<double>(input_[input_layout_.at(n, c, i / p.width, i % p.width)]) *
               pointwise_[pointwise_at(k, c)];
      }
      plane.push_back(apply(case_.pointwise_activation, sum));
    }
    return plane;
  }

  double reference(const std::vector<double>& between, I k, I y, I x) const {
    const DepthwiseProblem& p = case_.depthwise;
    double sum = case_.bias ? depthwise_bias_[k] : 0;
    for (I i = 0; i < elements(); ++i) {
      const I row = y * p.stride + i / p.kernel_width - p.pad_top;
      const I column = x * p.stride + i % p.kernel_width - p.pad_left;
      if (row < 0 || row >= p.height || column < 0 || column >= p.width) continue;
      sum += between[static_cast<std::size_t>(row * p.width + column)] * depthwise_[depthwise_at(k, i)];
    }
    return apply(case_.activation, sum);
  }

  const Case& case_;
  I lanes_;
  Blocked input_layout_;
  Blocked output_layout_;
  Buffer input_;
  Buffer pointwise_;
  Buffer depthwise_;
  Buffer pointwise_bias_;
  Buffer depthwise_bias_;
};

// On every instruction set that the CPU has; the same bits for any number of threads.
void check(const Case& c, unsigned seed) {
  for (const LoopsRow<DepthwiseLoops>& row : depthwise_loops_rows()) {
    if (!row.supported()) continue;
    SCOPED_TRACE(std::string(row.name) + ", seed " + std::to_string(seed));
    const Experiment experiment(c, static_cast<I>(row.loops->lanes), seed);
    const std::vector<float> one = experiment.run(*row.loops, 1);
    experiment.check(one);
    for (int threads = 2; threads <= 4; ++threads) {
      const std::vector<float> other = experiment.run(*row.loops, threads);
      EXPECT_EQ(std::memcmp(one.data(), other.data(), one.size() * sizeof(float)), 0) << threads << " threads";
    }
  }
}

TEST(PointwiseDepthwise, AgreesWithTheDefinition) {
  std::mt19937 random(1);
  for (unsigned seed = 0; seed < 60; ++seed) {
    Case c{testing::between(random, 1, 40), testing::random_depthwise(random, 40, seed % 4 == 0)};
    c.bias = testing::between(random, 0, 1) == 1;
    check(c, seed);
  }
}

// A row between the convolutions that exceeds what is to be kept, and so many input channels that strips are short.
TEST(PointwiseDepthwise, TakesLargeRowsAndManyChannels) {
  check({3, {1, 5, 7, 700, 3, 3, 2, 1, 1, 4, 350}}, 1);
  check({300, {1, 20, 40, 50, 3, 3, 1, 1, 1, 40, 50}}, 2);
  check({200, {1, 20, 60, 61, 5, 5, 2, 2, 2, 30, 31}}, 3);
}

TEST(PointwiseDepthwise, AppliesActivations) {
  const ImageActivation activations[] = {
      ImageActivation::none(), {Kind::kClip, 0, 6}, {Kind::kHardSwish, 0, 0}, {Kind::kSwish, 1, 0}};
  for (const ImageActivation& first : activations) {
    for (const ImageActivation& second : activations) {
      for (const I channels : {32, 21}) {
        check({19, {1, channels, 11, 23, 3, 3, 1, 1, 1, 11, 23}, true, first, second}, 5);
      }
    }
  }
}

}  // namespace
}  // namespace lanner::kernels
