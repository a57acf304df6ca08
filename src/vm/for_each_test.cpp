// ForEach on text programs: what iterations are given, how results are joined, lanes, errors, the profile.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <stdexcept>

#include "lanner/error.h"
#include "lanner/session.h"
#include "profile/profile.h"
#include "program/text.h"
#include "program/verify.h"
#include "vm/frame.h"
#include "vm/lanes.h"
#include "vm/pool.h"
#include "vm/session_testing.h"

namespace lanner {
namespace {

using ::testing::ElementsAre;

// Of each of three columns, where it is above a limit, and its row beside the limit.
constexpr std::string_view kColumns = R"(program 1
constant 0 int64[]{0}
constant 1 int64[]{1}
constant 2 int64[]{2}
constant 3 int64[1]{1}
output "where"
output "rows"
main {
  slot 0 "x" float32[4,3]
  slot 1 "limit" float32[1]
  slot 2 "first" int64[]
  slot 3 "second" int64[]
  slot 4 "third" int64[]
  slot 5 "where" int64[1,?]
  slot 6 "rows" float32[5,3]
  inputs(0, 1)
  const 2 0
  const 3 1
  const 4 2
  5, 6 = ForEach(2, 3, 4, 0, 1) with {axes=[1, 1], count=3} name "columns" captures 2 block body {
    slot 0 "k" int64[]
    slot 1 "x" float32[4,3]
    slot 2 "limit" float32[1]
    slot 3 "column" float32[4]
    slot 4 "above" bool[4]
    slot 5 "where" int64[1,?]
    slot 6 "all" float32[5]
    slot 7 "axis" int64[1]
    slot 8 "rows" float32[5,1]
    inputs(0, 1, 2)
    const 7 3
    3 = Gather(1, 0) with {axis=1}
    4 = Greater(3, 2) after(0)
    5 = NonZero(4) after(1)
    6 = Concat(3, 2) with {axis=0} after(0)
    8 = Unsqueeze(6, 7) after(3)
    outputs(5, 8)
  }
  outputs(5, 6)
}
)";

NamedValues columns_inputs() {
  return {{"x", Tensor::of<float>({4, 3}, {1, 9, 3, 4, 5, 0, 7, 8, 0, 2, 2, 0})},
          {"limit", Tensor::of<float>({1}, {4})}};
}

TEST(ForEach, GivesEachIterationItsItemsAndJoinsResultsOfAnyLength) {
  Session session(Program::from_text(kColumns), {.threads = 1});
  for (int request = 0; request < 3; ++request) {
    const NamedValues outputs = session.run(columns_inputs());
    EXPECT_THAT(elements<std::int64_t>(outputs, "where"), ElementsAre(2, 0, 1, 2));
    EXPECT_EQ(outputs[1].second.tensor().shape(), Shape({5, 3}));
    EXPECT_THAT(elements<float>(outputs, "rows"), ElementsAre(1, 9, 3, 4, 5, 0, 7, 8, 0, 2, 2, 0, 4, 4, 4));
  }
}

TEST(ForEach, LeavesOutWhatNobodyReads) {
  std::string text(kColumns);
  text.replace(text.find("5, 6 = ForEach"), 14, "_, 6 = ForEach");
  text.replace(text.find("  outputs(5, 6)\n}\n"), 18, "  outputs(6)\n}\n");
  text.replace(text.find("output \"where\"\n"), 15, "");
  Session session(Program::from_text(text), {.threads = 1});
  EXPECT_THAT(elements<float>(session.run(columns_inputs()), "rows"),
              ElementsAre(1, 9, 3, 4, 5, 0, 7, 8, 0, 2, 2, 0, 4, 4, 4));
}

TEST(ForEach, WhatABodyPassesThroughIsJoined) {
  Session session(Program::from_text(R"(program 1
constant 0 string[1]{"a"}
constant 1 string[1]{"b"}
output "items"
output "twice"
output "shared"
main {
  slot 0 "x" float32[2]
  slot 1 "a" string[1]
  slot 2 "b" string[1]
  slot 3 "items" string[2]
  slot 4 "twice" string[2]
  slot 5 "shared" float32[4]
  inputs(0)
  const 1 0
  const 2 1
  3, 4, 5 = ForEach(1, 2, 0) with {axes=[0, 0, -1], count=2} captures 1 block body {
    slot 0 "item" string[1]
    slot 1 "x" float32[2]
    slot 2 "same" float32[2]
    inputs(0, 1)
    2 = Identity(1)
    outputs(0, 0, 2)
  }
  outputs(3, 4, 5)
}
)"),
                  {.threads = 1});
  for (int request = 0; request < 2; ++request) {
    const NamedValues outputs = session.run({{"x", Tensor::of<float>({2}, {1, 2})}});
    EXPECT_THAT(elements<std::string>(outputs, "items"), ElementsAre("a", "b"));
    EXPECT_THAT(elements<std::string>(outputs, "twice"), ElementsAre("a", "b"));
    EXPECT_THAT(elements<float>(outputs, "shared"), ElementsAre(1, 2, 1, 2));
  }
}

constexpr int kRows = 24;

// Of each row of x, where it is positive, its logarithms in order, and 1 / (k - c) as an integer: iteration c fails.
std::string rows_text() {
  std::string text = "program 1\n";
  for (int k = 0; k < kRows; ++k) text += fmt::format("constant {} int64[]{{{}}}\n", k, k);
  text += fmt::format("constant {} int64[]{{1}}\nconstant {} int64[1]{{500}}\nconstant {} int64[1]{{0}}\n", kRows,
                      kRows + 1, kRows + 2);
  text += "output \"where\"\noutput \"top\"\noutput \"quotient\"\nmain {\n";
  text += fmt::format("  slot 0 \"x\" float32[{},4000]\n  slot 1 \"c\" int64[]\n", kRows);
  for (int k = 0; k < kRows; ++k) text += fmt::format("  slot {} \"k{}\" int64[]\n", k + 2, k);
  const int out = kRows + 2;
  text +=
      fmt::format("  slot {} \"where\" int64[1,?]\n  slot {} \"top\" float32[{}]\n  slot {} \"quotient\" int64[{}]\n",
                  out, out + 1, 500 * kRows, out + 2, kRows);
  text += "  inputs(0, 1)\n";
  for (int k = 0; k < kRows; ++k) text += fmt::format("  const {} {}\n", k + 2, k);
  text += fmt::format("  {}, {}, {} = ForEach(", out, out + 1, out + 2);
  for (int k = 0; k < kRows; ++k) text += fmt::format("{}, ", k + 2);
  text += fmt::format("0, 1) with {{axes=[1, 0, 0], count={}}} name \"rows\" captures 2 block body {{\n", kRows);
  text += fmt::format(R"(    slot 0 "k" int64[]
    slot 1 "x" float32[{},4000]
    slot 2 "c" int64[]
    slot 3 "row" float32[4000]
    slot 4 "log" float32[4000]
    slot 5 "zero" float32[4000]
    slot 6 "above" bool[4000]
    slot 7 "where" int64[1,?]
    slot 8 "count" int64[1]
    slot 9 "top" float32[500]
    slot 10 "top_at" int64[500]
    slot 11 "distance" int64[]
    slot 12 "one" int64[]
    slot 13 "quotient" int64[]
    slot 14 "axes" int64[1]
    slot 15 "quotients" int64[1]
    inputs(0, 1, 2)
    const 12 {}
    const 8 {}
    const 14 {}
    3 = Gather(1, 0) with {{axis=0}}
    4 = Log(3) name "log" after(0)
    5 = Sub(3, 3) after(0)
    6 = Greater(3, 5) after(0, 2)
    7 = NonZero(6) after(3)
    9, 10 = TopK(3, 8) with {{axis=0}} after(0)
    11 = Sub(0, 2)
    13 = Div(12, 11) name "quotient" after(6)
    15 = Unsqueeze(13, 14) after(7)
    outputs(7, 9, 15)
  }}
  outputs({}, {}, {})
}}
)",
                      kRows, kRows, kRows + 1, kRows + 2, out, out + 1, out + 2);
  return text;
}

NamedValues rows_inputs(std::int64_t failing, unsigned seed = 1) {
  Tensor x = Tensor::allocate(ElementType::kFloat32, {kRows, 4000});
  for (float& element : x.values<float>()) {
    seed = seed * 1664525u + 1013904223u;
    element = static_cast<float>(static_cast<int>(seed >> 16) % 2001 - 1000) / 250;
  }
  return {{"x", x}, {"c", Tensor::scalar(failing)}};
}

// On as many lanes as it is told, from the second request on.
TEST(ForEach, ResultsDoNotDependOnLanes) {
  const program::Program program = program::parse(rows_text());
  program::verify(program);
  const vm::ReadyBlock ready = vm::make_ready(program, program.main, {});
  vm::PooledAllocator pool, scratch;
  vm::Frame serial(ready, program.constants);
  std::size_t arena_bytes = 0;
  for (const int lanes : {1, 2, 4, 8}) {
    vm::Frame frame(ready, program.constants);
    const vm::RunEnvironment environment{.pool = pool, .scratch = scratch, .lanes = lanes};
    for (unsigned request = 1; request < 30; ++request) {
      std::vector<Value> inputs;
      for (const auto& [name, value] : rows_inputs(-1, request)) inputs.push_back(value);
      const std::vector<Value> expected = serial.run(inputs, {.pool = pool, .scratch = scratch});
      const std::vector<Value> outputs = frame.run(inputs, environment);
      ASSERT_EQ(outputs.size(), expected.size());
      for (std::size_t i = 0; i < outputs.size(); ++i) {
        const Tensor& ours = outputs[i].tensor();
        ASSERT_EQ(ours.type_string(), expected[i].tensor().type_string());
        ASSERT_EQ(std::memcmp(ours.raw_data(), expected[i].tensor().raw_data(), ours.byte_count()), 0) << lanes;
      }
    }
    EXPECT_GT(frame.arena_bytes(), arena_bytes) << "each lane has an arena of its own";
    arena_bytes = frame.arena_bytes();
  }
}

TEST(ForEach, AFailingIterationNamesItselfAndLeavesTheSessionUsable) {
  const Program program = Program::from_text(rows_text());
  for (const int lanes : {1, 2, 4, 8}) {
    Session session(program, {.threads = 2, .lanes = lanes});
    for (std::int64_t request = 0; request < 40; ++request) {
      const std::int64_t failing = request % kRows;
      try {
        session.run(rows_inputs(failing));
        FAIL();
      } catch (const Error& error) {
        EXPECT_THAT(error.context(),
                    ElementsAre("in Div 'quotient'", fmt::format("in iteration {}", failing), "in ForEach 'rows'"));
      }
      EXPECT_EQ(elements<std::int64_t>(session.run(rows_inputs(-1)), "quotient").front(), 1);
    }
  }
}

// Events inside a region: all of them, each inside the region's and after those of its own iteration that it needs.
void expect_linked(const Profile& profile, int runs, int lanes) {
  const profile::Data& data = profile.data();
  int last_lane = 0;
  std::map<std::string, int> counts;
  for (const profile::NamedEvent& event : data.events) {
    const std::string& op = data.labels[event.label].op;
    ++counts[op];
    last_lane = std::max(last_lane, event.lane);
    if (op == "ForEach") {
      EXPECT_EQ(event.parent, profile::kNoEvent);
      continue;
    }
    ASSERT_NE(event.parent, profile::kNoEvent);
    EXPECT_EQ(data.labels[data.events[event.parent].label].op, "ForEach");
    if (op != "NonZero") continue;
    ASSERT_EQ(event.dependencies.size(), 1u);
    const profile::NamedEvent& before = data.events[event.dependencies[0]];
    EXPECT_EQ(data.labels[before.label].op, "Greater");
    EXPECT_EQ(before.lane, event.lane);
    EXPECT_LE(before.start_us + before.duration_us, event.start_us);
  }
  EXPECT_LT(last_lane, lanes);
  EXPECT_EQ(counts["ForEach"], runs);
  EXPECT_EQ(counts["NonZero"], runs * kRows);
  for (const ProfileRow& row : profile.rows()) EXPECT_GE(row.min_us, 0) << row.op;
}

TEST(ForEach, IsProfiledIterationByIteration) {
  const Program program = Program::from_text(rows_text());
  for (const int lanes : {1, 2, 4}) {
    SCOPED_TRACE(lanes);
    Session session(program, {.threads = 2, .lanes = lanes});
    expect_linked(session.profile(rows_inputs(-1), 5), 5, lanes);
  }
}

TEST(ForEach, NestsInItself) {
  Session session(Program::from_text(R"(program 1
constant 0 float32[1]{10}
constant 1 float32[1]{20}
constant 2 float32[1]{1}
constant 3 float32[1]{2}
constant 4 float32[1]{3}
output "y"
main {
  slot 0 "a" float32[1]
  slot 1 "b" float32[1]
  slot 2 "x" float32[1]
  slot 3 "y" float32[6]
  inputs(2)
  const 0 0
  const 1 1
  3 = ForEach(0, 1, 2) with {axes=[0], count=2} captures 1 block body {
    slot 0 "tens" float32[1]
    slot 1 "x" float32[1]
    slot 2 "one" float32[1]
    slot 3 "two" float32[1]
    slot 4 "three" float32[1]
    slot 5 "sum" float32[1]
    slot 6 "y" float32[3]
    inputs(0, 1)
    const 2 2
    const 3 3
    const 4 4
    5 = Add(0, 1)
    6 = ForEach(2, 3, 4, 5) with {axes=[0], count=3} after(0) captures 1 block body {
      slot 0 "ones" float32[1]
      slot 1 "sum" float32[1]
      slot 2 "y" float32[1]
      inputs(0, 1)
      2 = Add(0, 1)
      outputs(2)
    }
    outputs(6)
  }
  outputs(3)
}
)"),
                  {.threads = 2, .lanes = 2});
  for (int request = 0; request < 8; ++request) {
    const float x = static_cast<float>(request);
    EXPECT_THAT(elements<float>(session.run({{"x", Tensor::of<float>({1}, {x})}}), "y"),
                ElementsAre(x + 11, x + 12, x + 13, x + 21, x + 22, x + 23));
  }
}

TEST(RunIterations, RunsEachOnceAndOneAtATimeOnALane) {
  for (const int lanes : {1, 2, 5}) {
    std::vector<std::atomic<int>> runs(200);
    std::vector<std::atomic<int>> busy(static_cast<std::size_t>(lanes));
    vm::run_iterations(200, lanes, [&](std::int64_t iteration, int lane) {
      EXPECT_EQ(busy[static_cast<std::size_t>(lane)]++, 0);
      ++runs[static_cast<std::size_t>(iteration)];
      --busy[static_cast<std::size_t>(lane)];
    });
    for (const std::atomic<int>& count : runs) EXPECT_EQ(count, 1);
  }
}

TEST(RunIterations, OfThoseThatFailTheFirstCounts) {
  for (const int lanes : {1, 2, 8}) {
    for (int repetition = 0; repetition < 200; ++repetition) {
      std::atomic<int> begun = 0;
      try {
        vm::run_iterations(100, lanes, [&](std::int64_t iteration, int) {
          ++begun;
          if (iteration % 7 == 5) throw std::runtime_error(std::to_string(iteration));
        });
        FAIL();
      } catch (const std::runtime_error& error) {
        EXPECT_STREQ(error.what(), "5");
      }
      EXPECT_GE(begun, 6);
    }
  }
}

}  // namespace
}  // namespace lanner
