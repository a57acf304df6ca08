#include "passes/head_testing.h"

namespace lanner::passes::testing {
namespace {

HeadOptions options_of(int classes) {
  HeadOptions options;
  options.classes = classes;
  options.suppresses = false;
  return options;
}

void expect_declines_head(const HeadOptions& options, std::string_view reason) {
  Head head(options, 0);
  head.meet();
  head.infer();
  expect_declines(head.graph, kBatchClassTopK, reason);
}

TEST(BatchClassTopK, BatchesAPlainHead) {
  Head head(options_of(3), 0);
  head.meet();
  head.infer();
  expect_batches(head, kBatchClassTopK);
  EXPECT_EQ(ops(head.graph), "ClassTopK Reshape Gather");
  EXPECT_EQ(find_node(head.graph, "ClassTopK").stands_for, std::vector<std::string>(3, "TopK"));
}

TEST(BatchClassTopK, IsExactHoweverTheHeadIsSpelled) {
  for (unsigned seed = 1; seed <= 400; ++seed) {
    SCOPED_TRACE(seed);
    Draw draw(seed * 977);
    HeadOptions options = options_of(2 + draw.of(6));
    options.anchors = 2 + draw.of(20);
    options.background = draw.of(3);
    options.filter = draw.of(4) != 0;
    options.threshold_input = options.filter && draw.of(3) == 0;
    options.limit = options.filter ? draw.of(8) : draw.of(static_cast<int>(options.anchors));
    Head head(options, seed);
    head.meet();
    head.infer();
    expect_batches(head, kBatchClassTopK);
    EXPECT_EQ(count_ops(head.graph, "TopK"), 0);
    ASSERT_FALSE(HasFailure());
  }
}

TEST(BatchClassTopK, AnUnknownNumberOfAnchors) {
  HeadOptions options = options_of(3);
  options.open = true;
  Head head(options, 0);
  head.meet();
  head.infer();
  expect_batches(head, kBatchClassTopK);
  EXPECT_EQ(find_node(head.graph, "ClassTopK").attributes.require_int("row_axis"), 1);
}

TEST(BatchClassTopK, DeclinesDifferentSiblings) {
  HeadOptions options = options_of(2);
  options.thresholds = {0.5f, 0.25f};
  expect_declines_head(options, "filter by different scores");
  options = options_of(2);
  options.limits = {3, 4};
  expect_declines_head(options, "different numbers of rows");
  options = options_of(2);
  options.own_scores = {false, true};
  expect_declines_head(options, "not columns of one value");
}

TEST(BatchClassTopK, DeclinesOtherOrders) {
  for (const char* attribute : {"largest", "sorted"}) {
    HeadOptions options = options_of(3);
    options.top_attributes = attributes({{attribute, I{0}}});
    expect_declines_head(options, "not understood");
  }
}

// TopK of more rows than are left fails, so without the cap it is not the same.
TEST(BatchClassTopK, DeclinesAnUncappedNumber) {
  HeadOptions options = options_of(3);
  options.capped = false;
  options.limit = 0;  // so that the head runs when nothing is left
  expect_declines_head(options, "not understood");
}

TEST(BatchClassTopK, DeclinesWhenMostAreReadElsewhere) {
  Head head(options_of(3), 0);
  head.meet();
  for (const Head::Result& result : head.results) head.output(result.keeper);
  head.infer();
  expect_declines(head.graph, kBatchClassTopK, "needed elsewhere");
}

}  // namespace
}  // namespace lanner::passes::testing
