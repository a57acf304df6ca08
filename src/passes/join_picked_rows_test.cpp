#include <functional>

#include "passes/head_testing.h"

namespace lanner::passes::testing {
namespace {

constexpr std::string_view kList = "float32[?]";
constexpr std::string_view kTable = "float32[?,4]";

// Rows of several tables, picked where a score is positive.
struct Lists : Builder {
  explicit Lists(int count) {
    for (int k = 0; k < count; ++k) {
      const ValueId table = input(fmt::format("table{}", k), "float32[6,4]");
      const ValueId scores = input(fmt::format("scores{}", k), "float32[6]");
      const ValueId mask = node("Greater", {scores, number(0.f)}, {}, "bool[6]");
      const ValueId rows = node("Squeeze", {node("NonZero", {mask}, {}, "int64[1,?]"), axes({0})}, {}, "int64[?]");
      picked.push_back(node("Gather", {table, rows}, {}, kTable));
      places.push_back(rows);
    }
  }

  ValueId number(float value) { return constant(Tensor::scalar(value)); }
  ValueId axes(std::initializer_list<I> values) { return constant(ints(values)); }
  ValueId column(ValueId table, I index) {
    return node("Gather", {table, constant(Tensor::scalar<I>(index))}, attributes({{"axis", I{1}}}), kList);
  }
  ValueId joined(const std::vector<ValueId>& parts, std::string_view type_text, I axis = 0) {
    return node("Concat", parts, attributes({{"axis", axis}}), type_text);
  }
  // What `each` makes of each list, joined.
  void meet(const std::function<ValueId(ValueId)>& each, std::string_view type_text, I axis = 0) {
    std::vector<ValueId> parts;
    for (const ValueId list : picked) parts.push_back(each(list));
    output(joined(parts, type_text, axis));
  }

  // From no rows at all to all of them.
  std::vector<Value> inputs(unsigned seed) const {
    Draw draw(seed * 7 + 1);
    std::vector<Value> values;
    for (std::size_t k = 0; k < picked.size(); ++k) {
      values.emplace_back(numbers({6, 4}, seed * 11 + static_cast<unsigned>(k)));
      Tensor scores = Tensor::allocate(ElementType::kFloat32, {6});
      const int kind = draw.of(4);
      for (float& score : scores.values<float>()) score = kind == 0 ? -1 : kind == 1 ? 1 : draw.unit() - 0.5f;
      values.emplace_back(scores);
    }
    return values;
  }

  std::vector<ValueId> picked;
  std::vector<ValueId> places;
};

void expect_joins(Lists& lists, std::string_view after) {
  const Graph before = lists.graph;
  EXPECT_FALSE(apply(lists.graph, kJoinPickedRows).firings.empty()) << before.to_text();
  std::string text = ops(lists.graph);
  // What picks the rows stays as it was.
  for (std::size_t at; (at = text.find("Greater NonZero Squeeze Gather")) != std::string::npos;) {
    text.erase(at, std::string_view("Greater NonZero Squeeze Gather ").size());
  }
  EXPECT_EQ(text, after) << lists.graph.to_text();
  for (unsigned seed = 0; seed < 20; ++seed) {
    const auto expected = run_graph(before, lists.inputs(seed));
    const auto actual = run_graph(lists.graph, lists.inputs(seed));
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i) expect_same(expected[i], actual[i]);
    ASSERT_FALSE(::testing::Test::HasFailure()) << "seed " << seed;
  }
}

TEST(JoinPickedRows, DecodesTheBoxesOfAllLevelsAtOnce) {
  Lists p(3);
  std::vector<ValueId> labels;
  std::vector<ValueId> boxes;
  for (std::size_t k = 0; k < 3; ++k) {
    const ValueId width = p.node("Sub", {p.column(p.picked[k], 2), p.column(p.picked[k], 0)}, {}, kList);
    const ValueId scaled = p.node("Mul", {p.node("Exp", {p.column(p.picked[k], 1)}, {}, kList), width}, {}, kList);
    const ValueId side = p.node("Unsqueeze", {scaled, p.axes({1})}, {}, "float32[?,1]");
    const ValueId other = p.node("Unsqueeze", {width, p.axes({1})}, {}, "float32[?,1]");
    const ValueId both = p.node("Concat", {side, other}, attributes({{"axis", I{1}}}), "float32[?,2]");
    boxes.push_back(p.node("Clip", {both, p.number(0), p.number(2)}, {}, "float32[?,2]"));
    labels.push_back(p.node("Mod", {p.places[k], p.constant(Tensor::scalar<I>(3))}, {}, "int64[?]"));
  }
  p.output(p.joined(boxes, "float32[?,2]"));
  p.output(p.joined(labels, "int64[?]"));
  expect_joins(p, "Concat Gather Gather Sub Gather Exp Mul Unsqueeze Unsqueeze Concat Clip Concat Mod");
  EXPECT_EQ(find_node(p.graph, "Sub").stands_for, std::vector<std::string>(3, "Sub"));
}

TEST(JoinPickedRows, EveryOperatorThatKeepsRowsApart) {
  struct Each {
    std::function<ValueId(Lists&, ValueId)> make;
    std::string_view type_text = kTable;
    I axis = 0;
    std::string_view after;
  };
  const Each cases[] = {
      {[](Lists& p, ValueId x) { return p.node("Neg", {x}, {}, kTable); }, kTable, 0, "Concat Neg"},
      {[](Lists& p, ValueId x) {
         return p.node("Add", {p.constant(floats({1, 2, 3, 4})), x}, {}, kTable);
       },
       kTable, 0, "Concat Add"},
      {[](Lists& p, ValueId x) { return p.node("Transpose", {x}, {}, "float32[4,?]"); }, "float32[4,?]", 1,
       "Concat Transpose"},
      {[](Lists& p, ValueId x) {
         return p.node("Reshape", {x, p.axes({-1, 2, 2})}, {}, "float32[?,2,2]");
       },
       "float32[?,2,2]", 0, "Concat Reshape"},
      {[](Lists& p, ValueId x) {
         return p.node("Flatten", {p.node("Reshape", {x, p.axes({0, 2, 2})}, {}, "float32[?,2,2]")}, {}, kTable);
       },
       kTable, 0, "Concat Reshape Flatten"},
      {[](Lists& p, ValueId x) {
         return p.node("Slice", {x, p.axes({0}), p.axes({4}), p.axes({1}), p.axes({2})}, {}, "float32[?,2]");
       },
       "float32[?,2]", 0, "Concat Slice"},
      {[](Lists& p, ValueId x) {
         return p.node("Unsqueeze", {x, p.axes({0, 2})}, {}, "float32[1,?,1,4]");
       },
       "float32[1,?,1,4]", 1, "Concat Unsqueeze"},
      {[](Lists& p, ValueId x) {
         const ValueId more = p.node("Unsqueeze", {x, p.axes({0, 2})}, {}, "float32[1,?,1,4]");
         return p.node("Squeeze", {more, p.axes({-2})}, {}, "float32[1,?,4]");
       },
       "float32[1,?,4]", 1, "Concat Unsqueeze Squeeze"},
      {[](Lists& p, ValueId x) {
         return p.node("Where", {p.node("Less", {x, p.number(0)}, {}, "bool[?,4]"), p.number(7), x}, {}, kTable);
       },
       kTable, 0, "Concat Less Where"},
      {[](Lists& p, ValueId x) {
         const auto parts =
             p.nodes("Split", {x}, 2, attributes({{"axis", I{1}}, {"num_outputs", I{2}}}), "float32[?,2]");
         return p.node("Sub", {parts[1], parts[0]}, {}, "float32[?,2]");
       },
       "float32[?,2]", 0, "Concat Split Sub"},
  };
  for (std::size_t i = 0; i < std::size(cases); ++i) {
    SCOPED_TRACE(i);
    Lists p(3);
    p.meet([&](ValueId list) { return cases[i].make(p, list); }, cases[i].type_text, cases[i].axis);
    expect_joins(p, cases[i].after);
  }
}

TEST(JoinPickedRows, AGatherByPickedRowsFromOneTable) {
  Lists p(3);
  const ValueId table = p.constant(numbers({6, 2}));
  std::vector<ValueId> parts;
  for (const ValueId rows : p.places) parts.push_back(p.node("Gather", {table, rows}, {}, "float32[?,2]"));
  p.output(p.joined(parts, "float32[?,2]"));
  p.meet([](ValueId list) { return list; }, kTable);
  expect_joins(p, "Concat Concat Gather");
}

// Anchors are constants of each level, boxes are split from those of all.
TEST(JoinPickedRows, LooksUpInOneTableWhatIsPartOfIt) {
  Lists p(3);
  const ValueId all = p.constant(numbers({1, 18, 2}, 9));
  const ValueId hidden = p.node("Neg", {all}, {}, "float32[1,18,2]");
  const auto parts = p.nodes("Split", {hidden, p.axes({6, 6, 6})}, 3, attributes({{"axis", I{1}}}), "float32[1,6,2]");
  std::vector<ValueId> boxes;
  for (std::size_t k = 0; k < 3; ++k) {
    const ValueId anchors = p.constant(numbers({6, 2}, static_cast<unsigned>(k)));
    const ValueId table = p.node("Squeeze", {parts[k], p.axes({0})}, {}, "float32[6,2]");
    boxes.push_back(p.node("Add",
                           {p.node("Gather", {table, p.places[k]}, {}, "float32[?,2]"),
                            p.node("Gather", {anchors, p.places[k]}, {}, "float32[?,2]")},
                           {}, "float32[?,2]"));
  }
  p.output(p.joined(boxes, "float32[?,2]"));
  p.meet([](ValueId list) { return list; }, kTable);
  expect_joins(p, "Neg Concat Add Add Concat Reshape Gather Gather Add");
}

// A negative number counts from the end of its own table.
TEST(JoinPickedRows, DeclinesOneTableForRowsThatMayBeNegative) {
  Lists p(3);
  std::vector<ValueId> parts;
  for (std::size_t k = 0; k < 3; ++k) {
    const ValueId rows = p.node("Neg", {p.places[k]}, {}, "int64[?]");
    parts.push_back(
        p.node("Gather", {p.constant(numbers({6, 2}, static_cast<unsigned>(k))), rows}, {}, "float32[?,2]"));
  }
  p.output(p.joined(parts, "float32[?,2]"));
  p.meet([](ValueId list) { return list; }, kTable);
  expect_declines(p.graph, kJoinPickedRows);
}

// Something of each list is its own.
TEST(JoinPickedRows, BeginsWhereListsDiffer) {
  Lists p(3);
  std::vector<ValueId> parts;
  for (std::size_t k = 0; k < 3; ++k) {
    const ValueId scaled = p.node("Mul", {p.picked[k], p.number(static_cast<float>(k + 2))}, {}, kTable);
    parts.push_back(p.node("Exp", {scaled}, {}, kTable));
  }
  p.output(p.joined(parts, kTable));
  expect_joins(p, "Mul Mul Mul Concat Exp");
}

TEST(JoinPickedRows, LeavesWhatIsReadElsewhereWhereItIs) {
  for (const bool is_output : {true, false}) {
    Lists p(3);
    std::vector<ValueId> parts;
    for (std::size_t k = 0; k < 3; ++k) {
      const ValueId scaled = p.node("Neg", {p.picked[k]}, {}, kTable);
      if (k == 1) p.output(is_output ? scaled : p.node("Abs", {scaled}, {}, kTable));
      parts.push_back(p.node("Exp", {scaled}, {}, kTable));
    }
    p.output(p.joined(parts, kTable));
    const Graph before = p.graph;
    EXPECT_EQ(apply(p.graph, kJoinPickedRows).firings.size(), 1u);
    EXPECT_EQ(count_ops(p.graph, "Neg"), 3);
    EXPECT_EQ(count_ops(p.graph, "Exp"), 1);
    const auto expected = run_graph(before, p.inputs(5));
    const auto actual = run_graph(p.graph, p.inputs(5));
    for (std::size_t i = 0; i < actual.size(); ++i) expect_same(expected[i], actual[i]);
  }
}

TEST(JoinPickedRows, DeclinesListsThatDiffer) {
  Lists order(2);
  const ValueId a = order.node("Neg", {order.picked[0]}, {}, kTable);
  const ValueId b = order.node("Neg", {order.picked[1]}, {}, kTable);
  order.output(order.joined({a, b}, kTable));
  order.output(order.joined({b, a}, kTable));
  expect_declines(order.graph, kJoinPickedRows, "read elsewhere");

  Lists operators(2);
  operators.output(operators.joined({operators.node("Neg", {operators.picked[0]}, {}, kTable),
                                     operators.node("Exp", {operators.picked[1]}, {}, kTable)},
                                    kTable));
  expect_declines(operators.graph, kJoinPickedRows);

  Lists settings(2);
  settings.output(
      settings.joined({settings.node("LeakyRelu", {settings.picked[0]}, attributes({{"alpha", 0.1f}}), kTable),
                       settings.node("LeakyRelu", {settings.picked[1]}, attributes({{"alpha", 0.2f}}), kTable)},
                      kTable));
  expect_declines(settings.graph, kJoinPickedRows);

  Lists twice(2);
  const ValueId same = twice.node("Neg", {twice.picked[0]}, {}, kTable);
  twice.output(twice.joined({same, same}, kTable));
  expect_declines(twice.graph, kJoinPickedRows);
}

// A list may meet others in Concats of different lengths.
TEST(JoinPickedRows, ListsThatMeetMoreThanOnce) {
  Lists p(3);
  std::vector<ValueId> parts;
  for (const ValueId list : p.picked) parts.push_back(p.node("Neg", {list}, {}, kTable));
  std::vector<ValueId> more;
  for (const ValueId part : parts) more.push_back(p.node("Abs", {part}, {}, kTable));
  p.output(p.joined(more, kTable));
  p.output(p.joined({p.node("Exp", {parts[2]}, {}, kTable), p.node("Exp", {parts[1]}, {}, kTable)}, kTable));
  const Graph before = p.graph;
  EXPECT_FALSE(apply(p.graph, kJoinPickedRows).firings.empty());
  const auto expected = run_graph(before, p.inputs(3));
  const auto actual = run_graph(p.graph, p.inputs(3));
  for (std::size_t i = 0; i < actual.size(); ++i) expect_same(expected[i], actual[i]);
}

TEST(JoinPickedRows, DeclinesWhatMixesRows) {
  Lists sum(3);
  sum.meet(
      [&](ValueId list) {
        return sum.node("CumSum", {list, sum.constant(Tensor::scalar<I>(0))}, {}, kTable);
      },
      kTable);
  expect_declines(sum.graph, kJoinPickedRows);
  Lists first(3);
  first.meet(
      [&](ValueId list) {
        return first.node("Slice", {list, first.axes({0}), first.axes({2}), first.axes({0})}, {}, kTable);
      },
      kTable);
  expect_declines(first.graph, kJoinPickedRows);
  Lists pairs(3);
  pairs.meet(
      [&](ValueId list) {
        return pairs.node("Reshape", {list, pairs.axes({-1, 2})}, {}, "float32[?,2]");
      },
      "float32[?,2]");
  expect_declines(pairs.graph, kJoinPickedRows);
  Lists along(3);
  along.meet([&](ValueId list) { return along.node("Neg", {list}, {}, kTable); }, "float32[?,12]", 1);
  expect_declines(along.graph, kJoinPickedRows);
}

// A single row would be broadcast over the others of its list.
TEST(JoinPickedRows, DeclinesRowsThatMayBeBroadcast) {
  Lists p(3);
  std::vector<ValueId> parts;
  for (std::size_t k = 0; k < 3; ++k) {
    const ValueId other = p.input(fmt::format("other{}", k), kTable);
    parts.push_back(p.node("Add", {p.picked[k], other}, {}, kTable));
  }
  p.output(p.joined(parts, kTable));
  expect_declines(p.graph, kJoinPickedRows);
}

TEST(JoinPickedRows, DeclinesRowsThatWereNotPicked) {
  Builder p;
  std::vector<ValueId> parts;
  for (int k = 0; k < 3; ++k) {
    parts.push_back(p.node("Relu", {p.input(fmt::format("x{}", k), "float32[1,?,4]")}, {}, "float32[1,?,4]"));
  }
  p.output(p.node("Concat", parts, attributes({{"axis", I{1}}}), "float32[1,?,4]"));
  expect_declines(p.graph, kJoinPickedRows);
}

TEST(JoinPickedRows, DeclinesWhereThereWouldBeNoLess) {
  Lists p(2);
  std::vector<ValueId> parts;
  for (std::size_t k = 0; k < 2; ++k) {
    const ValueId scaled = p.node("Mul", {p.picked[k], p.number(static_cast<float>(k + 2))}, {}, kTable);
    parts.push_back(p.node("Concat", {p.picked[k], scaled}, attributes({{"axis", I{1}}}), "float32[?,8]"));
  }
  p.output(p.joined(parts, "float32[?,8]"));
  expect_declines(p.graph, kJoinPickedRows, "as many operators");
}

// The same random arithmetic for each list; some of it is read elsewhere, some differs.
TEST(JoinPickedRows, RandomArithmetic) {
  int joined = 0;
  for (unsigned seed = 1; seed <= 500; ++seed) {
    SCOPED_TRACE(seed);
    Draw draw(seed * 613);
    const int count = 2 + draw.of(5);
    Lists p(count);
    std::vector<std::vector<ValueId>> columns{p.picked};
    for (int steps = 1 + draw.of(12); steps > 0; --steps) {
      const auto any = [&] { return static_cast<std::size_t>(draw.of(static_cast<int>(columns.size()))); };
      const std::vector<ValueId>& a = columns[any()];
      const std::vector<ValueId>& b = columns[any()];
      constexpr const char* kUnary[] = {"Neg", "Abs", "Relu"};
      constexpr const char* kBinary[] = {"Add", "Sub", "Max"};
      const int kind = draw.of(4);
      const char* op = (kind == 0 ? kUnary : kBinary)[draw.of(3)];
      const int odd = draw.of(8) == 0 ? draw.of(count) : -1;
      std::vector<ValueId> made;
      for (int k = 0; k < count; ++k) {
        const auto part = static_cast<std::size_t>(k);
        std::vector<ValueId> inputs{a[part]};
        if (kind == 1) inputs.push_back(p.number(k == odd ? 3.f : 2.f));
        if (kind > 1) inputs.push_back(k == odd ? a[part] : b[part]);
        made.push_back(p.node(op, std::move(inputs), {}, kTable));
      }
      columns.push_back(std::move(made));
    }
    p.output(p.joined(columns.back(), kTable));
    if (draw.coin()) p.output(p.joined(columns[columns.size() / 2], kTable));
    if (draw.of(3) == 0) p.output(columns[columns.size() / 2][0]);
    const Graph before = p.graph;
    joined += apply(p.graph, kJoinPickedRows).firings.empty() ? 0 : 1;
    EXPECT_LE(p.graph.topological_order().size(), before.topological_order().size());
    for (unsigned draws = 0; draws < 4; ++draws) {
      const auto expected = run_graph(before, p.inputs(seed + draws));
      const auto actual = run_graph(p.graph, p.inputs(seed + draws));
      for (std::size_t i = 0; i < actual.size(); ++i) expect_same(expected[i], actual[i]);
    }
    ASSERT_FALSE(HasFailure()) << before.to_text();
  }
  EXPECT_GT(joined, 300);
}

}  // namespace
}  // namespace lanner::passes::testing
