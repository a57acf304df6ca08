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
       "declined": [{"reason": "the result of Conv has another user, Add", "count": 9, "where": ["Relu 's'"]}]}]})");
  EXPECT_THAT(text, HasSubstr("Conv+Relu                onednn          0  a\n"));
  EXPECT_THAT(text, HasSubstr("TopK                     native             b -- no kernel\n"));
  EXPECT_THAT(text, HasSubstr("native: 1 node\nonednn: 1 node\n"));
  EXPECT_THAT(text, HasSubstr("fuse                                    1       1.2\n"));
  EXPECT_THAT(text, HasSubstr("    fired 1 time: Relu 'r'\n"));
  EXPECT_THAT(text,
              HasSubstr("    declined, because the result of Conv has another user, Add, 9 times: Relu 's', ...\n"));
}

TEST(Explanation, AReportThatIsNotOneIsAnError) {
  EXPECT_EQ(reason_of([] { explanation(""); }), "report.missing");
  for (const char* report : {"no JSON", "[]", "{}", R"({"nodes": [{}], "rules": []})",
                             R"({"nodes": [], "rules": [{"rule": 1}]})", R"({"nodes": 3, "rules": [])"}) {
    EXPECT_EQ(reason_of([&] { explanation(report); }), "report.invalid") << report;
  }
}

}  // namespace
}  // namespace lanner::cli
