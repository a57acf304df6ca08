// Choosing algorithms for blocks. What decides between times is tested in contest_test.cpp, with times that are made
// up.
#include "backends/onednn/tuning.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "backends/backend_testing.h"
#include "backends/onednn/engine.h"
#include "base/error_testing.h"

namespace lanner::backends::testing {
namespace {

using onednn::entrants;

// Three convolutions of 3 × 3, the last two alike, one of 1 × 1, and a product.
BlockWriter network(tensor::ValueType input) {
  const std::pair<std::string, tensor::Attribute> pads{"pads", std::vector<std::int64_t>{1, 1, 1, 1}};
  BlockWriter writer;
  auto x = writer.add(
      "Conv", {writer.input(std::move(input)), writer.constant(random_tensor({32, 16, 3, 3}, 1, 0, 0.1F))}, {pads});
  const auto w = writer.constant(random_tensor({32, 32, 3, 3}, 2, 0, 0.1F));
  x = writer.add("FusedConv", {x, w}, {pads, {"activation", std::string("Relu")}});
  x = writer.add("FusedConv", {x, w}, {pads, {"activation", std::string("Relu")}});
  writer.output(writer.add("Conv", {x, writer.constant(random_tensor({8, 32, 1, 1}, 3))}));
  writer.output(writer.add("MatMul", {x, writer.constant(random_tensor({20, 8}, 4))}));
  return writer;
}

const Shape kInput{1, 16, 20, 20};

BlockWriter network() {
  return network(tensor::ValueType::tensor(ElementType::kFloat32, kInput));
}

const Backend& backend() {
  return *find_backend("onednn");
}

std::vector<Choice> choices_of(const BlockWriter& writer, std::string tuned_for = "") {
  return backend().choices(writer.block, writer.constants, {.threads = 1, .tuned_for = std::move(tuned_for)});
}

void set_algorithm(BlockWriter& writer, std::size_t instruction, const std::string& algorithm) {
  writer.block.instructions[instruction].attributes.set(std::string(kAlgorithmAttribute), algorithm);
}

// As if each algorithm had been measured, `fastest` as the fastest.
Measurement made_up(const Choice& choice, std::string_view fastest, TuneLevel level = TuneLevel::kFull) {
  Measurement measurement{{}, level};
  for (const Choice::Candidate& candidate : choice.candidates) {
    measurement.timings.push_back({candidate.algorithm, candidate.algorithm == fastest ? 1.0 : 2.0});
  }
  return measurement;
}

// A quick measurement takes the first few.
TEST(Tuning, CandidatesAreInTheOrderOfTheirExpectations) {
  BlockWriter writer;
  const auto conv =
      writer.add("Conv", {writer.input({1, 32, 40, 40}), writer.constant(random_tensor({64, 32, 3, 3}, 1))},
                 {{"precision", std::string("bf16")}, {"pads", std::vector<std::int64_t>(4, 1)}});
  writer.output(conv);
  writer.output(writer.add("MatMul", {writer.input({500, 800}), writer.constant(random_tensor({800, 300}, 2))},
                           {{"precision", std::string("bf16")}}));
  const std::size_t fewest = onednn::has_bf16() ? 4 : 2;
  for (const Choice& choice : choices_of(writer)) {
    EXPECT_GE(choice.candidates.size(), fewest) << choice.problem;
    EXPECT_EQ(choice.algorithm, choice.candidates.front().algorithm) << choice.problem;
    EXPECT_TRUE(std::ranges::is_sorted(choice.candidates, {}, [](const Choice::Candidate& candidate) {
      return priced(candidate.expected, candidate.weight_bytes);
    })) << choice.problem;
  }
}

// Little is gained by a lot of memory.
TEST(Tuning, MemoryHasAPrice) {
  BlockWriter writer;
  writer.output(writer.add("Conv",
                           {writer.input({1, 512, 38, 38}), writer.constant(random_tensor({512, 512, 3, 3}, 1))},
                           {{"pads", std::vector<std::int64_t>(4, 1)}}));
  const Choice choice = choices_of(writer)[0];
  if (choice.candidates.size() < 2) GTEST_SKIP() << "no Winograd on this CPU";
  const auto chosen = [&](double transformed_us) {
    Measurement measurement{{}, TuneLevel::kFull};
    for (const Choice::Candidate& candidate : choice.candidates) {
      const std::string& name = candidate.algorithm;
      const double us = name == "winograd-f4" ? transformed_us : name == "winograd-f4-plain" ? 100.0 : 1000.0;
      measurement.timings.push_back({name, us});
    }
    Measurements measurements{{choice.problem, measurement}};
    return backend().tune(writer.block, writer.constants, {.threads = 1, .level = TuneLevel::kFull}, measurements)[0];
  };
  EXPECT_EQ(chosen(95).algorithm, "winograd-f4-plain") << "36 MiB instead of 9 for 5 %";
  EXPECT_EQ(chosen(70).algorithm, "winograd-f4");
}

TEST(Tuning, SmallMemoryLeavesOutTransformedWeights) {
  BlockWriter writer = network();
  const std::vector<Choice> fast = choices_of(writer);
  for (program::Instruction& instruction : writer.block.instructions) {
    instruction.attributes.set(std::string(kMemoryAttribute), std::string("small"));
  }
  // A name from elsewhere does not get around it.
  set_algorithm(writer, 0, "winograd-f4");
  const std::vector<Choice> small = choices_of(writer);
  EXPECT_EQ(small[0].problem, fast[0].problem + ", small weights");
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_LT(small[i].candidates.size(), fast[i].candidates.size());
    EXPECT_NE(small[i].algorithm, "winograd-f4");
    for (const Choice::Candidate& candidate : small[i].candidates) {
      EXPECT_TRUE(candidate.algorithm == "direct" || candidate.algorithm.ends_with("-plain")) << candidate.algorithm;
    }
  }
  writer.block.instructions[0].attributes.set(std::string(kMemoryAttribute), std::string("tiny"));
  EXPECT_EQ(base::testing::reason_of([&] { choices_of(writer); }), "op.attribute");
}

TEST(Tuning, ChoicesNameProblemsAndCandidates) {
  const std::vector<Choice> choices = choices_of(network());
  ASSERT_EQ(choices.size(), 5U);
  EXPECT_EQ(choices[0].problem, "1x16x20x20 by 32x16x3x3, pad 1x1x1x1");
  EXPECT_EQ(choices[1].problem, "1x32x20x20 by 32x32x3x3, pad 1x1x1x1, Relu");
  EXPECT_EQ(choices[2].problem, choices[1].problem);
  EXPECT_EQ(choices[3].problem, "1x32x20x20 by 8x32x1x1");
  EXPECT_EQ(choices[4].problem, "640x20 by 20x8");
  EXPECT_EQ(choices[1].macs, 32.0 * 20 * 20 * 32 * 9);
  EXPECT_EQ(choices[4].macs, 640.0 * 20 * 8);
  ASSERT_EQ(choices[3].candidates.size(), 1U);
  EXPECT_EQ(choices[3].algorithm, "direct");
  for (const Choice& choice : choices) {
    EXPECT_EQ(choice.instruction, static_cast<std::size_t>(&choice - choices.data()));
    EXPECT_TRUE(std::ranges::is_sorted(choice.candidates, {}, &Choice::Candidate::expected));
    EXPECT_EQ(choice.algorithm, choice.candidates.front().algorithm) << "nothing was chosen otherwise";
  }
}

TEST(Tuning, ProblemsDifferWhereTimesMay) {
  const std::vector<std::int64_t> ones{1, 1, 1, 1};
  BlockWriter writer;
  const auto x = writer.input({1, 8, 9, 7});
  const auto w = writer.constant(random_tensor({8, 8, 3, 3}, 1));
  const auto bias = writer.constant(random_tensor({8}, 1));
  const auto add = [&](std::vector<SlotIndex> inputs, auto... attributes) {
    return writer.add("FusedConv", std::move(inputs), {{"pads", ones}, attributes...});
  };
  using Given = std::pair<std::string, tensor::Attribute>;
  const auto y = add({x, w});
  add({x, w, bias});
  add({x, w, bias, y}, Given{"activation", std::string("Sigmoid")});
  add({x, w, bias, y}, Given{"activation", std::string("Sigmoid")}, Given{"residual_last", std::int64_t{1}});
  add({x, w}, Given{"strides", std::vector<std::int64_t>{2, 1}});
  add({x, writer.constant(random_tensor({8, 2, 3, 3}, 1))}, Given{"group", std::int64_t{4}});
  add({x, w}, Given{"dilations", std::vector<std::int64_t>{2, 2}});
  const std::vector<Choice> choices = choices_of(writer);
  const char* const expected[] = {"1x8x9x7 by 8x8x3x3, pad 1x1x1x1",
                                  "1x8x9x7 by 8x8x3x3, pad 1x1x1x1, bias",
                                  "1x8x9x7 by 8x8x3x3, pad 1x1x1x1, bias, residual, Sigmoid",
                                  "1x8x9x7 by 8x8x3x3, pad 1x1x1x1, bias, Sigmoid, residual",
                                  "1x8x9x7 by 8x8x3x3, stride 2x1, pad 1x1x1x1",
                                  "1x8x9x7 by 8x2x3x3, pad 1x1x1x1",
                                  "1x8x9x7 by 8x8x3x3, pad 1x1x1x1, dilation 2x2"};
  ASSERT_EQ(choices.size(), std::size(expected));
  for (std::size_t i = 0; i < choices.size(); ++i) EXPECT_EQ(choices[i].problem, expected[i]);
  EXPECT_EQ(choices[5].macs, 8.0 * 9 * 7 * 2 * 9);
}

// Where a depthwise convolution may be one step with the pointwise one before, both are one problem, and the first is
// still one by itself.
TEST(Tuning, PointwiseAndDepthwiseConvolutionCompeteTogether) {
  BlockWriter writer;
  const std::pair<std::string, tensor::Attribute> relu{"activation", std::string("Relu")};
  const auto between = writer.add(
      "FusedConv", {writer.input({1, 16, 24, 20}), writer.constant(random_tensor({64, 16, 1, 1}, 1))}, {relu});
  writer.output(writer.add("Conv", {between, writer.constant(random_tensor({64, 1, 3, 3}, 2))},
                           {{"group", std::int64_t{64}}, {"pads", std::vector<std::int64_t>(4, 1)}}));
  const std::vector<Choice> choices = choices_of(writer);
  if (choices[1].candidates.size() < 3) GTEST_SKIP() << "not on this CPU";
  EXPECT_EQ(choices[0].problem, "1x16x24x20 by 64x16x1x1, Relu");
  EXPECT_EQ(choices[1].problem, "1x64x24x20 by 64x1x3x3, pad 1x1x1x1, behind 1x1 of 16 Relu");
  EXPECT_EQ(choices[1].macs, 64.0 * 24 * 20 * (16 + 9));
  Measurements measurements;
  backend().tune(writer.block, writer.constants, {.level = TuneLevel::kFull}, measurements);
  ASSERT_NE(measurements.at(choices[0].problem).find("direct"), nullptr) << "measured where it has a step of its own";
  const double pointwise = measurements.at(choices[0].problem).find("direct")->us;
  for (const char* algorithm : {"direct", "depthwise"}) {
    EXPECT_GT(measurements.at(choices[1].problem).find(algorithm)->us, pointwise) << algorithm;
  }
  // What is chosen is remembered, and nothing is measured again.
  const Measurements before = measurements;
  backend().tune(writer.block, writer.constants, {.level = TuneLevel::kFull}, measurements);
  EXPECT_EQ(measurements, before);
}

TEST(Tuning, FusedProductsAreProblemsOfTheirOwn) {
  BlockWriter writer;
  const auto x = writer.input({2, 3, 16});
  const auto w = writer.constant(random_tensor({16, 16}, 1));
  const auto bias = writer.constant(random_tensor({16}, 1));
  const auto y = writer.add("MatMul", {x, w});
  const std::pair<std::string, tensor::Attribute> gelu{"activation", std::string("Gelu")};
  writer.output(writer.add("FusedMatMul", {x, w, bias, y}, {gelu}));
  writer.output(writer.add("FusedMatMul", {x, w, bias, y}, {gelu, {"residual_last", std::int64_t{1}}}));
  const std::vector<Choice> choices = choices_of(writer);
  EXPECT_EQ(choices[0].problem, "6x16 by 16x16");
  EXPECT_EQ(choices[1].problem, "6x16 by 16x16, bias, residual, Gelu");
  EXPECT_EQ(choices[2].problem, "6x16 by 16x16, bias, Gelu, residual");
  EXPECT_GT(choices[1].candidates.size(), 1U);
  Measurements measurements;
  const auto tuned = backend().tune(writer.block, writer.constants, {.level = TuneLevel::kFull}, measurements);
  for (const Choice::Candidate& candidate : choices[1].candidates) {
    EXPECT_NE(measurements.at(choices[1].problem).find(candidate.algorithm), nullptr) << candidate.algorithm;
  }
}

TEST(Tuning, OpenShapesAreLeftToTheFirstRun) {
  tensor::ValueType type = tensor::ValueType::tensor(ElementType::kFloat32, kInput);
  type.dims[2] = {};
  const BlockWriter writer = network(type);
  Measurements measurements;
  for (const std::vector<Choice>& choices :
       {choices_of(writer), backend().tune(writer.block, writer.constants, {}, measurements)}) {
    ASSERT_EQ(choices.size(), 5U);
    for (const Choice& choice : choices) EXPECT_EQ(choice.problem + choice.algorithm, "");
  }
  EXPECT_TRUE(measurements.empty());
}

TEST(Tuning, WhatWasChosenHoldsWhereItWasChosen) {
  BlockWriter writer = network();
  const std::string expected = choices_of(writer)[0].algorithm;
  ASSERT_NE(expected, "direct");
  set_algorithm(writer, 0, "direct");
  EXPECT_EQ(choices_of(writer)[0].algorithm, "direct");
  EXPECT_EQ(choices_of(writer, backend().tuning_target())[0].algorithm, "direct");
  EXPECT_EQ(choices_of(writer, "another CPU")[0].algorithm, expected);
  // What cannot run the problem has no effect anywhere.
  set_algorithm(writer, 3, "winograd-f2");
  EXPECT_EQ(choices_of(writer)[3].algorithm, "direct");
}

TEST(Tuning, TheTargetIsOneLine) {
  const std::string target = backend().tuning_target();
  EXPECT_NE(target.find("oneDNN"), std::string::npos);
  EXPECT_EQ(target.find('\n'), std::string::npos);
  EXPECT_EQ(find_backend("native")->tuning_target(), "") << "it has nothing to tune";
}

TEST(Tuning, TakesTheFastestOfWhatIsKnownWithoutRunning) {
  BlockWriter writer = network();
  set_algorithm(writer, 1, "winograd-f2-plain");  // chosen before, and no longer of interest
  const std::vector<Choice> choices = choices_of(writer);
  for (const std::string fastest : {"direct", "winograd-f2"}) {
    Measurements measurements;
    for (const Choice& choice : choices) measurements[choice.problem] = made_up(choice, fastest);
    const Measurements before = measurements;
    const std::vector<Choice> tuned = backend().tune(
        writer.block, writer.constants,
        {.level = TuneLevel::kFull, .progress = [](double) { ADD_FAILURE() << "something was run"; }}, measurements);
    for (const std::size_t i : {0, 1, 2}) EXPECT_EQ(tuned[i].algorithm, fastest);
    EXPECT_EQ(tuned[4].algorithm, "matmul") << "of equals, the one that was expected";
    EXPECT_EQ(measurements, before);
  }
}

TEST(Tuning, MeasuresWhatIsNotKnownWellEnough) {
  const BlockWriter writer = network();
  const std::vector<Choice> choices = choices_of(writer);
  Measurements measurements;
  for (const Choice& choice : choices) measurements[choice.problem] = made_up(choice, "direct", TuneLevel::kFast);
  // Two problems are known thoroughly, one of them not in all its algorithms.
  measurements[choices[0].problem] = made_up(choices[0], "direct", TuneLevel::kFull);
  measurements[choices[1].problem].level = TuneLevel::kFull;
  measurements[choices[1].problem].timings.pop_back();
  const Measurement known = measurements[choices[0].problem];

  double last = 0;
  const auto progress = [&](double fraction) {
    EXPECT_GE(fraction, last);
    EXPECT_LE(fraction, 1);
    last = fraction;
  };
  const std::vector<Choice> tuned =
      backend().tune(writer.block, writer.constants, {.level = TuneLevel::kFull, .progress = progress}, measurements);
  EXPECT_GT(last, 0);
  EXPECT_EQ(measurements[choices[0].problem], known);
  for (const std::size_t i : {1, 3, 4}) {
    const Measurement& measured = measurements[choices[i].problem];
    EXPECT_EQ(measured.level, TuneLevel::kFull);
    ASSERT_EQ(measured.timings.size(), choices[i].candidates.size());
    for (const Timing& timing : measured.timings) {
      EXPECT_TRUE(std::isfinite(timing.us) && timing.us > 0) << timing.algorithm;
    }
    EXPECT_NE(measured.find(tuned[i].algorithm), nullptr);
  }
  EXPECT_EQ(measurements.size(), 4U) << "equal problems are measured together";
}

TEST(Tuning, FastLeavesOutWhatIsFarFromTheBest) {
  Choice choice;
  choice.candidates = {{"a", 10}, {"b", 12}, {"c", 16}, {"d", 16.5}, {"e", 40}, {"f", INFINITY}};
  EXPECT_EQ(entrants(choice, TuneLevel::kFast), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(entrants(choice, TuneLevel::kFull).size(), 6U);
  choice.candidates = {{"a", 10}, {"b", 40}, {"c", INFINITY}};
  EXPECT_EQ(entrants(choice, TuneLevel::kFast), (std::vector<std::string>{"a"}));
}

TEST(Tuning, WhatHasOneAlgorithmIsMeasuredOnce) {
  BlockWriter writer;
  writer.output(writer.add("Conv", {writer.input(kInput), writer.constant(random_tensor({8, 16, 1, 1}, 3))}));
  Measurements measurements;
  int runs = 0;
  const auto tune = [&] {
    backend().tune(writer.block, writer.constants, {.progress = [&](double) { ++runs; }}, measurements);
    return measurements.begin()->second.find("direct")->us;
  };
  EXPECT_GT(tune(), 0);
  EXPECT_EQ(runs, 3) << "one of them to warm up";
  tune();
  EXPECT_EQ(runs, 3);
}

TEST(Tuning, TheTunedBlockGivesTheSameResults) {
  BlockWriter writer = network();
  Measurements measurements;
  const std::vector<Choice> tuned =
      backend().tune(writer.block, writer.constants, {.level = TuneLevel::kFull}, measurements);
  const Tensor x = random_tensor(kInput, 5);
  const std::vector<Tensor> expected = run(*build("native", writer), {x}, 2);
  for (const Choice& choice : tuned) set_algorithm(writer, choice.instruction, choice.algorithm);
  const std::vector<Tensor> actual = run(*build("onednn", writer), {x}, 2);
  for (std::size_t i = 0; i < 2; ++i) EXPECT_LT(relative_error(expected[i], actual[i]), 4e-6);
}

}  // namespace
}  // namespace lanner::backends::testing
