// Tuning programs that hold a subgraph each, without compiling a model.
#include "compile/tuning.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "backends/backend_testing.h"
#include "base/error_testing.h"
#include "base/fail.h"
#include "compile/tuning_cache.h"
#include "lanner/compile.h"
#include "program/file.h"
#include "program/text.h"
#include "program/verify.h"

namespace lanner::compiler {
namespace {

using backends::TuneLevel;
using backends::testing::BlockWriter;
using backends::testing::random_tensor;
using base::testing::reason_of;
using nlohmann::json;
using tensor::ValueType;

constexpr const char* kNoReport = R"({"nodes": [], "rules": []})";

// Two convolutions of 3 × 3 and one of 1 × 1 as a subgraph of oneDNN's; with `inside`, in the branches of an If.
program::Program program_of(const ValueType& input, bool inside = false) {
  const std::vector<std::int64_t> ones{1, 1, 1, 1};
  BlockWriter body;
  auto x = body.input(input);
  x = body.add("Conv", {x, body.constant(random_tensor({32, 16, 3, 3}, 1))}, {{"pads", ones}});
  x = body.add("Conv", {x, body.constant(random_tensor({32, 32, 3, 3}, 2))}, {{"pads", ones}});
  body.output(body.add("Conv", {x, body.constant(random_tensor({8, 32, 1, 1}, 3))}));
  program::set_data_dependencies(body.block);

  BlockWriter main;
  const auto y = main.add("Subgraph", {main.input(input)});
  program::Instruction& subgraph = main.block.instructions[0];
  subgraph.backend = "onednn";
  subgraph.blocks.push_back({"body", body.block});
  main.output(y);

  program::Program program;
  program.constants = body.constants;
  program.main = main.block;
  if (inside) {
    BlockWriter outer;
    const auto condition = outer.input(ValueType::tensor(ElementType::kBool, Shape{}));
    outer.output(outer.add("If", {condition, outer.input(input)}));
    program::Instruction& branch = outer.block.instructions[0];
    branch.blocks = {{"then_branch", main.block}, {"else_branch", main.block}};
    branch.capture_count = 1;
    program.main = outer.block;
  }
  program.output_names = {"y"};
  program::verify(program);
  return program;
}

const ValueType kInput = ValueType::tensor(ElementType::kFloat32, Shape{1, 16, 20, 20});

program::Instruction& subgraph_of(program::Program& program) {
  return program.main.instructions[0];
}

std::string algorithm_of(program::Program& program, std::size_t instruction) {
  return subgraph_of(program).blocks[0].block.instructions[instruction].attributes.get_string(
      backends::kAlgorithmAttribute, "");
}

std::string tuned_for(program::Program& program) {
  return subgraph_of(program).attributes.get_string(backends::kTunedForAttribute, "");
}

const backends::Backend& onednn() {
  return *backends::find_backend("onednn");
}

// With a cache folder of its own.
class TuningTest : public ::testing::Test {
 protected:
  TuningTest() {
    std::string name = ::testing::TempDir() + "tuning_XXXXXX";
    folder_ = ::mkdtemp(name.data());
    ::setenv("LANNER_CACHE_DIR", folder_.c_str(), 1);
  }
  ~TuningTest() override {
    ::unsetenv("LANNER_CACHE_DIR");
    std::filesystem::remove_all(folder_);
  }

  json tune(program::Program& program, TuneLevel level = TuneLevel::kFast, const std::string& report = kNoReport) {
    report_ = tune_program(program, report, {.level = level, .threads = 1});
    return json::parse(report_).at("tuning");
  }
  json explained(const program::Program& program) const {
    return json::parse(explain_algorithms(program, report_, 1)).at("algorithms");
  }

  // As if `algorithm` had been measured as the fastest of all, and all others alike.
  void falsify_cache(const std::string& algorithm) const {
    for (const auto& file : std::filesystem::directory_iterator(folder_)) {
      json content = json::parse(base::read_file(file.path()));
      for (auto& problem : content["problems"]) {
        for (auto& [name, us] : problem["us"].items()) us = name == algorithm ? 0.5 : 1;
      }
      base::write_file_atomically(file.path(), content.dump());
    }
  }

  std::filesystem::path folder_;
  std::string report_ = kNoReport;
};

TEST_F(TuningTest, ChoicesAreWrittenWithWhatTheyAreFor) {
  program::Program program = program_of(kInput);
  const json tuning = tune(program, TuneLevel::kFull);
  EXPECT_EQ(tuning.at("level"), "full");
  EXPECT_EQ(tuning.at("threads"), 1);
  EXPECT_GT(tuning.at("peak_gflops"), 0);
  EXPECT_EQ(tuning.at("backends").at("onednn").at("target"), onednn().tuning_target());
  EXPECT_EQ(tuning.at("backends").at("onednn").at("problems").size(), 3U);
  EXPECT_EQ(tuned_for(program), onednn().tuning_target());
  const json rows = explained(program);
  ASSERT_EQ(rows.size(), 3U);
  for (const std::size_t i : {0, 1, 2}) {
    EXPECT_EQ(rows[i].at("reason"), "measured");
    EXPECT_EQ(rows[i].at("backend"), "onednn");
    EXPECT_EQ(rows[i].at("node"), "Conv_" + std::to_string(i));
    EXPECT_NEAR(rows[i].at("gflops"), 2e-3 * rows[i].at("macs").get<double>() / rows[i].at("us").get<double>(), 1e-6);
    EXPECT_GT(rows[i].at("of_peak"), 0);
    EXPECT_EQ(algorithm_of(program, i), i == 2 ? "" : rows[i].at("algorithm")) << "there is one for 1 × 1";
  }
}

TEST_F(TuningTest, WhatWasMeasuredIsNotMeasuredAgain) {
  program::Program program = program_of(kInput);
  tune(program, TuneLevel::kFull);
  for (const std::string algorithm : {"winograd-f2-plain", "direct"}) {
    falsify_cache(algorithm);
    for (const TuneLevel level : {TuneLevel::kFull, TuneLevel::kFast}) {
      tune(program, level);
      EXPECT_EQ(algorithm_of(program, 0), algorithm);
      EXPECT_EQ(explained(program)[0].at("us"), 0.5);
    }
  }
}

TEST_F(TuningTest, AFastMeasurementIsNotThoroughEnough) {
  program::Program program = program_of(kInput);
  tune(program, TuneLevel::kFast);
  falsify_cache("direct");
  for (const TuneLevel level : {TuneLevel::kFast, TuneLevel::kFull}) {
    tune(program, level);
    const json rows = explained(program);
    for (const json& candidate : rows[1].at("candidates")) {
      if (candidate.at("us").is_null()) continue;
      const bool false_time = candidate.at("us") == 1 || candidate.at("us") == 0.5;
      EXPECT_EQ(false_time, level == TuneLevel::kFast) << candidate;
    }
  }
}

TEST_F(TuningTest, SubgraphsInsideBranchesAreTunedToo) {
  program::Program program = program_of(kInput, true);
  tune(program, TuneLevel::kFull);
  EXPECT_EQ(explained(program).size(), 6U);
  for (program::NamedBlock& branch : program.main.instructions[0].blocks) {
    EXPECT_TRUE(branch.block.instructions[0].attributes.has(backends::kTunedForAttribute)) << branch.name;
  }
}

TEST_F(TuningTest, OpenShapesAreNotMeasured) {
  ValueType open = kInput;
  open.dims[2] = {};
  program::Program program = program_of(open);
  const json tuning = tune(program, TuneLevel::kFull);
  EXPECT_TRUE(tuning.at("backends").at("onednn").at("problems").empty());
  EXPECT_EQ(tuned_for(program), "");
  for (const json& row : explained(program)) EXPECT_EQ(row.at("reason"), "open");
}

TEST_F(TuningTest, OpenShapesAreMeasuredAsInTheSample) {
  ValueType open = kInput;
  open.dims[2] = {};
  program::Program program = program_of(open);
  const std::string input = program.main.slots[program.main.inputs[0]].name;
  const NamedValues sample{{input, random_tensor({1, 16, 24, 20}, 4)}};
  report_ = tune_program(program, kNoReport, {.level = TuneLevel::kFull, .threads = 1, .sample = &sample});
  const json tuning = json::parse(report_).at("tuning");
  EXPECT_EQ(tuning.at("input_shapes"), json::parse("[[[1, 16, 24, 20]]]"));
  EXPECT_EQ(tuning.at("backends").at("onednn").at("problems").size(), 3U);
  EXPECT_EQ(tuned_for(program), onednn().tuning_target());
  EXPECT_FALSE(program.main.slots[program.main.inputs[0]].type.static_shape().has_value()) << "it stays open";
  for (const json& row : explained(program)) {
    EXPECT_EQ(row.at("reason"), "measured");
    EXPECT_THAT(row.at("problem").get<std::string>(), ::testing::HasSubstr("x24x20 by "));
  }
  const NamedValues wrong{{"z", random_tensor({1}, 4)}};
  EXPECT_EQ(reason_of([&] { tune_program(program, kNoReport, {.threads = 1, .sample = &wrong}); }), "input.unknown");
}

TEST_F(TuningTest, ExplainsWhereNothingWasMeasured) {
  program::Program program = program_of(kInput);
  json rows = explained(program);
  EXPECT_EQ(rows[0].at("reason"), "expected");
  EXPECT_TRUE(rows[0].at("us").is_null() && rows[0].at("gflops").is_null() && rows[0].at("of_peak").is_null());
  EXPECT_GT(rows[0].at("candidates").size(), 1U);
  const std::string expected = rows[0].at("algorithm");

  auto& attributes = subgraph_of(program).blocks[0].block.instructions[0].attributes;
  attributes.set(std::string(backends::kAlgorithmAttribute), std::string("direct"));
  rows = explained(program);
  EXPECT_EQ(rows[0].at("reason"), "given");
  EXPECT_EQ(rows[0].at("algorithm"), "direct");
  EXPECT_EQ(rows[1].at("reason"), "expected");

  // As if loaded on a CPU that it was not tuned for.
  subgraph_of(program).attributes.set(std::string(backends::kTunedForAttribute), std::string("another CPU"));
  rows = explained(program);
  EXPECT_EQ(rows[0].at("reason"), "elsewhere");
  EXPECT_EQ(rows[0].at("algorithm"), expected);
}

TEST_F(TuningTest, TimesOfAnotherCpuAreNotShown) {
  program::Program program = program_of(kInput);
  tune(program, TuneLevel::kFull);
  json report = json::parse(report_);
  report["tuning"]["backends"]["onednn"]["target"] = "another CPU";
  report_ = report.dump();
  EXPECT_TRUE(explained(program)[0].at("us").is_null());
}

TEST_F(TuningTest, AFileIsTunedAgain) {
  program::Program program = program_of(kInput);
  subgraph_of(program).attributes.set(std::string(backends::kTunedForAttribute), std::string("another CPU"));
  subgraph_of(program).blocks[0].block.instructions[2].attributes.set(std::string(backends::kAlgorithmAttribute),
                                                                      std::string("direct"));
  const std::filesystem::path file = folder_ / "old.lanner";
  program::write_file(file, program, kNoReport);
  EXPECT_EQ(compile(file).to_text(), Program::load(file).to_text()) << "unless told to, it stays as it is";

  CompileOptions options;
  options.tune = "full";
  options.threads = 1;
  const Program tuned = compile(file, options);
  tuned.save(folder_ / "new.lanner");
  program = program::parse(Program::load(folder_ / "new.lanner").to_text());
  EXPECT_EQ(tuned_for(program), onednn().tuning_target());
  EXPECT_EQ(algorithm_of(program, 2), "") << "what was chosen before is gone";
  EXPECT_EQ(json::parse(explain(Program::load(folder_ / "new.lanner"), 1)).at("algorithms")[0].at("reason"),
            "measured");
}

TEST_F(TuningTest, ReportsFromAnywhere) {
  program::Program program = program_of(kInput);
  for (const char* report : {"", "no JSON", "[1]", "{}"})
    EXPECT_TRUE(tune(program, TuneLevel::kFast, report).is_object());
  for (const char* report : {"", "[1", R"({"tuning": 1})", R"({"tuning": {"backends": {}}})",
                             R"({"tuning": {"backends": {"onednn": {}}, "peak_gflops": 1}})",
                             R"({"tuning": {"backends": {}, "peak_gflops": "high"}})",
                             R"({"tuning": {"backends": {}, "peak_gflops": 1, "input_shapes": [["a"]]}})",
                             R"({"tuning": {"backends": {}, "peak_gflops": 1, "input_shapes": [[[-1]]]}})"}) {
    EXPECT_EQ(reason_of([&] { explain_algorithms(program, report, 1); }), "report.invalid") << report;
  }
  json report = json::parse(kNoReport);
  report["tuning"] = {
      {"peak_gflops", 1},
      {"backends",
       {{"onednn",
         {{"target", onednn().tuning_target()}, {"problems", {{"a", {{"level", "best"}, {"us", json::object()}}}}}}}}}};
  EXPECT_EQ(reason_of([&] { explain_algorithms(program, report.dump(), 1); }), "report.invalid");
}

TEST(TuneLevels, AreThree) {
  for (const TuneLevel level : {TuneLevel::kOff, TuneLevel::kFast, TuneLevel::kFull}) {
    EXPECT_EQ(parse_tune_level(tune_level_name(level)), level);
  }
  for (const char* name : {"", "Fast", "best", "off "}) {
    EXPECT_EQ(reason_of([&] { parse_tune_level(name); }), "option.tune") << name;
  }
}

}  // namespace
}  // namespace lanner::compiler
