// Sessions on text programs, without the compiler: control flow, memory, errors, threads.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <thread>

#include "base/error_testing.h"
#include "lanner/error.h"
#include "lanner/session.h"
#include "profile/profile.h"
#include "program/text.h"
#include "vm/memory_plan.h"
#include "vm/pool.h"
#include "vm/session_testing.h"

namespace lanner {
namespace {

using ::testing::ElementsAre;

using base::testing::reason_of;

Tensor floats(std::initializer_list<float> values) {
  return Tensor::of<float>({static_cast<std::int64_t>(values.size())}, values);
}

// y = (x + x) * x, z = Reshape(y); w a default.
constexpr std::string_view kArithmetic = R"(program 1
constant 0 int64[2]{2, -1}
constant 1 float32[4]{10, 20, 30, 40}
default 1 1
output "y"
output "z"
output "sum"
main {
  slot 0 "x" float32[4]
  slot 1 "w" float32[4]
  slot 2 "shape" int64[2]
  slot 3 "double" float32[4]
  slot 4 "y" float32[4]
  slot 5 "z" float32[2,2]
  slot 6 "sum" float32[4]
  inputs(0, 1)
  const 2 0
  3 = Add(0, 0)
  4 = Mul(3, 0) after(0)
  5 = Reshape(4, 2) after(1)
  6 = Add(3, 1) after(0)
  outputs(4, 5, 6)
}
)";

TEST(Session, RunsNamedInputsInAnyOrderAndFillsDefaults) {
  Session session(Program::from_text(kArithmetic), {.threads = 1});
  const NamedValues first = session.run({{"x", floats({1, 2, 3, 4})}});
  EXPECT_THAT(elements<float>(first, "y"), ElementsAre(2, 8, 18, 32));
  EXPECT_THAT(elements<float>(first, "sum"), ElementsAre(12, 24, 36, 48));
  const NamedValues second = session.run({{"w", floats({0, 0, 0, 1})}, {"x", floats({1, 1, 1, 1})}});
  EXPECT_THAT(elements<float>(second, "sum"), ElementsAre(2, 2, 2, 3));
  EXPECT_THAT(elements<float>(first, "z"), ElementsAre(2, 8, 18, 32)) << "outputs outlive later requests";
  EXPECT_EQ(second[1].second.tensor().shape(), Shape({2, 2}));
}

// The sum of such sizes wraps around, and places in an arena of a few bytes would follow from it.
TEST(Session, RefusesTypesThatTakeMoreThanCanBeAddressed) {
  std::string text = "program 1\noutput \"y\"\nmain {\n  slot 0 \"x\" uint8[1]\n";
  std::string instructions;
  std::string list;
  for (int i = 1; i <= 20; ++i) {
    text += fmt::format("  slot {} \"\" uint8[1152921504606846975]\n", i);
    instructions += fmt::format("  {} = BitwiseNot(0)\n", i);
    list += fmt::format("{}{}", i == 1 ? "" : ", ", i);
  }
  text += fmt::format(
      "  slot 21 \"y\" uint8[20]\n  inputs(0)\n{}  21 = Concat({}) with {{axis=0}} after({})\n  outputs(21)\n}}\n",
      instructions, list, "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19");
  const Program program = Program::from_text(text);
  EXPECT_EQ(reason_of([&] { Session(program, {.threads = 1}); }), "memory.exhausted");
}

TEST(Session, OutputsOutliveTheirSession) {
  NamedValues outputs;
  {
    Session session(Program::from_text(kArithmetic), {.threads = 2});
    outputs = session.run({{"x", floats({1, 2, 3, 4})}});
  }
  EXPECT_THAT(elements<float>(outputs, "y"), ElementsAre(2, 8, 18, 32));
}

TEST(Session, RefusesWrongInputsAndStaysUsable) {
  Session session(Program::from_text(kArithmetic), {.threads = 1});
  const Tensor good = floats({1, 2, 3, 4});
  EXPECT_EQ(reason_of([&] { session.run({{"q", good}}); }), "input.unknown");
  EXPECT_EQ(reason_of([&] { session.run({}); }), "input.missing");
  EXPECT_EQ(reason_of([&] { session.run({{"x", good}, {"x", good}}); }), "input.duplicate");
  EXPECT_EQ(reason_of([&] { session.run({{"x", Tensor::of<std::int32_t>({4}, {1, 2, 3, 4})}}); }), "input.type");
  EXPECT_EQ(reason_of([&] { session.run({{"x", Tensor::of<float>({2, 2}, {1, 2, 3, 4})}}); }), "input.rank");
  EXPECT_EQ(reason_of([&] { session.run({{"x", floats({1, 2})}}); }), "input.shape");
  EXPECT_EQ(reason_of([&] { session.run({{"x", Value()}}); }), "input.type");
  EXPECT_EQ(reason_of([&] { session.run({{"x", Sequence{good}}}); }), "input.type");
  EXPECT_THAT(elements<float>(session.run({{"x", good}}), "y"), ElementsAre(2, 8, 18, 32));
}

TEST(Session, RefusesNonsenseOptions) {
  const Program program = Program::from_text(kArithmetic);
  EXPECT_EQ(reason_of([&] { Session(program, {.threads = -1}); }), "option.threads");
  EXPECT_EQ(reason_of([&] { SessionPool(program, 0); }), "option.sessions");
  Session session(program, {.threads = 1});
  EXPECT_EQ(reason_of([&] { session.profile({{"x", floats({1, 2, 3, 4})}}, 0); }), "input.runs");
}

// out = c ? x : -x, and the untaken branch would divide integers by zero.
constexpr std::string_view kBranch = R"(program 1
constant 0 int64[]{0}
output "out"
main {
  slot 0 "c" bool
  slot 1 "x" int64[?]
  slot 2 "out" int64[?]
  inputs(0, 1)
  2 = If(0, 1) name "choice" captures 1 block then_branch {
    slot 0 "x" int64[?]
    inputs(0)
    outputs(0)
  } block else_branch {
    slot 0 "x" int64[?]
    slot 1 "zero" int64[]
    slot 2 "quotient" int64[?]
    inputs(0)
    const 1 0
    2 = Div(0, 1) name "quotient"
    outputs(2)
  }
  outputs(2)
}
)";

TEST(Session, RunsTheBranchThatTheConditionChooses) {
  Session session(Program::from_text(kBranch), {.threads = 1});
  const Tensor x = Tensor::of<std::int64_t>({2}, {5, 6});
  const NamedValues outputs = session.run({{"c", Tensor::scalar(true)}, {"x", x}});
  EXPECT_THAT(elements<std::int64_t>(outputs, "out"), ElementsAre(5, 6));
  EXPECT_NE(outputs[0].second.tensor().raw_data(), x.raw_data()) << "an output is never the caller's input";
}

TEST(Session, AFailingInstructionNamesItsPlaceAndLeavesTheSessionUsable) {
  Session session(Program::from_text(kBranch), {.threads = 2});
  const Tensor x = Tensor::of<std::int64_t>({2}, {5, 6});
  try {
    session.run({{"c", Tensor::scalar(false)}, {"x", x}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.context(), ElementsAre("in Div 'quotient'", "in If 'choice'"));
  }
  EXPECT_EQ(reason_of([&] { session.run({{"c", x}, {"x", x}}); }), "input.type");
  EXPECT_THAT(elements<std::int64_t>(session.run({{"c", Tensor::scalar(true)}, {"x", x}}), "out"), ElementsAre(5, 6));
}

// Powers of x: p starts as 1, each iteration p *= x and is scanned; stops at `trips`.
constexpr std::string_view kLoop = R"(program 1
constant 0 float32[2]{1, 1}
constant 1 bool[]{1}
output "last"
output "all"
main {
  slot 0 "trips" int64
  slot 1 "x" float32[2]
  slot 2 "one" float32[2]
  slot 3 "last" float32[2]
  slot 4 "all" float32[?,2]
  inputs(0, 1)
  const 2 0
  3, 4 = Loop(0, _, 2, 1) captures 1 block body {
    slot 0 "i" int64[]
    slot 1 "go" bool[]
    slot 2 "p" float32[2]
    slot 3 "x" float32[2]
    slot 4 "next" float32[2]
    slot 5 "more" bool[]
    slot 6 "half" float32[2]
    inputs(0, 1, 2, 3)
    const 5 1
    4 = Mul(2, 3)
    6 = Identity(4) after(0)
    outputs(5, 4, 6)
  }
  outputs(3, 4)
}
)";

TEST(Session, LoopsCarryValuesAndStackScans) {
  Session session(Program::from_text(kLoop), {.threads = 1});
  const NamedValues outputs = session.run({{"trips", Tensor::scalar<std::int64_t>(3)}, {"x", floats({2, -1})}});
  EXPECT_THAT(elements<float>(outputs, "last"), ElementsAre(8, -1));
  EXPECT_THAT(elements<float>(outputs, "all"), ElementsAre(2, -1, 4, 1, 8, -1));
}

TEST(Session, ALoopOfNoIterationsPassesItsInitialValuesOn) {
  Session session(Program::from_text(kLoop), {.threads = 1});
  const NamedValues outputs = session.run({{"trips", Tensor::scalar<std::int64_t>(0)}, {"x", floats({2, -1})}});
  EXPECT_THAT(elements<float>(outputs, "last"), ElementsAre(1, 1));
  EXPECT_EQ(outputs[1].second.tensor().shape(), Shape({0, 2}));
}

// Squares of x, as long as the last one is below 100.
TEST(Session, ALoopThatItsBodyEndsStacksWhatItHas) {
  Session session(Program::from_text(R"(program 1
constant 0 float32[1]{100}
output "last"
output "all"
main {
  slot 0 "trips" int64
  slot 1 "x" float32[1]
  slot 2 "last" float32[1]
  slot 3 "all" float32[?,1]
  inputs(0, 1)
  2, 3 = Loop(0, _, 1) block body {
    slot 0 "i" int64[]
    slot 1 "go" bool[]
    slot 2 "x" float32[1]
    slot 3 "square" float32[1]
    slot 4 "limit" float32[1]
    slot 5 "more" bool[1]
    slot 6 "copy" float32[1]
    inputs(0, 1, 2)
    const 4 0
    3 = Mul(2, 2)
    5 = Less(3, 4) after(0)
    6 = Identity(3) after(0)
    outputs(5, 3, 6)
  }
  outputs(2, 3)
}
)"),
                  {.threads = 1});
  const auto all = [&](std::int64_t trips, float x) {
    return elements<float>(session.run({{"trips", Tensor::scalar(trips)}, {"x", floats({x})}}), "all");
  };
  EXPECT_THAT(all(10, 2), ElementsAre(4, 16, 256));
  EXPECT_THAT(all(std::numeric_limits<std::int64_t>::max(), 3), ElementsAre(9, 81, 6561));
  EXPECT_THAT(all(2, 2), ElementsAre(4, 16));
  EXPECT_THAT(all(0, 2), ElementsAre());
}

TEST(Session, ALoopOfAKnownNumberOfIterationsHoldsItsScanOutputsOnce) {
  constexpr std::int64_t kTrips = 32;
  constexpr std::int64_t kItem = 1 << 18;  // a mebibyte
  Session session(Program::from_text(R"(program 1
output "all"
main {
  slot 0 "trips" int64
  slot 1 "x" float32[?]
  slot 2 "all" float32[?,?]
  inputs(0, 1)
  2 = Loop(0, _, 1) captures 1 block body {
    slot 0 "i" int64[]
    slot 1 "go" bool[]
    slot 2 "x" float32[?]
    slot 3 "item" float32[?]
    inputs(0, 1, 2)
    3 = Neg(2)
    outputs(1, 3)
  }
  outputs(2)
}
)"),
                  {.threads = 1});
  const NamedValues inputs{{"trips", Tensor::scalar(kTrips)}, {"x", Tensor::allocate(ElementType::kFloat32, {kItem})}};
  const Profile profile = session.profile(inputs, 1);
  EXPECT_LT(profile.memory().pool_bytes, (kTrips + 6) * kItem * 4);
}

TEST(Session, ManySessionsOfOneProgramAgreeFromManyThreads) {
  const Program program = Program::from_text(kLoop);
  SessionPool pool(program, 3, {.threads = 2});
  std::vector<std::thread> callers;
  std::vector<std::string> wrong(8);
  for (std::size_t caller = 0; caller < wrong.size(); ++caller) {
    callers.emplace_back([&, caller] {
      for (int i = 0; i < 50; ++i) {
        const float x = static_cast<float>(caller) - 3;
        const NamedValues outputs = pool.run({{"trips", Tensor::scalar<std::int64_t>(i % 4)}, {"x", floats({x, 2})}});
        const float got = outputs[0].second.tensor().data<float>()[0];
        if (got != std::pow(x, static_cast<float>(i % 4))) wrong[caller] = std::to_string(got);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_THAT(wrong, ::testing::Each(""));
}

TEST(Session, ProfileCountsEveryInvocation) {
  Session session(Program::from_text(kLoop), {.threads = 1});
  const Profile profile = session.profile({{"trips", Tensor::scalar<std::int64_t>(5)}, {"x", floats({1, 1})}}, 4);
  EXPECT_EQ(profile.run_count(), 4);
  std::map<std::string, std::int64_t> counts;
  for (const ProfileRow& row : profile.rows()) {
    counts[row.op] = row.count;
    EXPECT_LE(row.min_us, row.mean_us);
    EXPECT_LE(row.mean_us, row.max_us);
  }
  EXPECT_EQ(counts["Mul"], 20);
  EXPECT_EQ(counts["Identity"], 20);
  EXPECT_EQ(counts["Loop"], 4);
}

TEST(Session, ProfileKnowsBlocksDependenciesAndMemory) {
  Session session(Program::from_text(kLoop), {.threads = 1});
  const Profile profile = session.profile({{"trips", Tensor::scalar<std::int64_t>(3)}, {"x", floats({1, 1})}}, 2);
  const profile::Data& data = profile.data();
  ASSERT_EQ(data.events.size(), 2u * (3u + 3u + 1u));
  int inside = 0, waiting = 0;
  for (const profile::NamedEvent& event : data.events) {
    const std::string& op = data.labels[event.label].op;
    EXPECT_EQ(event.parent == profile::kNoEvent, op == "Loop");
    if (event.parent != profile::kNoEvent) {
      EXPECT_EQ(data.labels[data.events[event.parent].label].op, "Loop");
      ++inside;
    }
    if (op == "Identity") {
      ASSERT_EQ(event.dependencies.size(), 1u);
      EXPECT_EQ(data.labels[data.events[event.dependencies[0]].label].op, "Mul");
      ++waiting;
    }
  }
  EXPECT_EQ(inside, 12);
  EXPECT_EQ(waiting, 6);
  EXPECT_EQ(profile.critical_path().instruction_count, 1u);
  EXPECT_LE(profile.critical_path().length_us, profile.critical_path().wall_us);
  EXPECT_GT(profile.memory().pool_bytes, 0);
  EXPECT_GT(profile.memory().process_bytes, profile.memory().pool_bytes);
}

std::string chain_text(int length) {
  std::string text = "program 1\noutput \"y\"\nmain {\n  slot 0 \"x\" float32[1000]\n";
  for (int i = 1; i <= length; ++i) text += "  slot " + std::to_string(i) + " \"v\" float32[1000]\n";
  text += "  inputs(0)\n";
  for (int i = 1; i <= length; ++i) {
    text += "  " + std::to_string(i) + " = Relu(" + std::to_string(i - 1) + ")";
    text += i == 1 ? "\n" : " after(" + std::to_string(i - 2) + ")\n";
  }
  return text + "  outputs(" + std::to_string(length) + ")\n}\n";
}

TEST(Session, SeveralAreProfiledInTurns) {
  Session one(Program::from_text(kLoop), {.threads = 1});
  Session other(Program::from_text(kLoop), {.threads = 2});
  Session* const sessions[] = {&one, &other};
  const NamedValues inputs{{"trips", Tensor::scalar<std::int64_t>(2)}, {"x", floats({1, 1})}};
  const std::vector<Profile> profiles = Session::profile_in_turns(sessions, inputs, 3);
  ASSERT_EQ(profiles.size(), 2u);
  for (const Profile& profile : profiles) {
    EXPECT_EQ(profile.run_count(), 3);
    EXPECT_EQ(profile.data().events.size(), 3u * (2u + 2u + 1u));
    // Between two runs of one session there is one of the other.
    for (std::size_t run = 1; run < 3; ++run) {
      EXPECT_GT(profile.data().run_start_us[run],
                profile.data().run_start_us[run - 1] + 1000 * profile.run_ms()[run - 1]);
    }
  }
  EXPECT_EQ(profiles[0].data().facts.threads, 1);
  EXPECT_EQ(profiles[1].data().facts.threads, 2);
  EXPECT_EQ(reason_of([&] { Session::profile_in_turns(sessions, inputs, 0); }), "input.runs");
}

TEST(Session, ProfileCountsTheArenasOfAllBlocks) {
  Session session(Program::from_text(chain_text(5)), {.threads = 1});
  const Profile profile = session.profile({{"x", Tensor::allocate(ElementType::kFloat32, {1000})}}, 1);
  EXPECT_EQ(profile.memory().arena_bytes, 2 * 4032);
}

program::Block chain(int length) {
  return program::parse(chain_text(length)).main;
}

TEST(MemoryPlan, AChainNeedsTwoBuffers) {
  EXPECT_EQ(vm::plan_memory(chain(20), vm::serial_schedule(chain(20))).arena_bytes, 2u * 4032u);
}

TEST(MemoryPlan, OutputsAndWhatViewsThemAreNotInTheArena) {
  const program::Block block = program::parse(kArithmetic).main;
  const vm::MemoryPlan plan = vm::plan_memory(block, vm::serial_schedule(block));
  EXPECT_EQ(plan.slots[4].offset, vm::kNotPlanned);
  EXPECT_EQ(plan.slots[5].offset, vm::kNotPlanned);
  EXPECT_NE(plan.slots[3].offset, vm::kNotPlanned);
}

TEST(MemoryPlan, AViewKeepsItsSourceAlive) {
  const program::Block block = program::parse(R"(program 1
constant 0 int64[1]{-1}
output "y"
main {
  slot 0 "x" float32[4,4]
  slot 1 "shape" int64[1]
  slot 2 "a" float32[4,4]
  slot 3 "view" float32[16]
  slot 4 "b" float32[4,4]
  slot 5 "y" float32[16]
  slot 6 "c" float32[4,4]
  inputs(0)
  const 1 0
  2 = Relu(0)
  3 = Reshape(2, 1) after(0)
  4 = Relu(0)
  6 = Relu(4) after(2)
  5 = Relu(3) after(1)
  outputs(5)
}
)")
                                   .main;
  const vm::MemoryPlan plan = vm::plan_memory(block, vm::serial_schedule(block));
  EXPECT_NE(plan.slots[2].offset, plan.slots[4].offset);
  EXPECT_NE(plan.slots[2].offset, plan.slots[6].offset);
  EXPECT_NE(plan.slots[4].offset, plan.slots[6].offset);
}

// doubled = x + x; row 1 of it replaced by x's row 0; `kept` reads `doubled` after that, the user reads `last` of a
// chain.
constexpr std::string_view kScatter = R"(program 1
constant 0 int64[1,1]{1}
output "kept"
output "last"
main {
  slot 0 "x" float32[n,2]
  slot 1 "row" float32[1,2]
  slot 2 "at" int64[1,1]
  slot 3 "doubled" float32[n,2]
  slot 4 "first" float32[n,2]
  slot 5 "kept" float32[n,2]
  slot 6 "last" float32[n,2]
  inputs(0, 1)
  const 2 0
  3 = Add(0, 0)
  4 = ScatterND(3, 2, 1) after(0)
  5 = Neg(3) after(0)
  6 = ScatterND(4, 2, 1) with {reduction="add"} after(1)
  outputs(5, 6)
}
)";

TEST(Session, ValuesThatOthersReadAreNotOverwritten) {
  Session session(Program::from_text(kScatter), {.threads = 1});
  for (int i = 0; i < 3; ++i) {
    const NamedValues outputs =
        session.run({{"x", Tensor::of<float>({2, 2}, {1, 2, 3, 4})}, {"row", Tensor::of<float>({1, 2}, {5, 6})}});
    EXPECT_THAT(elements<float>(outputs, "kept"), ElementsAre(-2, -4, -6, -8));
    EXPECT_THAT(elements<float>(outputs, "last"), ElementsAre(2, 4, 10, 12));
  }
}

TEST(PooledAllocator, ReusesBlocksAndStaysFlatWhenSizesAlternate) {
  vm::PooledAllocator pool;
  std::size_t reserved = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::size_t size = 1000u * static_cast<unsigned>(1 + i % 4);
    std::shared_ptr<void> a = pool.allocate(size);
    std::shared_ptr<void> b = pool.allocate(size * 3);
    a.reset();
    b.reset();
    if (i == 10) reserved = pool.reserved_bytes();
  }
  EXPECT_EQ(pool.used_bytes(), 0u);
  EXPECT_EQ(pool.reserved_bytes(), reserved);
}

// Large blocks of different sizes, one after another, live in the same memory.
TEST(PooledAllocator, LargeBlocksShareSegments) {
  constexpr std::size_t kMiB = std::size_t{1} << 20;
  vm::PooledAllocator pool;
  for (const std::size_t mib : {100, 70, 40, 90}) {
    const std::shared_ptr<void> arena = pool.allocate(mib * kMiB);
    const std::shared_ptr<void> output = pool.allocate(5 * kMiB);
  }
  EXPECT_LE(pool.reserved_bytes(), 105 * kMiB);
  // Pieces grow together again.
  std::vector<std::shared_ptr<void>> pieces;
  for (int i = 0; i < 10; ++i) pieces.push_back(pool.allocate(10 * kMiB));
  std::swap(pieces[3], pieces[8]);
  pieces.clear();
  const std::shared_ptr<void> whole = pool.allocate(100 * kMiB);
  EXPECT_LE(pool.reserved_bytes(), 105 * kMiB);
}

TEST(PooledAllocator, KeepsABoundedAmountOfLargeBlocks) {
  constexpr std::size_t kMiB = std::size_t{1} << 20;
  vm::PooledAllocator pool;
  // Ever larger: what is too small to be used again is let go.
  for (std::size_t mib = 1; mib <= 100; ++mib) pool.allocate(mib * kMiB);
  EXPECT_LE(pool.reserved_bytes(), 150 * kMiB);
  EXPECT_LE(pool.peak_bytes(), 150 * kMiB);
}

// Blocks of random sizes and lives keep what is written to them, and the pool ends as it began.
TEST(PooledAllocator, BlocksDoNotOverlap) {
  vm::PooledAllocator pool;
  std::mt19937 random(5);
  struct Held {
    std::shared_ptr<void> block;
    std::size_t count;
    unsigned char mark;
  };
  std::vector<Held> held;
  const auto check = [](const Held& entry) {
    const auto* bytes = static_cast<const unsigned char*>(entry.block.get());
    return bytes[0] == entry.mark && bytes[entry.count / 2] == entry.mark && bytes[entry.count - 1] == entry.mark;
  };
  for (int i = 0; i < 4000; ++i) {
    if (held.size() < 20 && random() % 2 == 0) {
      const std::size_t count = 1 + random() % (random() % 4 == 0 ? 5'000'000 : 5'000);
      held.push_back({pool.allocate(count), count, static_cast<unsigned char>(random())});
      auto* bytes = static_cast<unsigned char*>(held.back().block.get());
      bytes[0] = bytes[count / 2] = bytes[count - 1] = held.back().mark;
    } else if (!held.empty()) {
      std::swap(held[random() % held.size()], held.back());
      ASSERT_TRUE(check(held.back()));
      held.pop_back();
    }
  }
  EXPECT_TRUE(std::ranges::all_of(held, check));
  held.clear();
  EXPECT_EQ(pool.used_bytes(), 0u);
}

TEST(PooledAllocator, ABlockMayOutliveIt) {
  std::shared_ptr<void> block;
  {
    vm::PooledAllocator pool;
    block = pool.allocate(100);
  }
  static_cast<char*>(block.get())[99] = 1;
}

TEST(PooledAllocator, RefusesTheImpossible) {
  vm::PooledAllocator pool;
  EXPECT_EQ(reason_of([&] { pool.allocate(std::size_t{1} << 62); }), "memory.exhausted");
  EXPECT_EQ(reason_of([&] { pool.allocate(~std::size_t{0}); }), "memory.exhausted");
}

}  // namespace
}  // namespace lanner
