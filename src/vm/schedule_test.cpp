// Schedules and memory plans of random blocks keep their promises; lanes compute what one lane does, in any order.
#include "vm/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <random>
#include <set>
#include <stdexcept>
#include <utility>

#include "base/error_testing.h"
#include "vm/executable.h"
#include "vm/frame.h"
#include "vm/lanes.h"
#include "vm/pool.h"

namespace lanner::vm {
namespace {

using program::SlotIndex;

constexpr std::int64_t kWidth = 64;

// A block of element-wise instructions over float32[kWidth]; every value that nobody reads is an output.
struct Writer {
  program::Program program;
  Costs costs;

  SlotIndex slot() {
    const auto index = static_cast<SlotIndex>(program.main.slots.size());
    program.main.slots.push_back(
        {"v" + std::to_string(index), tensor::ValueType::tensor(ElementType::kFloat32, Shape{kWidth})});
    return index;
  }
  void forget_sizes() {
    for (program::Slot& slot : program.main.slots) slot.type.dims[0] = {};
  }
  SlotIndex input() {
    program.main.inputs.push_back(slot());
    return program.main.inputs.back();
  }
  SlotIndex add(std::string_view op, std::vector<SlotIndex> inputs, std::int64_t single_ns = 1000,
                std::int64_t team_ns = -1) {
    program::Instruction instruction;
    instruction.op = op;
    instruction.name = "i" + std::to_string(program.main.instructions.size());
    instruction.inputs = std::move(inputs);
    instruction.outputs = {slot()};
    program.main.instructions.push_back(std::move(instruction));
    costs.single.push_back(single_ns);
    costs.team.push_back(team_ns < 0 ? single_ns : team_ns);
    return program.main.instructions.back().outputs[0];
  }
  void finish() {
    std::set<SlotIndex> read;
    for (const auto& instruction : program.main.instructions)
      read.insert(instruction.inputs.begin(), instruction.inputs.end());
    for (const auto& instruction : program.main.instructions) {
      if (read.contains(instruction.outputs[0])) continue;
      program.main.outputs.push_back(instruction.outputs[0]);
      program.output_names.push_back(instruction.name);
    }
    program::set_data_dependencies(program.main);
  }
};

// Chains that read the same two values and meet in pairs.
Writer siblings(int count, int length) {
  Writer writer;
  const SlotIndex x = writer.input();
  const SlotIndex shared = writer.add("Neg", {x});
  const SlotIndex other = writer.add("Abs", {x});
  std::vector<SlotIndex> ends;
  for (int i = 0; i < count; ++i) {
    SlotIndex value = writer.add("Add", {shared, x});
    for (int k = 1; k < length; ++k) value = writer.add(k % 3 == 0 ? "Sub" : "Max", {value, k == 2 ? other : shared});
    ends.push_back(value);
  }
  while (ends.size() > 1) {
    const SlotIndex sum = writer.add("Add", {ends[0], ends[1]});
    ends.erase(ends.begin(), ends.begin() + 2);
    ends.push_back(sum);
  }
  writer.finish();
  return writer;
}

Writer random_block(unsigned seed) {
  std::mt19937 random(seed);
  const auto below = [&](std::size_t limit) { return random() % limit; };
  Writer writer;
  std::vector<SlotIndex> values{writer.input(), writer.input()};
  const std::size_t count = 5 + below(120);
  const std::size_t reach = 1 + below(40);  // how far back instructions read: chains, or wide graphs
  constexpr std::string_view kOps[] = {"Add", "Sub", "Max", "Min", "Neg"};
  for (std::size_t i = 0; i < count; ++i) {
    const auto pick = [&] { return values[values.size() - 1 - below(std::min(values.size(), reach))]; };
    const std::string_view op = kOps[below(5)];
    const std::int64_t single = static_cast<std::int64_t>(100 + below(1 << (8 + below(10))));
    const std::int64_t team = below(3) == 0 ? single * 6 / 10 : single;
    values.push_back(writer.add(op, op == "Neg" ? std::vector{pick()} : std::vector{pick(), pick()}, single, team));
  }
  writer.finish();
  return writer;
}

struct Place {
  std::size_t stage;
  std::size_t task;
  std::size_t within;
};

std::vector<Place> places(const Schedule& schedule, std::size_t instruction_count) {
  std::vector<Place> result(instruction_count, Place{~std::size_t{0}, 0, 0});
  for (std::size_t s = 0; s < schedule.stages.size(); ++s) {
    for (std::size_t t = 0; t < schedule.stages[s].tasks.size(); ++t) {
      const auto& instructions = schedule.stages[s].tasks[t].instructions;
      for (std::size_t i = 0; i < instructions.size(); ++i) {
        EXPECT_EQ(result[instructions[i]].stage, ~std::size_t{0}) << "twice";
        result[instructions[i]] = {s, t, i};
      }
    }
  }
  return result;
}

// Everything runs once, after what it depends on, and tasks wait for each other without a cycle.
void expect_sound(const program::Block& block, const Schedule& schedule) {
  const std::vector<Place> at = places(schedule, block.instructions.size());
  for (std::size_t i = 0; i < block.instructions.size(); ++i) {
    ASSERT_NE(at[i].stage, ~std::size_t{0}) << "instruction " << i << " is missing";
    for (const std::uint32_t before : block.instructions[i].dependencies) {
      if (at[before].stage != at[i].stage) {
        ASSERT_LT(at[before].stage, at[i].stage);
      } else if (at[before].task == at[i].task) {
        ASSERT_LT(at[before].within, at[i].within);
      } else {
        const auto& successors = schedule.stages[at[i].stage].tasks[at[before].task].successors;
        ASSERT_TRUE(std::ranges::count(successors, at[i].task) == 1);
      }
    }
  }
  for (const Stage& stage : schedule.stages) {
    std::vector<std::uint32_t> waiting;
    std::vector<std::uint32_t> ready;
    for (std::uint32_t i = 0; i < stage.tasks.size(); ++i) {
      waiting.push_back(stage.tasks[i].predecessor_count);
      if (waiting.back() == 0) ready.push_back(i);
    }
    std::size_t ended = 0;
    while (!ready.empty()) {
      const std::uint32_t task = ready.back();
      ready.pop_back();
      ++ended;
      for (const std::uint32_t next : stage.tasks[task].successors) {
        ASSERT_LT(stage.tasks[next].rank_ns, stage.tasks[task].rank_ns);
        if (--waiting[next] == 0) ready.push_back(next);
      }
    }
    ASSERT_EQ(ended, stage.tasks.size()) << "a cycle";
  }
}

// Slots that share bytes are never alive at once, whatever the order of tasks.
void expect_sound(const program::Block& block, const Schedule& schedule, const MemoryPlan& plan) {
  const std::vector<Place> at = places(schedule, block.instructions.size());
  std::map<SlotIndex, std::vector<Place>> touches;
  for (std::size_t i = 0; i < block.instructions.size(); ++i) {
    for (const SlotIndex slot : block.instructions[i].inputs) touches[slot].push_back(at[i]);
    for (const SlotIndex slot : block.instructions[i].outputs) touches[slot].push_back(at[i]);
  }
  const auto ends_before = [&](const Place& a, const Place& b) {
    if (a.stage != b.stage) return a.stage < b.stage;
    const bool serial = schedule.stages[a.stage].tasks.size() == 1;
    return (serial || a.task == b.task) && a.within < b.within;
  };
  const auto all_before = [&](SlotIndex a, SlotIndex b) {
    return std::ranges::all_of(touches[a], [&](const Place& x) {
      return std::ranges::all_of(touches[b], [&](const Place& y) { return ends_before(x, y); });
    });
  };
  for (SlotIndex a = 0; a < block.slots.size(); ++a) {
    const MemoryPlan::Place& x = plan.slots[a];
    if (x.offset == kNotPlanned) continue;
    EXPECT_LE(x.offset + x.byte_count, x.of_lane ? plan.lane_arena_bytes : plan.arena_bytes);
    if (x.of_lane) {
      for (const Place& touch : touches[a]) {
        ASSERT_EQ(touch.stage, touches[a][0].stage);
        ASSERT_EQ(touch.task, touches[a][0].task);
      }
    }
    for (SlotIndex b = a + 1; b < block.slots.size(); ++b) {
      const MemoryPlan::Place& y = plan.slots[b];
      if (y.offset == kNotPlanned || x.of_lane != y.of_lane) continue;
      if (x.offset + x.byte_count <= y.offset || y.offset + y.byte_count <= x.offset) continue;
      const Place& p = touches[a][0];
      const Place& q = touches[b][0];
      // Tasks have the lane to themselves, one after another.
      if (x.of_lane && (p.stage != q.stage || p.task != q.task)) continue;
      ASSERT_TRUE(all_before(a, b) || all_before(b, a)) << "slots " << a << " and " << b;
    }
  }
}

// Runs a block under a schedule.
class Runner {
 public:
  explicit Runner(Writer& writer) : writer_(writer), ready_(make_ready(writer.program, writer.program.main, {})) {}

  std::vector<std::vector<float>> run(int lanes, std::optional<std::uint64_t> seed) {
    const auto layout =
        std::make_shared<const Layout>(writer_.program.main, make_schedule(writer_.program.main, writer_.costs, lanes));
    Frame frame(ready_, writer_.program.constants, layout);
    return run(frame, lanes, seed);
  }

  std::vector<std::vector<float>> run(Frame& frame, int lanes, std::optional<std::uint64_t> seed,
                                      std::int64_t width = kWidth) {
    std::vector<Value> inputs;
    for (std::size_t k = 0; k < writer_.program.main.inputs.size(); ++k) {
      Tensor tensor = Tensor::allocate(ElementType::kFloat32, {width});
      for (std::int64_t i = 0; i < width; ++i)
        tensor.data<float>()[i] = static_cast<float>((i * 7 + static_cast<std::int64_t>(k) * 13) % 29) - 11;
      inputs.emplace_back(std::move(tensor));
    }
    RunEnvironment environment{pool_, scratch_, lanes};
    environment.seed = seed;
    std::vector<std::vector<float>> results;
    for (const Value& value : frame.run(inputs, environment)) {
      const auto values = value.tensor().values<float>();
      results.emplace_back(values.begin(), values.end());
    }
    return results;
  }

  const ReadyBlock& ready() const { return ready_; }
  const PooledAllocator& pool() const { return pool_; }

 private:
  Writer& writer_;
  ReadyBlock ready_;
  PooledAllocator pool_;
  PooledAllocator scratch_;
};

TEST(Schedule, OneLaneIsSerial) {
  const Writer writer = siblings(20, 10);
  const Schedule schedule = make_schedule(writer.program.main, writer.costs, 1);
  ASSERT_EQ(schedule.stages.size(), 1u);
  EXPECT_EQ(schedule.stages[0].tasks.size(), 1u);
}

TEST(Schedule, InstructionsThatTheTeamDoesNotHelpAreNarrow) {
  Writer writer;
  SlotIndex value = writer.input();
  for (const auto& [single_ns, team_ns] :
       {std::pair{1'000, 1'500}, {10'000, 10'000}, {40'000, 30'000}, {90'000, 95'000}}) {
    value = writer.add("Neg", {value}, single_ns, team_ns);
  }
  writer.finish();
  const Schedule schedule = serial_schedule(writer.program.main, writer.costs);
  // The last is so long that the next request may gain.
  EXPECT_EQ(schedule.narrow, (std::vector<char>{1, 1, 0, 0}));
  EXPECT_EQ(schedule.estimated_ns, 1'000 + 10'000 + 30'000 + 95'000);
  Runner runner(writer);
  const auto layout = std::make_shared<const Layout>(writer.program.main, schedule);
  Frame frame(runner.ready(), writer.program.constants, layout);
  EXPECT_EQ(runner.run(frame, 4, {}), runner.run(1, {}));
}

TEST(Schedule, ChainsStaySerial) {
  Writer writer;
  SlotIndex value = writer.input();
  for (int i = 0; i < 50; ++i) value = writer.add("Neg", {value}, 100'000, 60'000);
  writer.finish();
  const Schedule schedule = make_schedule(writer.program.main, writer.costs, 4);
  ASSERT_EQ(schedule.stages.size(), 1u);
  EXPECT_EQ(schedule.stages[0].tasks.size(), 1u);
}

TEST(Schedule, SiblingChainsAreTasks) {
  const Writer writer = siblings(40, 12);
  const Schedule schedule = make_schedule(writer.program.main, writer.costs, 2);
  expect_sound(writer.program.main, schedule);
  const auto stage = std::ranges::max_element(schedule.stages, {}, [](const Stage& s) { return s.tasks.size(); });
  EXPECT_GE(stage->tasks.size(), 30u);
  EXPECT_LT(stage->tasks.size(), 90u) << "a chain is handed out whole";
  EXPECT_LT(schedule.estimated_ns, 350'000) << "of 521 us";
}

TEST(Schedule, WideInstructionsHaveTheTeam) {
  Writer writer;
  const SlotIndex x = writer.input();
  const SlotIndex wide = writer.add("Abs", {x}, 1'000'000, 550'000);
  for (int i = 0; i < 8; ++i) {
    SlotIndex value = wide;
    for (int k = 0; k < 10; ++k) value = writer.add("Neg", {value}, 10'000);
  }
  writer.finish();
  const Schedule schedule = make_schedule(writer.program.main, writer.costs, 2);
  expect_sound(writer.program.main, schedule);
  bool concurrent = false;
  for (const Stage& stage : schedule.stages) {
    if (stage.tasks.size() == 1) continue;
    concurrent = true;
    for (const Task& task : stage.tasks) {
      for (const std::uint32_t i : task.instructions) EXPECT_EQ(writer.program.main.instructions[i].op, "Neg");
    }
  }
  EXPECT_TRUE(concurrent);
}

TEST(Schedule, RandomBlocksAreScheduledAndPlannedSoundly) {
  int concurrent = 0;
  for (unsigned seed = 0; seed < 400; ++seed) {
    const Writer writer = random_block(seed);
    const program::Block& block = writer.program.main;
    Writer unsized = random_block(seed);
    unsized.forget_sizes();
    for (const int lanes : {1, 2, 4, 8}) {
      const Schedule schedule = make_schedule(block, writer.costs, lanes);
      SCOPED_TRACE(testing::Message() << "seed " << seed << ", " << lanes << " lanes");
      expect_sound(block, schedule);
      expect_sound(block, schedule, plan_memory(block, schedule));
      expect_sound(unsized.program.main, schedule,
                   plan_memory(unsized.program.main, schedule, LearnedSizes(block.slots.size(), 100)));
      if (schedule.concurrent()) ++concurrent;
      if (testing::Test::HasFailure()) return;
    }
  }
  EXPECT_GT(concurrent, 200);
}

TEST(Lanes, AnyNumberInAnyOrderGivesTheSameResults) {
  for (unsigned block = 0; block < 25; ++block) {
    Writer writer =
        block < 5 ? siblings(10 + static_cast<int>(block) * 10, 4 + static_cast<int>(block)) : random_block(block);
    Runner runner(writer);
    const auto expected = runner.run(1, {});
    for (const int lanes : {2, 4, 8}) {
      EXPECT_EQ(runner.run(lanes, {}), expected);
      for (std::uint64_t seed = 0; seed < 4; ++seed) EXPECT_EQ(runner.run(lanes, seed), expected) << seed;
    }
  }
}

// Values of unknown size get places once a frame has seen how large they become, and the pool where they do not fit.
TEST(Frame, LearnsTheSizesOfValues) {
  for (unsigned block = 0; block < 12; ++block) {
    Writer writer = block < 3 ? siblings(20, 5) : random_block(block);
    writer.forget_sizes();
    Runner runner(writer);
    for (const int lanes : {1, 4}) {
      const auto layout =
          std::make_shared<const Layout>(writer.program.main, make_schedule(writer.program.main, writer.costs, lanes));
      Frame frame(runner.ready(), writer.program.constants, layout);
      EXPECT_EQ(frame.arena_bytes(), 0u);
      std::size_t arena_bytes = 0;
      for (int run = 0; run < 40; ++run) {
        const std::int64_t width = run < 8 ? kWidth : run % 4 == 0 ? 0 : run % 4 == 1 ? 10 * kWidth : kWidth + run;
        Frame fresh(runner.ready(), writer.program.constants, layout);
        ASSERT_EQ(runner.run(frame, lanes, {}, width), runner.run(fresh, lanes, {}, width)) << block << ", run " << run;
        if (run == 7) {
          arena_bytes = frame.arena_bytes();
          EXPECT_GT(arena_bytes, 0u);
        }
      }
      EXPECT_GT(frame.arena_bytes(), 4 * arena_bytes);
    }
    EXPECT_EQ(runner.pool().used_bytes(), 0u);
  }
}

TEST(Lanes, AFailingInstructionEndsTheRequestAndNothingElse) {
  Writer writer = siblings(40, 12);
  // A Reshape to a shape that does not fit, in the middle of one chain.
  program::Program& program = writer.program;
  program.constants.push_back(Tensor::of<std::int64_t>({1}, {kWidth + 1}));
  const SlotIndex shape = writer.slot();
  program.main.slots[shape].type = tensor::ValueType::tensor(ElementType::kInt64, Shape{1});
  program.main.constants.push_back({shape, 0});
  program::Instruction& bad = program.main.instructions[100];
  bad.op = "Reshape";
  bad.name = "bad";
  bad.inputs[1] = shape;
  program::set_data_dependencies(program.main);
  Runner runner(writer);
  for (const int lanes : {1, 2, 4, 8}) {
    const auto layout = std::make_shared<const Layout>(program.main, make_schedule(program.main, writer.costs, lanes));
    Frame frame(runner.ready(), program.constants, layout);
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      try {
        runner.run(frame, lanes, seed);
        FAIL() << "no error";
      } catch (const Error& error) {
        EXPECT_EQ(error.reason(), "op.shape");
        EXPECT_NE(std::string(error.what()).find("in Reshape 'bad'"), std::string::npos) << error.what();
      }
    }
  }
}

TEST(Lanes, RunEveryTaskOnceAndOneAtATimeOnALane) {
  const Writer writer = siblings(60, 9);
  const Schedule schedule = make_schedule(writer.program.main, writer.costs, 4);
  for (const Stage& stage : schedule.stages) {
    if (stage.tasks.size() == 1) continue;
    for (const int lanes : {1, 2, 4, 8}) {
      std::vector<std::atomic<int>> runs(stage.tasks.size());
      std::vector<std::atomic<int>> busy(static_cast<std::size_t>(lanes));
      run_stage(stage, lanes, 7, [&](const Task& task, int lane) {
        EXPECT_EQ(busy[static_cast<std::size_t>(lane)]++, 0);
        ++runs[static_cast<std::size_t>(&task - stage.tasks.data())];
        --busy[static_cast<std::size_t>(lane)];
      });
      EXPECT_TRUE(std::ranges::all_of(runs, [](const auto& count) { return count == 1; }));
      EXPECT_THROW(run_stage(stage, lanes, {}, [](const Task&, int) { throw std::runtime_error("no"); }),
                   std::runtime_error);
    }
  }
}

}  // namespace
}  // namespace lanner::vm
