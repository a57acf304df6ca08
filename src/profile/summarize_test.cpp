// Two lanes, control flow and dependencies, on events with made-up times.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "profile/profile.h"

namespace lanner::profile {
namespace {

using nlohmann::json;
using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::int64_t kStart = 1'000'000'000;

// conv (wide) -> {left, right} -> loop of two iterations of body_first -> body_second -> last
struct Model {
  Label conv{"Subgraph[Conv]", "conv", "onednn", false, true};
  Label child{"Conv", "inner", "onednn", true};
  Label left{"TopK", "left", "native"};
  Label right{"Sort", "right", "native"};
  Label loop{"Loop", "loop", "native"};
  Label body_first{"Mul", "first", "native"};
  Label body_second{"Add", "second", "native"};
  Label last{"Concat", "last", "native"};

  Model() {
    left.dependencies = right.dependencies = {&conv};
    loop.dependencies = {&left};
    body_first.parent = body_second.parent = &loop;
    body_second.dependencies = {&body_first};
    last.dependencies = {&loop, &right};
  }
};

class Summarize : public ::testing::Test {
 protected:
  void record(const Label& label, int start_us, int end_us, int lane = 0, bool wide = false) {
    recorder_.record(label, kStart + (base_us_ + start_us) * 1000, kStart + (base_us_ + end_us) * 1000, lane, wide);
  }

  // A run of 100 us that starts at `at_us`; the loop takes `extra_us` longer, and so does the run.
  void record_run(int at_us, int extra_us) {
    base_us_ = at_us;
    recorder_.begin_run();
    record(model_.child, 2, 18);
    record(model_.conv, 0, 20, 0, true);
    record(model_.left, 20, 40, 0);
    record(model_.body_first, 41, 46, 1);
    record(model_.right, 20, 41, 1);
    record(model_.body_second, 46, 50, 0);
    record(model_.body_first, 51, 56, 0);
    record(model_.body_second, 57, 60, 1);
    record(model_.loop, 40, 62 + extra_us, 0);
    record(model_.last, 70 + extra_us, 90 + extra_us, 1);
    times_.start_ns.push_back(kStart + at_us * 1000);
    times_.end_ns.push_back(kStart + (at_us + 100 + extra_us) * 1000);
  }

  std::shared_ptr<const Data> data() const {
    SessionFacts facts;
    facts.lanes = 2;
    facts.memory = {3 << 20, 1 << 19, 50 << 20};
    return summarize(recorder_, times_, facts);
  }

  const NamedEvent& event(const Data& data, const std::string& name, int which = 0, int run = 0) const {
    for (const NamedEvent& candidate : data.events) {
      if (data.labels[candidate.label].name == name && candidate.run == run && which-- == 0) return candidate;
    }
    throw std::out_of_range(name);
  }

  Model model_;
  Recorder recorder_;
  RunTimes times_;
  int base_us_ = 0;
};

TEST_F(Summarize, EventsKnowWhatTheyAreInside) {
  record_run(0, 0);
  const auto data = this->data();
  const auto parent = [&](const NamedEvent& of) { return data->labels[data->events.at(of.parent).label].name; };
  EXPECT_EQ(parent(event(*data, "inner")), "conv");
  EXPECT_TRUE(event(*data, "inner").wide) << "a child has its subgraph's lanes";
  EXPECT_EQ(parent(event(*data, "first")), "loop");
  EXPECT_EQ(parent(event(*data, "second", 1)), "loop");
  EXPECT_EQ(event(*data, "left").parent, kNoEvent);
}

TEST_F(Summarize, DependenciesAreThoseOfTheSameIterationAndRun) {
  record_run(0, 0);
  record_run(200, 0);
  const auto data = this->data();
  for (int run = 0; run < 2; ++run) {
    for (int iteration = 0; iteration < 2; ++iteration) {
      const NamedEvent& second = event(*data, "second", iteration, run);
      ASSERT_EQ(second.dependencies.size(), 1u);
      EXPECT_EQ(&data->events[second.dependencies[0]], &event(*data, "first", iteration, run));
    }
    const NamedEvent& last = event(*data, "last", 0, run);
    ASSERT_EQ(last.dependencies.size(), 2u);
    EXPECT_EQ(&data->events[last.dependencies[0]], &event(*data, "loop", 0, run));
    EXPECT_EQ(&data->events[last.dependencies[1]], &event(*data, "right", 0, run));
  }
}

TEST_F(Summarize, IterationsThatRunAtOnceAreToldApartByLane) {
  Label region{"ForEach", "region", "native"};
  region.region = true;
  Label first{"Mul", "first", "native"};
  Label second{"Add", "second", "native"};
  first.parent = second.parent = &region;
  second.dependencies = {&first};
  recorder_.begin_run();
  record(first, 10, 30, 0);
  record(first, 11, 20, 1);
  record(second, 31, 60, 0);
  record(second, 35, 50, 1);
  record(region, 5, 65, 0, true);
  times_ = {{kStart}, {kStart + 70'000}};
  const auto data = this->data();
  for (const int iteration : {0, 1}) {
    const NamedEvent& last = event(*data, "second", iteration);
    ASSERT_EQ(last.dependencies.size(), 1u);
    EXPECT_EQ(&data->events[last.dependencies[0]], &event(*data, "first", iteration));
    EXPECT_EQ(data->labels[data->events.at(last.parent).label].name, "region");
  }
  // 5 to 65 without 10 to 30 and 31 to 60.
  EXPECT_NEAR(event(*data, "region").own_us, 11, 1e-6);
}

TEST_F(Summarize, ControlFlowCountsItsOwnCostOnly) {
  record_run(0, 0);
  const auto data = this->data();
  // 40 to 62, without 41..46, 46..50, 51..56 and 57..60.
  EXPECT_NEAR(event(*data, "loop").own_us, 5, 1e-6);
  for (const ProfileRow& row : data->rows) {
    if (row.op == "Loop") {
      EXPECT_NEAR(row.sum_us, 5, 1e-6);
    }
    if (row.op == "Mul") {
      EXPECT_NEAR(row.sum_us, 10, 1e-6);
    }
    EXPECT_NE(row.op, "Conv") << "a child is in no total";
  }
}

TEST_F(Summarize, BackendsAndSubgraphsHaveTheirRows) {
  record_run(0, 0);
  const auto data = this->data();
  ASSERT_EQ(data->backend_rows.size(), 2u);
  EXPECT_EQ(data->backend_rows[0].backend, "native");
  EXPECT_EQ(data->backend_rows[0].count, 8);
  EXPECT_NEAR(data->backend_rows[0].sum_us, 20 + 21 + 5 + 10 + 7 + 20, 1e-6);
  EXPECT_NEAR(data->backend_rows[1].sum_us, 20, 1e-6);
  ASSERT_EQ(data->subgraph_rows.size(), 1u);
  EXPECT_EQ(data->subgraph_rows[0].name, "conv");
  EXPECT_NEAR(data->subgraph_rows[0].sum_us, 20, 1e-6);
}

TEST_F(Summarize, LanesAreBusyWithTheirOwnWorkAndWhatAllLanesDo) {
  record_run(0, 0);
  const auto data = this->data();
  ASSERT_EQ(data->lanes.size(), 2u);
  // conv, left, second, first again, and the loop's own 40..41, 50..51, 56..57 and 60..62
  EXPECT_NEAR(data->lanes[0].busy_us, 20 + 20 + 4 + 5 + 5, 1e-6);
  EXPECT_NEAR(data->lanes[0].occupancy, 0.54, 1e-6);
  // conv, right, first, second again, last
  EXPECT_NEAR(data->lanes[1].busy_us, 20 + 21 + 5 + 3 + 20, 1e-6);
}

TEST_F(Summarize, ALaneWithoutWorkIsIdle) {
  recorder_.begin_run();
  record(model_.left, 0, 100, 0);
  times_ = {{kStart}, {kStart + 100'000}};
  const auto data = this->data();
  ASSERT_EQ(data->lanes.size(), 2u);
  EXPECT_NEAR(data->lanes[0].occupancy, 1, 1e-9);
  EXPECT_EQ(data->lanes[1].occupancy, 0);
}

TEST_F(Summarize, TheCriticalPathIsTheMedianRuns) {
  record_run(0, 30);
  record_run(200, 10);
  record_run(400, 0);
  const auto data = this->data();
  const CriticalPath& path = data->critical_path;
  EXPECT_EQ(path.run, 1);
  // conv, left, loop as a whole, last
  EXPECT_NEAR(path.length_us, 20 + 20 + 32 + 20, 1e-6);
  EXPECT_NEAR(path.serial_us, 20 + 20 + 21 + 10 + 7 + 15 + 20, 1e-6);
  EXPECT_NEAR(path.wall_us, 110, 1e-6);
  EXPECT_EQ(path.instruction_count, 4u);
  ASSERT_EQ(path.rows.size(), 4u);
  EXPECT_EQ(path.rows[0].op, "Loop");
  EXPECT_NEAR(path.rows[0].sum_us, 32, 1e-6) << "as a whole, since the path counts it so";
  for (int run = 0; run < 3; ++run) {
    for (const char* name : {"conv", "left", "loop", "last"}) {
      EXPECT_TRUE(event(*data, name, 0, run).critical) << name;
    }
    for (const char* name : {"right", "first", "second", "inner"}) {
      EXPECT_FALSE(event(*data, name, 0, run).critical) << name;
    }
  }
}

TEST_F(Summarize, TheSummaryIsTextAndJson) {
  record_run(0, 0);
  const Profile profile(data());
  const std::string text = profile.summary();
  EXPECT_THAT(text, HasSubstr("#Backend  #Share  #InvokeCount  #Duration(us): Sum/Mean/Min/Max\n"
                              "native     80.6%             8  83.0/10.4/3.0/21.0\n"
                              "onednn     19.4%             1  20.0/20.0/20.0/20.0\n"));
  EXPECT_THAT(text, HasSubstr("conv                           19.4%             1  20.0/20.0/20.0/20.0\n"));
  EXPECT_THAT(text,
              HasSubstr("Critical path of the median run: 82.0 us through 4 instructions; serial sum 103.0 us; the "
                        "run took 100.0 us\n"));
  EXPECT_THAT(text, HasSubstr("Lanes, busy time by wall-clock time: lane 0 54.0%, lane 1 69.0%\n"));
  EXPECT_THAT(text, HasSubstr("Peak memory: session 3.50 MiB (arena 3.00 MiB, pool 0.50 MiB), process 50.00 MiB\n"));

  const json all = json::parse(profile.json());
  EXPECT_EQ(all["critical_path"]["instruction_count"], 4);
  EXPECT_NEAR(all["critical_path"]["length_us"].get<double>(), 82, 1e-6);
  EXPECT_EQ(all["lanes"].size(), 2u);
  EXPECT_NEAR(all["lanes"][1]["occupancy"].get<double>(), 0.69, 1e-6);
  EXPECT_EQ(all["memory"], json({{"arena_bytes", 3 << 20}, {"pool_bytes", 1 << 19}, {"process_bytes", 50 << 20}}));
  EXPECT_EQ(all["backends"][0]["backend"], "native");
  EXPECT_EQ(all["subgraphs"][0]["name"], "conv");
  const json& last = all["events"].back();
  EXPECT_EQ(last["name"], "last");
  EXPECT_EQ(last["dependencies"], json({8, 4}));
  EXPECT_EQ(last["critical"], true);
  EXPECT_EQ(all["events"][3]["inside"], 8);
}

TEST_F(Summarize, TheTraceHasAnArrowForEachDependencyOfTheMedianRun) {
  record_run(0, 0);
  record_run(200, 10);
  const json trace = json::parse(Profile(data()).trace_json())["traceEvents"];
  std::map<int, std::vector<json>> arrows;
  for (const json& event : trace) {
    if (event["ph"] == "s" || event["ph"] == "f") arrows[event["id"]].push_back(event);
  }
  EXPECT_EQ(arrows.size(), 7u);
  for (const auto& [id, ends] : arrows) {
    ASSERT_EQ(ends.size(), 2u);
    EXPECT_EQ(ends[0]["ph"], "s");
    EXPECT_LT(ends[0]["ts"].get<double>(), ends[1]["ts"].get<double>());
    // Both ends are inside a slice of their row.
    for (const json& end : ends) {
      const bool inside = std::ranges::any_of(trace, [&](const json& slice) {
        return slice["ph"] == "X" && slice["tid"] == end["tid"] && slice["ts"] <= end["ts"] &&
               end["ts"].get<double>() <= slice["ts"].get<double>() + slice["dur"].get<double>();
      });
      EXPECT_TRUE(inside) << end;
    }
  }
}

}  // namespace
}  // namespace lanner::profile
