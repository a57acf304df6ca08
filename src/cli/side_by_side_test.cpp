#include "cli/side_by_side.h"

#include <gtest/gtest.h>

namespace lanner::cli {
namespace {

TEST(SideBySide, PutsLinesNextToEachOther) {
  EXPECT_EQ(side_by_side("one\nthree\n", "a\n\nc\nd\n"),
            "one      a\n"
            "three\n"
            "         c\n"
            "         d\n");
  EXPECT_EQ(side_by_side("×90\nabcd\n", "x\ny\n"), "×90     x\nabcd    y\n");
  EXPECT_EQ(side_by_side("", ""), "");
}

TEST(SideBySide, CutsLongNamesBetweenCharacters) {
  std::string name;
  for (int i = 0; i < 20; ++i) name += "a×";
  const std::string text = short_table({{name, "native", 3, 6, 2, 1, 3, ""}});
  std::string cut;
  for (int i = 0; i < 15; ++i) cut += "a×";
  EXPECT_EQ(text, "#OpName                          #InvokeCount    #Sum(us)  #Mean(us)\n" + cut +
                      "a…            3         6.0        2.0\n");
}

}  // namespace
}  // namespace lanner::cli
