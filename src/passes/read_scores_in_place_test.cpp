#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

// The scores of three levels, split from all.
struct Levels : Builder {
  ValueId all = input("scores", "float32[1,9,2]");
  ValueId boxes = input("boxes", "float32[4,4]");
  std::vector<ValueId> levels = nodes("Split", {all, constant(ints({3, 4, 2}))}, 3, attributes({{"axis", I{1}}}));

  Levels() {
    const char* types[] = {"float32[1,3,2]", "float32[1,4,2]", "float32[1,2,2]"};
    for (std::size_t i = 0; i < 3; ++i) graph.set_type(levels[i], type(types[i]));
  }
  ValueId flat(std::size_t level, std::string_view type_text) {
    return node("Reshape", {levels[level], constant(ints({-1}))}, {}, type_text);
  }
  void best(ValueId scores, I row_stride, std::vector<I> offsets, I row_count, std::string activation = {}) {
    tensor::Attributes settings = attributes(
        {{"offsets", std::move(offsets)}, {"row_stride", row_stride}, {"row_count", row_count}, {"row_axis", I{1}}});
    if (!activation.empty()) settings.set("activation", std::move(activation));
    add_outputs(
        make_node("ClassTopK", {scores, constant(floats({0.3f})), constant(ints({3}))}, std::move(settings), "lanner"),
        3);
  }
  void suppress(ValueId scores) {
    add_outputs(make_node("ClassNonMaxSuppression",
                          {boxes, scores, constant(floats({0.3f})), constant(ints({3})), constant(floats({0.5f}))},
                          attributes({{"offsets", std::vector<I>{0, 1}}, {"row_stride", I{2}}}), "lanner"),
                4);
  }
  void add_outputs(Node made, int count) {
    for (const ValueId value : add(std::move(made), count)) output(value);
  }
  Inputs inputs() const { return {numbers({1, 9, 2}, 3), numbers({4, 4})}; }
};

TEST(ReadScoresInPlace, LevelsOfOneTensor) {
  for (const char* activation : {"", "Sigmoid"}) {
    Levels p;
    p.best(p.flat(0, "float32[6]"), 1, {0}, 6, activation);
    p.best(p.flat(1, "float32[8]"), 1, {0}, 8, activation);
    p.best(p.levels[2], 2, {1, 0}, 2, activation);
    expect_rewrites(p.graph, kReadScoresInPlace, "ClassTopK ClassTopK ClassTopK", p.inputs());
    std::vector<std::vector<I>> offsets;
    for (const NodeId id : p.graph.topological_order()) {
      offsets.push_back(p.graph.node(id).attributes.get_ints("offsets"));
    }
    EXPECT_THAT(offsets, ::testing::UnorderedElementsAre(std::vector<I>{0}, std::vector<I>{6}, std::vector<I>{15, 14}));
  }
}

TEST(ReadScoresInPlace, ForSuppressionToo) {
  Levels p;
  p.suppress(p.levels[1]);
  expect_rewrites(p.graph, kReadScoresInPlace, "ClassNonMaxSuppression", p.inputs());
  EXPECT_EQ(find_node(p.graph, "ClassNonMaxSuppression").attributes.get_ints("offsets"), (std::vector<I>{6, 7}));
}

TEST(ReadScoresInPlace, DeclinesPartsInAnotherOrder) {
  Levels column;
  column.best(column.node("Gather", {column.levels[1], column.constant(Tensor::scalar<I>(1))},
                          attributes({{"axis", I{2}}}), "float32[1,4]"),
              1, {0}, 4);
  expect_declines(column.graph, kReadScoresInPlace);
  Levels turned;
  turned.best(
      turned.node("Transpose", {turned.levels[1]}, attributes({{"perm", std::vector<I>{0, 2, 1}}}), "float32[1,2,4]"),
      1, {0, 4}, 4);
  expect_declines(turned.graph, kReadScoresInPlace);
}

TEST(ReadScoresInPlace, DeclinesWhereTheShapeOfTheScoresCounts) {
  Levels rows;
  rows.best(rows.levels[1], 2, {0, 1}, -1);
  expect_declines(rows.graph, kReadScoresInPlace);
  Levels softmax;
  softmax.best(softmax.levels[1], 2, {1}, 4, "Softmax");
  expect_declines(softmax.graph, kReadScoresInPlace);
}

TEST(ReadScoresInPlace, DeclinesScoresThatAreComputed) {
  Levels p;
  p.best(p.node("Sigmoid", {p.levels[1]}, {}, "float32[1,4,2]"), 2, {0, 1}, 4);
  expect_declines(p.graph, kReadScoresInPlace);
}

}  // namespace
}  // namespace lanner::passes::testing
