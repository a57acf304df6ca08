#include "profile/profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "base/error_testing.h"
#include "base/file.h"

namespace lanner::profile {
namespace {

namespace fs = std::filesystem;
using base::testing::reason_of;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Label kConv{"Conv", "conv_1", "onednn", false, true};
const Label kOtherConv{"Conv", "conv_2", "onednn"};
const Label kNativeConv{"Conv", "conv_3", "native"};
const Label kNms{"NonMaxSuppression×90", "nms", "native"};
const Label kChild{"Conv", "inner", "onednn", true};

// Two runs of 100 us; times in the recorder start at 1 s.
constexpr std::int64_t kStart = 1'000'000'000;

class ProfileTest : public ::testing::Test {
 protected:
  void record(const Label& label, int start_us, int end_us, int lane = 0) {
    recorder_.record(label, kStart + start_us * 1000, kStart + end_us * 1000, lane);
  }
  Profile summary() const {
    return Profile(summarize(recorder_, {{kStart, kStart + 200'000}, {kStart + 100'000, kStart + 300'000}}));
  }
  void record_two_runs() {
    recorder_.begin_run();
    record(kConv, 0, 10);
    record(kChild, 2, 6);
    record(kNms, 10, 90, 1);
    recorder_.begin_run();
    record(kConv, 200, 230);
    record(kOtherConv, 230, 250);
    record(kNativeConv, 250, 251);
  }

  Recorder recorder_;
};

TEST_F(ProfileTest, SumsByOperatorAndBackendLargestFirst) {
  record_two_runs();
  const Profile profile = summary();
  EXPECT_EQ(profile.run_count(), 2);
  EXPECT_THAT(profile.run_ms(), ElementsAre(::testing::DoubleNear(0.1, 1e-9), ::testing::DoubleNear(0.1, 1e-9)));
  ASSERT_EQ(profile.rows().size(), 3u);
  EXPECT_EQ(profile.rows()[0].op, "NonMaxSuppression×90");
  const ProfileRow& conv = profile.rows()[1];
  EXPECT_EQ(conv.op, "Conv");
  EXPECT_EQ(conv.backend, "onednn");
  EXPECT_EQ(conv.count, 3);
  EXPECT_NEAR(conv.sum_us, 60, 1e-6);
  EXPECT_NEAR(conv.mean_us, 20, 1e-6);
  EXPECT_NEAR(conv.min_us, 10, 1e-6);
  EXPECT_NEAR(conv.max_us, 30, 1e-6);
  EXPECT_EQ(profile.rows()[2].backend, "native");
}

TEST_F(ProfileTest, ChildrenAreApartAndInNoTotal) {
  record_two_runs();
  const Profile profile = summary();
  ASSERT_EQ(profile.child_rows().size(), 1u);
  EXPECT_EQ(profile.child_rows()[0].op, "Conv");
  EXPECT_EQ(profile.child_rows()[0].count, 1);
  EXPECT_NEAR(profile.child_rows()[0].sum_us, 4, 1e-6);
  double total = 0;
  for (const ProfileRow& row : profile.rows()) total += row.sum_us;
  EXPECT_NEAR(total, 141, 1e-6);
}

TEST_F(ProfileTest, TheTableHasTheKnownColumns) {
  record_two_runs();
  EXPECT_EQ(summary().table(),
            "#OpName               #Backend  #InvokeCount  #Duration(us): Sum/Mean/Min/Max\n"
            "NonMaxSuppression×90  native               1  80.0/80.0/80.0/80.0\n"
            "Conv                  onednn               3  60.0/20.0/10.0/30.0\n"
            "Conv                  native               1  1.0/1.0/1.0/1.0\n"
            "\n"
            "Inside the subgraphs (part of the rows above)\n"
            "#OpName  #Backend  #InvokeCount  #Duration(us): Sum/Mean/Min/Max\n"
            "Conv     onednn               1  4.0/4.0/4.0/4.0\n");
}

TEST_F(ProfileTest, ALongNameKeepsItsColumnsApart) {
  const Label label{std::string(100, 'x'), "", "native"};
  record(label, 0, 1);
  EXPECT_THAT(summary().table(), HasSubstr(std::string(100, 'x') + "  native "));
}

TEST_F(ProfileTest, NoEventsMakeAnEmptyProfile) {
  const Profile profile(summarize(recorder_, {}));
  EXPECT_EQ(profile.run_count(), 0);
  EXPECT_TRUE(profile.rows().empty());
  EXPECT_EQ(profile.table(), "#OpName  #Backend  #InvokeCount  #Duration(us): Sum/Mean/Min/Max\n");
  EXPECT_EQ(json::parse(profile.json())["events"], json::array());
  EXPECT_EQ(json::parse(profile.trace_json())["traceEvents"], json::array());
}

TEST_F(ProfileTest, JsonHoldsRowsAndEvents) {
  record_two_runs();
  const json all = json::parse(summary().json());
  EXPECT_EQ(all["runs"], 2);
  EXPECT_EQ(all["run_ms"].size(), 2u);
  EXPECT_EQ(all["rows"].size(), 3u);
  EXPECT_EQ(all["rows"][0]["operator"], "NonMaxSuppression×90");
  EXPECT_EQ(all["child_rows"][0]["count"], 1);
  ASSERT_EQ(all["events"].size(), 6u);
  const json& nms = all["events"][2];
  EXPECT_EQ(nms["name"], "nms");
  EXPECT_EQ(nms["lane"], 1);
  EXPECT_EQ(nms["run"], 0);
  EXPECT_EQ(nms["child"], false);
  EXPECT_NEAR(nms["start_us"].get<double>(), 10, 1e-6);
  EXPECT_NEAR(nms["duration_us"].get<double>(), 80, 1e-6);
  EXPECT_EQ(all["events"][1]["child"], true);
  EXPECT_EQ(all["events"][5]["run"], 1);
}

TEST_F(ProfileTest, TheTraceHasOneNamedRowForEachLaneAndItsChildren) {
  record_two_runs();
  const json trace = json::parse(summary().trace_json())["traceEvents"];
  std::vector<std::string> rows;
  int complete = 0;
  for (const json& event : trace) {
    if (event["ph"] == "M" && event["name"] == "thread_name") rows.push_back(event["args"]["name"]);
    if (event["ph"] == "X") {
      ++complete;
      EXPECT_GE(event["dur"].get<double>(), 0);
      EXPECT_TRUE(event["ts"].is_number() && event["pid"].is_number() && event["tid"].is_number());
    }
  }
  EXPECT_THAT(rows, ElementsAre("lane 0", "lane 0 subgraphs", "lane 1"));
  EXPECT_EQ(complete, 6);
}

TEST_F(ProfileTest, AnyNameMakesValidJson) {
  const Label hostile{"Op\"\\\n\t\x01", "caf\xe9 \xff\xfe \"quoted\"", "na\xc3tive"};
  record(hostile, 0, 1);
  const Profile profile = summary();
  const json all = json::parse(profile.json());
  EXPECT_EQ(all["events"][0]["operator"], "Op\"\\\n\t\x01");
  EXPECT_THAT(all["events"][0]["name"].get<std::string>(), HasSubstr("\"quoted\""));
  const json trace = json::parse(profile.trace_json());
  EXPECT_EQ(trace["traceEvents"].back()["name"], "Op\"\\\n\t\x01");
  EXPECT_THAT(profile.table(), HasSubstr("#OpName"));
}

TEST_F(ProfileTest, OutlivesTheLabelsItWasMadeOf) {
  std::optional<Profile> profile;
  {
    const Label label{"Relu", "a name too long for the small string buffer", "native"};
    Recorder recorder;
    recorder.begin_run();
    recorder.record(label, kStart, kStart + 1000);
    profile.emplace(summarize(recorder, {{kStart}, {kStart + 1000}}));
  }
  EXPECT_EQ(json::parse(profile->json())["events"][0]["name"], "a name too long for the small string buffer");
}

TEST_F(ProfileTest, LanesRecordAtOnce) {
  std::vector<std::thread> lanes;
  for (int lane = 0; lane < 4; ++lane) {
    lanes.emplace_back([&, lane] {
      for (int i = 0; i < 1000; ++i) record(kConv, i, i + 1, lane);
    });
  }
  for (std::thread& lane : lanes) lane.join();
  EXPECT_EQ(summary().rows()[0].count, 4000);
}

TEST_F(ProfileTest, WritesFilesOrSaysWhyNot) {
  record_two_runs();
  const Profile profile = summary();
  const fs::path folder = fs::temp_directory_path() / ("lanner_profile_test_" + std::to_string(::getpid()));
  fs::create_directories(folder);
  profile.write_json(folder / "p.json");
  profile.write_trace(folder / "t.json");
  profile.write_html(folder / "r.html");
  EXPECT_EQ(base::read_file(folder / "p.json"), profile.json());
  EXPECT_EQ(base::read_file(folder / "t.json"), profile.trace_json());
  EXPECT_EQ(base::read_file(folder / "r.html"), profile.html());
  EXPECT_EQ(reason_of([&] { profile.write_json(folder / "missing" / "p.json"); }), "file.unwritable");
  EXPECT_EQ(reason_of([&] { profile.write_trace(folder); }), "file.unwritable");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), {}), 3);
  fs::remove_all(folder);
}

}  // namespace
}  // namespace lanner::profile
