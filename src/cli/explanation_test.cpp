#include "cli/explanation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error_testing.h"

namespace lanner::cli {
namespace {

using base::testing::reason_of;
using ::testing::HasSubstr;

TEST(Explanation, SaysWhereRulesFiredAndWhyTheyDeclined) {
  const std::string text = explanation(R"({
    "nodes": [
      {"node": "a", "operator": "Conv+Relu", "backend": "onednn", "subgraph": 0, "reason": "", "rules": ["fuse"]},
      {"node": "b", "operator": "TopK", "backend": "native", "subgraph": null, "reason": "no kernel", "rules": []}],
    "rules": [
      {"rule": "fuse", "doc": "Fuses.", "ms": 1.25,
       "fired": [{"where": "Relu 'r'", "made": ["Conv 'a'"]}],
       "declined": [{"reason": "the result of Conv has another user, Add", "count": 9, "where": ["Relu 's'"]}]}],
    "algorithms": []})");
  EXPECT_THAT(text, HasSubstr("Conv+Relu                onednn          0  a\n"));
  EXPECT_THAT(text, HasSubstr("TopK                     native             b -- no kernel\n"));
  EXPECT_THAT(text, HasSubstr("native: 1 node\nonednn: 1 node\n"));
  EXPECT_THAT(text, HasSubstr("fuse                                    1       1.2\n"));
  EXPECT_THAT(text, HasSubstr("    fired 1 time: Relu 'r'\n"));
  EXPECT_THAT(text,
              HasSubstr("    declined, because the result of Conv has another user, Add, 9 times: Relu 's', ...\n"));
}

TEST(Explanation, SaysWhichPrecisionAndWhy) {
  std::string report = R"({
    "nodes": [
      {"node": "a", "operator": "Conv", "backend": "onednn", "subgraph": 0, "reason": "", "rules": [],
       "precision": "bf16", "precision_reason": ""},
      {"node": "b", "operator": "Conv", "backend": "onednn", "subgraph": 0, "reason": "", "rules": [],
       "precision": "f32", "precision_reason": "by itself it makes an error of 0.1"}],
    "rules": [], "algorithms": [],
    "precision": {"wanted": "auto", "tolerance": 0.02, "warnings": ["no samples"], "computes_bf16": true,
                  "judged": [{"value": "y", "error": 0.0123}, {"value": "z", "error": null}]}})";
  const std::string text = explanation(report);
  EXPECT_THAT(text, HasSubstr("  a -- bf16\n"));
  EXPECT_THAT(text, HasSubstr("  b -- f32: by itself it makes an error of 0.1\n"));
  EXPECT_THAT(text, HasSubstr("precision auto: 1 of 2 convolutions and products may use bf16\n"
                              "    error 0.012 of at most 0.02: y\n    error inf of at most 0.02: z\n"
                              "    no samples\n"));
  report.replace(report.find("true"), 4, "false");
  EXPECT_THAT(explanation(report), HasSubstr("this CPU gains nothing by bf16: they run in f32\n"));
}

TEST(Explanation, ShowsAlgorithmsWithTheirTimesOrWhyThereAreNone) {
  const std::string text = explanation(R"({
    "nodes": [], "rules": [],
    "tuning": {"level": "fast", "threads": 2, "seconds": 1.5, "peak_gflops": 700.4,
               "backends": {"onednn": {"target": "Some CPU, oneDNN 2", "problems": {}}}},
    "algorithms": [
      {"node": "a", "operator": "Conv", "backend": "onednn", "algorithm": "winograd-f4", "reason": "measured",
       "problem": "1x8x9x9 by 8x8x3x3", "macs": 1e6, "us": 12.34, "gflops": 162.07, "of_peak": 0.2314,
       "candidates": [{"algorithm": "direct", "us": 20.6, "weight_mib": 0.2},
                      {"algorithm": "winograd-f4", "us": 12.34, "weight_mib": 3.6},
                      {"algorithm": "winograd-f2", "us": null}]},
      {"node": "b", "operator": "Conv", "backend": "onednn", "algorithm": "direct", "reason": "expected",
       "problem": "p", "macs": 1, "us": null, "gflops": null, "of_peak": null,
       "candidates": [{"algorithm": "direct", "us": null}]},
      {"node": "c", "operator": "Conv", "backend": "onednn", "algorithm": "direct", "reason": "elsewhere",
       "problem": "p", "macs": 1, "us": null, "gflops": null, "of_peak": null,
       "candidates": [{"algorithm": "direct", "us": null}, {"algorithm": "winograd-f2", "us": null}]},
      {"node": "d", "operator": "Conv", "backend": "onednn", "algorithm": null, "reason": "open",
       "problem": null, "macs": null, "us": null, "gflops": null, "of_peak": null, "candidates": []}]})");
  EXPECT_THAT(text, HasSubstr("tuned (fast) for Some CPU, oneDNN 2, 2 threads, whose peak is 700 GFLOP/s\n#Algorithm"));
  EXPECT_THAT(text, HasSubstr("winograd-f4             12.3     162.1    23%  a: 1x8x9x9 by 8x8x3x3 -- "
                              "direct 21 us, winograd-f4 12 us (4 MiB), winograd-f2\n"));
  EXPECT_THAT(text, HasSubstr("  b: p -- the only one\n"));
  EXPECT_THAT(text, HasSubstr("  c: p -- tuned for another CPU or oneDNN; expected to be the fastest of direct, "
                              "winograd-f2\n"));
  EXPECT_THAT(text, HasSubstr("  d: open shapes -- decided when the shapes of its inputs are known\n"));
}

TEST(Explanation, AReportThatIsNotOneIsAnError) {
  EXPECT_EQ(reason_of([] { explanation(""); }), "report.missing");
  for (const char* report :
       {"no JSON", "[]", "{}", R"({"nodes": [{}], "rules": []})",
        R"({"nodes": [], "rules": [{"rule": 1}], "algorithms": []})", R"({"nodes": 3, "rules": [])",
        R"({"nodes": [], "rules": []})", R"({"nodes": [], "rules": [], "algorithms": [{"node": "a"}]})",
        R"({"nodes": [], "rules": [], "algorithms": [], "tuning": {}})"}) {
    EXPECT_EQ(reason_of([&] { explanation(report); }), "report.invalid") << report;
  }
}

}  // namespace
}  // namespace lanner::cli
