#include "compile/trial.h"

#include <gtest/gtest.h>

#include "base/error_testing.h"
#include "compile/precision_testing.h"
#include "vm/session_testing.h"

namespace lanner::compiler {
namespace {

using base::testing::reason_of;
using testing::two_dense_parts;

std::vector<std::string> names(const NamedValues& values) {
  std::vector<std::string> result;
  for (const auto& [name, value] : values) result.push_back(name);
  return result;
}

TEST(Trial, WhatFollowsASelectionIsRunByItself) {
  const program::Program program = two_dense_parts(5);
  const std::vector<NamedValues> samples(2, generated_sample(program));
  const std::vector<Trial> trials = make_trials(program, samples);
  ASSERT_EQ(trials.size(), 2U);
  EXPECT_EQ(trials[0].origin, std::vector<std::size_t>({0}));
  EXPECT_EQ(trials[1].origin, std::vector<std::size_t>({4}));
  const std::vector<NamedValues> whole = run_samples(program, samples);
  for (std::size_t sample = 0; sample < samples.size(); ++sample) {
    EXPECT_EQ(names(trials[0].expected[sample]), std::vector<std::string>({"y"}));
    EXPECT_EQ(names(trials[1].expected[sample]), std::vector<std::string>({"z"}));
    EXPECT_EQ(elements<float>(trials[0].expected[sample], "y"), elements<float>(whole[sample], "y"));
    EXPECT_EQ(elements<float>(trials[1].expected[sample], "z"), elements<float>(whole[sample], "z"));
  }
  for (const Trial& trial : trials) {
    const std::vector<NamedValues> again = run_samples(trial.program, trial.inputs);
    const std::string name = trial.program.output_names.front();
    EXPECT_EQ(elements<float>(again[1], name), elements<float>(trial.expected[1], name));
  }
}

// A size is no selection: what depends on it depends on no element.
TEST(Trial, ShapesAreNoSelection) {
  const program::Program program = program::parse(R"(program 1
constant 0 float32[2,2]{1, 2, 3, 4}
output "z"
main {
  slot 0 "x" float32[3,2]
  slot 1 "y" float32[3,2]
  slot 2 "shape" int64[2]
  slot 3 "z" float32[3,2]
  inputs(0)
  1 = Subgraph(0) on onednn block body {
    slot 0 "x" float32[3,2]
    slot 1 "a" float32[2,2]
    slot 2 "y" float32[3,2]
    inputs(0)
    const 1 0
    2 = MatMul(0, 1)
    outputs(2)
  }
  2 = Shape(1) after(0)
  3 = Reshape(1, 2) after(0, 1)
  outputs(3)
}
)");
  const std::vector<Trial> trials = make_trials(program, {generated_sample(program)});
  ASSERT_EQ(trials.size(), 1U);
  EXPECT_EQ(names(trials[0].expected[0]), std::vector<std::string>({"y", "z"}));
}

TEST(Trial, GeneratedSamplesNeedKnownShapes) {
  const program::Program program = two_dense_parts(5);
  const NamedValues sample = generated_sample(program);
  EXPECT_EQ(names(sample), std::vector<std::string>({"x"}));
  for (const float value : elements<float>(sample, "x")) {
    EXPECT_GE(value, 0.0F);
    EXPECT_LT(value, 1.0F);
  }
  EXPECT_EQ(elements<float>(sample, "x"), elements<float>(generated_sample(program), "x"));
  program::Program open = program;
  open.main.slots[0].type.dims[0].size = -1;
  EXPECT_EQ(reason_of([&] { generated_sample(open); }), "input.missing");
}

}  // namespace
}  // namespace lanner::compiler
