#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "profile/profile.h"

namespace lanner::profile {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

// The JSON inside a page, as a browser finds it.
std::string data_of(const std::string& page) {
  const std::string_view open = R"(<script type="application/json" id="profile">)";
  const std::size_t begin = page.find(open) + open.size();
  return page.substr(begin, page.find("</script>", begin) - begin);
}

TEST(Html, HoldsRunsLabelsAndTheReport) {
  Label first{"Conv", "first", "onednn"}, second{"Relu", "second", "native"};
  second.dependencies = {&first};
  Recorder recorder;
  RunTimes times;
  for (int run = 0; run < 3; ++run) {
    const std::int64_t start = 1'000'000 * (run + 1);
    recorder.begin_run();
    recorder.record(first, start + 1000, start + 3500, 0, true);
    recorder.record(second, start + 4000, start + 5000 + 1000 * run, 1);
    times.start_ns.push_back(start);
    times.end_ns.push_back(start + 10'000 * (1 + (run + 1) % 3));
  }
  SessionFacts facts;
  facts.report = R"({"nodes": [{"node": "n"}], "rules": []})";
  const Profile profile(summarize(recorder, times, facts));
  const json page = json::parse(data_of(profile.html()))["profiles"];
  ASSERT_EQ(page.size(), 1u);
  EXPECT_EQ(page[0]["report"]["nodes"][0]["node"], "n");
  EXPECT_EQ(page[0]["run_ms"].size(), 3u);
  EXPECT_EQ(page[0]["labels"][1]["op"], "Relu");
  // The median run comes first, then the fastest and the slowest.
  const json& events = page[0]["events"];
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0]["run"], 0);
  EXPECT_EQ(events[1]["run"], 2);
  EXPECT_EQ(events[2]["run"], 1);
  EXPECT_EQ(events[2]["events"], json::parse("[[0, 1.0, 2.5, 0, 3, -1, []], [1, 4.0, 2.0, 1, 2, -1, [0]]]"));
}

TEST(Html, NoNameEndsTheScript) {
  const Label hostile{"</script><script>alert(1)</script><!--", "\xff</SCRIPT>", "native"};
  Recorder recorder;
  recorder.begin_run();
  recorder.record(hostile, 0, 1000);
  SessionFacts facts;
  facts.report = R"({"nodes": [{"node": "</script>"}]})";
  const TitledProfile titled{"</script>", Profile(summarize(recorder, {{0}, {1000}}, facts))};
  const std::string data = data_of(html_page("</script>", {&titled, 1}));
  EXPECT_THAT(data, Not(HasSubstr("<")));
  const json page = json::parse(data)["profiles"][0];
  EXPECT_EQ(page["title"], "</script>");
  EXPECT_EQ(page["labels"][0]["op"], "</script><script>alert(1)</script><!--");
  EXPECT_EQ(page["report"]["nodes"][0]["node"], "</script>");
}

TEST(Html, RefersToNothingElse) {
  const std::string page = Profile(summarize(Recorder(), {})).html();
  for (const char* word : {"http:", "https:", "src=", "@import", "url(", "@PROFILE@"}) {
    EXPECT_THAT(page, Not(HasSubstr(word)));
  }
  EXPECT_THAT(page, HasSubstr("</html>"));
}

TEST(Html, HoldsTheEventsOfOnlySoManyRuns) {
  const Label label{"Relu", "", "native"};
  Recorder recorder;
  RunTimes times;
  for (int run = 0; run < 5; ++run) {
    recorder.begin_run();
    for (int i = 0; i < 40'000; ++i) recorder.record(label, i, i + 1);
    times.start_ns.push_back(0);
    times.end_ns.push_back(100'000 + 1000 * run);
  }
  const json page = json::parse(data_of(Profile(summarize(recorder, times)).html()))["profiles"][0];
  EXPECT_EQ(page["run_ms"].size(), 5u);
  ASSERT_EQ(page["events"].size(), 2u);
  EXPECT_EQ(page["events"][0]["run"], 2);
}

TEST(Html, AReportThatIsNoObjectIsLeftOut) {
  for (const char* report : {"", "no JSON", "[]"}) {
    SessionFacts facts;
    facts.report = report;
    const json page = json::parse(data_of(Profile(summarize(Recorder(), {}, facts)).html()));
    EXPECT_EQ(page["profiles"][0]["report"], json::object()) << report;
  }
}

}  // namespace
}  // namespace lanner::profile
