#include "kernels/winograd.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <ostream>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/blocked_image_testing.h"

namespace lanner::kernels {
namespace {

using namespace testing;  // NOLINT: everything is for this
using Kind = ImageActivation::Kind;

struct Case {
  WinogradProblem problem;
  bool bias = true;
  bool residual = false;
  bool in_place = false;  // the residual is the output
  ImageActivation activation = {};
};

// Inputs after a ReLU and weights as He initialises them. Channels that fill up a block are NaN in the input, which
// nobody may use, and must be zero in the output.
class Experiment {
 public:
  Experiment(const Case& c, I lanes, unsigned seed, float added_bias = 0)
      : case_(c),
        input_layout_{lanes, c.problem.inputs, c.problem.height, c.problem.width},
        output_layout_{lanes, c.problem.outputs, c.problem.output_height, c.problem.output_width},
        input_(input_layout_.floats(c.problem.batch)),
        weights_(static_cast<std::size_t>(c.problem.outputs * c.problem.inputs * 9)),
        bias_(static_cast<std::size_t>(c.problem.outputs)),
        residual_(output_layout_.floats(c.problem.batch)) {
    std::mt19937 random(seed);
    std::fill_n(input_.data(), input_.size(), std::numeric_limits<float>::quiet_NaN());
    const WinogradProblem& p = c.problem;
    for (I n = 0; n < p.batch; ++n) {
      for (I k = 0; k < p.inputs; ++k) {
        for (I y = 0; y < p.height; ++y) {
          for (I x = 0; x < p.width; ++x) input_[input_layout_.at(n, k, y, x)] = std::max(normal(random), 0.0F);
        }
      }
    }
    const float scale = std::sqrt(2.0F / static_cast<float>(9 * p.inputs));
    for (std::size_t i = 0; i < weights_.size(); ++i) weights_.data()[i] = scale * normal(random);
    for (std::size_t i = 0; i < bias_.size(); ++i) bias_.data()[i] = normal(random) + added_bias;
    for (std::size_t i = 0; i < residual_.size(); ++i) residual_.data()[i] = normal(random);
  }

  std::vector<float> run(const WinogradLoops& loops, WinogradForm form, WinogradStorage storage, int threads,
                         int most_threads) const {
    const Winograd winograd(loops, form, storage, case_.problem, most_threads);
    const Buffer packed(winograd.weights().bytes() / sizeof(float));
    for (std::size_t panel = 0; panel < winograd.weights().panels(); ++panel) {
      winograd.weights().pack(weights_.data(), panel, packed.data());
    }
    const Image input(input_.size(), case_.problem.input_number);
    input.set({input_.data(), input_.size()});
    const Image output(residual_.size(), case_.problem.output_number);
    const Image other(residual_.size(), case_.problem.output_number);
    (case_.in_place ? output : other).set({residual_.data(), residual_.size()});
    if (!case_.in_place) {
      output.set(std::vector<float>(residual_.size(), std::numeric_limits<float>::quiet_NaN()));
    }
    const Buffer scratch(winograd.scratch_bytes() / sizeof(float));
    const void* const residual = (case_.in_place ? output : other).data();
    winograd.run({input.data(), packed.data(), case_.bias ? bias_.data() : nullptr, case_.residual ? residual : nullptr,
                  output.data(), scratch.data(), case_.activation},
                 threads);
    return output.values();
  }

  // Makes every element of the images one that bfloat16 has.
  void round_images() {
    for (const Buffer* buffer : {&input_, &residual_}) {
      for (std::size_t i = 0; i < buffer->size(); ++i) buffer->data()[i] = from_bf16(to_bf16(buffer->data()[i]));
    }
  }

  // The relative root mean square error against float64. Fails where an unused channel is not zero.
  double error(std::span<const float> output) const {
    const WinogradProblem& p = case_.problem;
    double difference = 0;
    double square = 0;
    for (I n = 0; n < p.batch; ++n) {
      for (I k = 0; k < round_up(p.outputs, output_layout_.lanes); ++k) {
        for (I y = 0; y < p.output_height; ++y) {
          for (I x = 0; x < p.output_width; ++x) {
            const I at = output_layout_.at(n, k, y, x);
            const double actual = output[static_cast<std::size_t>(at)];
            const double expected = k < p.outputs ? reference(n, k, y, x, at) : 0;
            if (k >= p.outputs) {
              EXPECT_EQ(actual, 0);
            }
            difference += (actual - expected) * (actual - expected);
            square += expected * expected;
          }
        }
      }
    }
    return std::sqrt(difference / std::max(square, 1e-30));
  }

 private:
  double reference(I n, I k, I y, I x, I at) const {
    const WinogradProblem& p = case_.problem;
    double sum = case_.bias ? bias_[k] : 0;
    const double residual = case_.residual ? residual_[at] : 0;
    const bool last = case_.activation.residual_last;
    if (!last) sum += residual;
    for (I r = 0; r < 3; ++r) {
      for (I s = 0; s < 3; ++s) {
        const I row = y * p.stride + r * p.dilation_y - p.pad_top;
        const I column = x * p.stride + s * p.dilation_x - p.pad_left;
        if (row < 0 || row >= p.height || column < 0 || column >= p.width) continue;
        for (I c = 0; c < p.inputs; ++c) {
          sum += static_cast<double>(input_[input_layout_.at(n, c, row, column)]) *
                 weights_[(k * p.inputs + c) * 9 + r * 3 + s];
        }
      }
    }
    return apply(case_.activation, sum) + (last ? residual : 0);
  }

  const Case& case_;
  Blocked input_layout_;
  Blocked output_layout_;
  Buffer input_;
  Buffer weights_;
  Buffer bias_;
  Buffer residual_;
};

std::string describe(const WinogradProblem& p) {
  std::string text;
  for (const I value :
       {p.batch, p.inputs, p.outputs, p.height, p.width, p.pad_top, p.pad_left, p.output_height, p.output_width}) {
    text += std::to_string(value) + " ";
  }
  return text;
}

struct Variant {
  const char* name;
  WinogradForm form;
  I stride;
  friend void PrintTo(const Variant& variant, std::ostream* out) { *out << variant.name; }
};

class WinogradTest : public ::testing::TestWithParam<Variant> {
 protected:
  static WinogradForm form() { return GetParam().form; }

  static WinogradProblem make_problem(I batch, I inputs, I outputs, I height, I width, I top, I left, I bottom,
                                      I right) {
    const auto size = [](I input, I pads) { return (input + pads - 3) / GetParam().stride + 1; };
    WinogradProblem problem{
        batch, inputs, outputs, height, width, top, left, size(height, top + bottom), size(width, left + right)};
    problem.stride = GetParam().stride;
    return problem;
  }

  // Runs `c` on every instruction set that the CPU has.
  static void check(const Case& c, double bound, unsigned seed) {
    for (const WinogradLoopsRow& row : winograd_loops_rows()) {
      if (!row.supported()) continue;
      const Experiment experiment(c, static_cast<I>(row.loops->lanes), seed);
      const std::vector<float> one = experiment.run(*row.loops, form(), WinogradStorage::kTransformed, 1, 1);
      EXPECT_LT(experiment.error(one), bound) << row.name << ": " << describe(c.problem);
      for (int threads = 2; threads <= 4; ++threads) {
        for (const auto storage : {WinogradStorage::kTransformed, WinogradStorage::kPlain}) {
          const std::vector<float> other = experiment.run(*row.loops, form(), storage, threads - seed % 2, threads);
          EXPECT_EQ(std::memcmp(one.data(), other.data(), one.size() * sizeof(float)), 0)
              << row.name << ", " << threads << " threads: " << describe(c.problem);
        }
      }
    }
  }
};

// With room for few channels, whose sums have little to average over.
constexpr double kBound = 3e-6;

TEST_P(WinogradTest, AgreesWithTheDefinition) {
  std::mt19937 random(1);
  const auto below = [&](I first, I last) { return std::uniform_int_distribution<I>(first, last)(random); };
  for (unsigned i = 0; i < 40; ++i) {
    // Least sizes of 2, so that there is an output without padding.
    const I pad[] = {below(0, 1), below(0, 1), below(0, 1), below(0, 1)};
    const I height = below(3 - pad[0] - pad[2], 40);
    const I width = below(3 - pad[1] - pad[3], 40);
    Case c{make_problem(below(1, 3), below(1, 70), below(1, 70), height, width, pad[0], pad[1], pad[2], pad[3])};
    c.bias = below(0, 1) == 1;
    c.residual = below(0, 1) == 1;
    c.in_place = below(0, 1) == 1;
    check(c, kBound, i);
  }
}

TEST_P(WinogradTest, AgreesWithTheDefinitionWhenDilated) {
  if (GetParam().stride != 1) GTEST_SKIP() << "no dilation with a stride";
  std::mt19937 random(2);
  const auto below = [&](I first, I last) { return std::uniform_int_distribution<I>(first, last)(random); };
  for (unsigned i = 0; i < 20; ++i) {
    const I dilation[] = {below(1, 7), below(1, 7)};
    const I pad[] = {below(0, dilation[0] + 1), below(0, dilation[1] + 1)};
    const I height = below(std::max<I>(2 * dilation[0] + 1 - 2 * pad[0], 1), 30);
    const I width = below(std::max<I>(2 * dilation[1] + 1 - 2 * pad[1], 1), 30);
    Case c{{below(1, 2), below(1, 40), below(1, 40), height, width, pad[0], pad[1],
            height + 2 * pad[0] - 2 * dilation[0], width + 2 * pad[1] - 2 * dilation[1], dilation[0], dilation[1]}};
    c.residual = true;
    check(c, kBound, i);
  }
}

TEST_P(WinogradTest, AppliesActivations) {
  const ImageActivation activations[] = {ImageActivation::relu(),          {Kind::kClip, -0.5F, 1.5F},
                                         {Kind::kClip, 0.5F, 1.5F},        {Kind::kLeakyRelu, 0.2F, 0},
                                         {Kind::kHardSigmoid, 0.2F, 0.5F}, {Kind::kHardSwish, 0, 0},
                                         {Kind::kSigmoid, 1, 0},           {Kind::kSwish, 1.7F, 0}};
  for (const ImageActivation& activation : activations) {
    for (const I outputs : {32, 21}) {
      Case c{make_problem(1, 20, outputs, 11, 13, 1, 1, 1, 1)};
      c.activation = activation;
      check(c, kBound, 5);
      c.residual = true;
      check(c, kBound, 6);
      c.activation.residual_last = c.in_place = true;
      check(c, kBound, 7);
    }
  }
}

TEST_P(WinogradTest, HasTheAccuracyOfFloat32) {
  for (const I channels : {64, 512}) {
    check({make_problem(1, channels, 24, 38, 38, 1, 1, 1, 1), false}, 2e-6, 7);
  }
}

// Images of bfloat16 give what the same images of float32 give, rounded; also what cannot be rounded up.
TEST_P(WinogradTest, ReadsAndWritesBfloat16) {
  for (const WinogradLoopsRow& row : winograd_loops_rows()) {
    if (!row.supported()) continue;
    for (const float added_bias : {0.0F, 3e38F, std::numeric_limits<float>::quiet_NaN(), 1.0F}) {
      Case c{make_problem(2, 40, 37, 13, 18, 1, 0, 1, 1)};
      c.activation.residual_last = added_bias == 1.0F;
      c.residual = true;
      const auto run = [&](ImageNumber input, ImageNumber output, bool in_place, int threads) {
        c.problem.input_number = input;
        c.problem.output_number = output;
        c.in_place = in_place;
        Experiment experiment(c, static_cast<I>(row.loops->lanes), 3, added_bias);
        experiment.round_images();
        return experiment.run(*row.loops, form(), WinogradStorage::kPlain, threads, threads);
      };
      using enum ImageNumber;
      const std::vector<float> wide = run(kFloat32, kFloat32, false, 1);
      for (const ImageNumber input : {kFloat32, kBfloat16}) {
        for (const bool in_place : {false, true}) {
          const std::vector<float> half = run(input, kBfloat16, in_place, 2);
          ASSERT_EQ(half.size(), wide.size());
          for (std::size_t i = 0; i < wide.size(); ++i) {
            ASSERT_EQ(to_bf16(half[i]), to_bf16(wide[i])) << row.name << ", element " << i << ": " << wide[i];
          }
        }
      }
      const std::vector<float> same = run(kBfloat16, kFloat32, false, 2);
      EXPECT_EQ(std::memcmp(same.data(), wide.data(), wide.size() * sizeof(float)), 0) << row.name;
    }
  }
}

// A value that is not a number is no channel's maximum, and stays one through each activation.
TEST_P(WinogradTest, KeepsNan) {
  for (const WinogradLoopsRow& row : winograd_loops_rows()) {
    if (!row.supported()) continue;
    for (const Kind kind :
         {Kind::kClip, Kind::kLeakyRelu, Kind::kHardSigmoid, Kind::kHardSwish, Kind::kSigmoid, Kind::kSwish}) {
      Case c{make_problem(1, 16, 16, 8, 8, 1, 1, 1, 1)};
      c.activation = {kind, 0, 1};
      const Experiment experiment(c, static_cast<I>(row.loops->lanes), 9, std::numeric_limits<float>::quiet_NaN());
      for (const float value : experiment.run(*row.loops, form(), WinogradStorage::kPlain, 1, 1)) {
        EXPECT_TRUE(std::isnan(value)) << row.name << ", activation " << static_cast<int>(kind);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, WinogradTest,
                         ::testing::Values(Variant{"F2", WinogradForm::kF2, 1}, Variant{"F4", WinogradForm::kF4, 1},
                                           Variant{"F2Stride2", WinogradForm::kF2, 2},
                                           Variant{"F4Stride2", WinogradForm::kF4, 2}),
                         [](const auto& variant) { return std::string(variant.param.name); });

}  // namespace
}  // namespace lanner::kernels
