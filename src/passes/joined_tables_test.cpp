#include "passes/joined_tables.h"

#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

std::optional<JoinedTables> tables_of(const Builder& builder, const std::vector<ValueId>& tables) {
  return joined_tables(Selections(builder.graph), tables);
}

struct Parts : Builder {
  ValueId all = input("all", "float32[1,9,2]");

  std::vector<ValueId> split(std::initializer_list<I> sizes, I axis, std::initializer_list<std::string_view> types) {
    const auto parts =
        nodes("Split", {all, constant(ints(sizes))}, static_cast<int>(sizes.size()), attributes({{"axis", axis}}));
    std::vector<ValueId> result;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      graph.set_type(parts[i], type(*(types.begin() + i)));
      const Shape shape = *graph.value(parts[i]).type.static_shape();
      result.push_back(
          node("Squeeze", {parts[i], constant(ints({0}))}, {}, fmt::format("float32[{},{}]", shape[1], shape[2])));
    }
    return result;
  }
};

TEST(JoinedTables, PartsOfOneValue) {
  Parts p;
  const auto tables = p.split({3, 4, 2}, 1, {"float32[1,3,2]", "float32[1,4,2]", "float32[1,2,2]"});
  const auto joined = tables_of(p, tables);
  ASSERT_TRUE(joined);
  EXPECT_EQ(joined->value, p.all);
  EXPECT_EQ(joined->dims, (std::vector<I>{9, 2}));
  EXPECT_EQ(joined->starts, (std::vector<I>{0, 3, 7}));
  EXPECT_EQ(tables_of(p, {tables[2], tables[0]})->starts, (std::vector<I>{7, 0}));
}

TEST(JoinedTables, Constants) {
  Builder p;
  const auto joined = tables_of(
      p, {p.constant(Tensor::of<float>({2, 2}, {1, 2, 3, 4})),
          p.constant(Tensor::allocate(ElementType::kFloat32, {0, 2})), p.constant(Tensor::of<float>({1, 2}, {5, 6}))});
  ASSERT_TRUE(joined);
  EXPECT_EQ(joined->starts, (std::vector<I>{0, 2, 2}));
  EXPECT_EQ(joined->constant.shape(), Shape({3, 2}));
  EXPECT_THAT(joined->constant.values<float>(), ::testing::ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(JoinedTables, NothingWithoutCopying) {
  Parts columns;
  EXPECT_FALSE(tables_of(columns, columns.split({1, 1}, 2, {"float32[1,9,1]", "float32[1,9,1]"})));
  Parts computed;
  auto tables = computed.split({3, 6}, 1, {"float32[1,3,2]", "float32[1,6,2]"});
  tables[0] = computed.node("Neg", {tables[0]}, {}, "float32[3,2]");
  EXPECT_FALSE(tables_of(computed, tables));
  Builder others;
  EXPECT_FALSE(tables_of(others, {others.input("a", "float32[3,2]"), others.input("b", "float32[3,2]")}));
  EXPECT_FALSE(tables_of(others, {others.input("c", "float32[?,2]"), others.input("d", "float32[?,2]")}));
  EXPECT_FALSE(tables_of(others, {others.constant(numbers({2, 2})), others.constant(numbers({2, 3}))}));
  EXPECT_FALSE(tables_of(others, {others.constant(numbers({2, 2})), others.input("e", "float32[2,2]")}));
  EXPECT_FALSE(tables_of(others, {others.constant(numbers({2})), others.constant(numbers<double>({2}))}));
}

}  // namespace
}  // namespace lanner::passes::testing
