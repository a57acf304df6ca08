#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

// A Reshape of `from` to `between` and a Transpose of that.
void write(Builder& b, std::string_view from, std::string_view between, std::initializer_list<I> shape,
           std::vector<I> perm, std::string_view to, bool keep = false) {
  const ValueId apart = b.node("Reshape", {b.input("x", from), b.constant(ints(shape))}, {}, between);
  b.output(b.node("Transpose", {apart}, attributes({{"perm", std::move(perm)}}), to));
  if (keep) b.output(apart);
}

TEST(TransposeFirst, HeadsBecomeChannelsLast) {
  Builder b;
  write(b, "float32[2,6,4,5]", "float32[2,3,2,4,5]", {2, 3, 2, 4, 5}, {0, 3, 4, 1, 2}, "float32[2,4,5,3,2]");
  expect_rewrites(b.graph, kTransposeFirst, "Transpose Reshape", {numbers({2, 6, 4, 5})});
  EXPECT_EQ(find_node(b.graph, "Transpose").attributes.get_ints("perm"), (std::vector<I>{0, 2, 3, 1}));
}

TEST(TransposeFirst, OnesBelongToTheirNeighbours) {
  Builder b;
  write(b, "float32[1,6,4]", "float32[1,6,4,1]", {1, 6, 4, 1}, {2, 3, 0, 1}, "float32[4,1,1,6]");
  expect_rewrites(b.graph, kTransposeFirst, "Transpose Reshape", {numbers({1, 6, 4})});
}

TEST(TransposeFirst, TheReshapeMayHaveOtherUsers) {
  Builder b;
  write(b, "float32[6,4]", "float32[3,2,4]", {3, 2, 4}, {2, 0, 1}, "float32[4,3,2]", true);
  expect_rewrites(b.graph, kTransposeFirst, "Reshape Transpose Reshape", {numbers({6, 4})});
}

TEST(TransposeFirst, DeclinesPartsThatComeApart) {
  Builder order;
  write(order, "float32[6,4]", "float32[3,2,4]", {3, 2, 4}, {1, 0, 2}, "float32[2,3,4]");
  expect_declines(order.graph, kTransposeFirst, "come apart");
  Builder between;
  write(between, "float32[6,4]", "float32[3,2,4]", {3, 2, 4}, {0, 2, 1}, "float32[3,4,2]");
  expect_declines(between.graph, kTransposeFirst, "come apart");
}

TEST(TransposeFirst, DeclinesReshapesThatMergeOrAreNotKnown) {
  Builder merges;
  write(merges, "float32[6,4]", "float32[24]", {24}, {0}, "float32[24]");
  expect_declines(merges.graph, kTransposeFirst);
  Builder both;
  write(both, "float32[6,4]", "float32[4,3,2]", {4, 3, 2}, {2, 1, 0}, "float32[2,3,4]");
  expect_declines(both.graph, kTransposeFirst, "take dimensions apart");
  Builder unknown;
  write(unknown, "float32[?,4]", "float32[?,2,4]", {-1, 2, 4}, {2, 0, 1}, "float32[4,?,2]");
  expect_declines(unknown.graph, kTransposeFirst);
}

}  // namespace
}  // namespace lanner::passes::testing
