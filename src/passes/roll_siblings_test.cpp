#include <algorithm>
#include <functional>
#include <numeric>

#include "passes/head_testing.h"

namespace lanner::passes::testing {
namespace {

constexpr I kLong = 4000;  // elements; with two operators on so many an iteration is worth it

// Siblings that each read a row of `x` float32[count,kLong].
class Siblings : public Builder {
 public:
  explicit Siblings(int count) : count(count) {
    x = input("x", fmt::format("float32[{},{}]", count, kLong));
    limit = input("limit", "float32[1]");
    inputs = {numbers({count, kLong}), floats({0.5f})};
  }

  ValueId row(int k) { return node("Gather", {x, constant(Tensor::scalar<I>(k))}, attributes({{"axis", I{0}}})); }
  // What most siblings are here: three operators.
  ValueId plain(int k) {
    return node("Abs", {node("Mul", {row(k), constant(floats({0.5f + static_cast<float>(k)}))})});
  }
  std::vector<ValueId> all(const std::function<ValueId(int)>& make) {
    std::vector<ValueId> made;
    for (int k = 0; k < count; ++k) made.push_back(make(k));
    return made;
  }
  ValueId meet(std::vector<ValueId> parts, I axis = 0) {
    const ValueId joined = node("Concat", std::move(parts), attributes({{"axis", axis}}));
    output(joined);
    return joined;
  }
  void infer() { infer_by_running(graph, inputs); }

  void expect_rolls(std::string_view after) {
    infer();
    expect_rewrites(graph, kRollSiblings, after, inputs);
    EXPECT_NO_THROW(graph.check());
  }
  void expect_stays(std::string_view reason = {}) {
    infer();
    expect_declines(graph, kRollSiblings, reason);
  }

  int count;
  ValueId x, limit;
  Inputs inputs;
};

I iterations(const Graph& graph) {
  return find_node(graph, "ForEach").attributes.require_int("count");
}

TEST(RollSiblings, RollsNIntoARegion) {
  Siblings g(5);
  g.meet(g.all([&](int k) { return g.plain(k); }));
  g.expect_rolls("ForEach");
  const Node& region = find_node(g.graph, "ForEach");
  EXPECT_EQ(ops(*region.graphs[0].second), "Gather Mul Abs");
  EXPECT_EQ(region.inputs.size(), 2u * 5u + 1u) << "rows and factors, and x";
  EXPECT_EQ(region.capture_count, 1);
  EXPECT_EQ(type_of(g.graph, region.outputs[0]).to_string(), "float32[20000]");
  EXPECT_EQ(region.graphs[0].second->node(region.graphs[0].second->topological_order()[0]).made_by, "roll-siblings");
}

TEST(RollSiblings, AllConcatsOfTheSameSiblingsAreOneRegion) {
  Siblings g(4);
  std::vector<ValueId> where;
  g.meet(g.all([&](int k) {
    const ValueId values = g.plain(k);
    where.push_back(g.node("NonZero", {g.node("Greater", {values, g.limit})}, {}, "int64[1,?]"));
    return values;
  }));
  // Beside parts that are no sibling's.
  where.insert(where.begin(), g.constant(Tensor::of<I>({1, 1}, {-1})));
  g.meet(where, 1);
  g.expect_rolls("ForEach Concat");
  EXPECT_EQ(find_node(g.graph, "ForEach").attributes.get_ints("axes"), (std::vector<I>{1, 0}));
}

TEST(RollSiblings, HoweverTheirPartOfAValueIsWritten) {
  for (int spelling = 0; spelling < 4; ++spelling) {
    SCOPED_TRACE(spelling);
    Siblings g(4);
    std::vector<ValueId> parts;
    ValueId turned = kNoValue;
    if (spelling == 0) parts = g.nodes("Split", {g.x}, 4, attributes({{"axis", I{0}}, {"num_outputs", I{4}}}));
    if (spelling == 2) turned = g.node("Transpose", {g.x});
    const auto part = [&](int k) {
      if (spelling == 0) return parts[static_cast<std::size_t>(k)];
      if (spelling == 1) return g.row(k);
      const auto at = [&](int i) { return g.constant(ints({i})); };
      if (spelling == 2) return g.node("Slice", {turned, at(k), at(k + 1), at(1)});
      return g.input(fmt::format("own{}", k), fmt::format("float32[{}]", kLong));
    };
    if (spelling == 3) {
      for (unsigned k = 0; k < 4; ++k) g.inputs.push_back(numbers({kLong}, k + 5));
    }
    g.meet(g.all([&](int k) { return g.node("Exp", {g.node("Neg", {part(k)})}); }));
    g.expect_rolls(spelling == 0 ? "Split ForEach" : spelling == 2 ? "Transpose ForEach" : "ForEach");
  }
}

TEST(RollSiblings, WhatTheyFillWithMayDiffer) {
  Siblings g(4);
  g.meet(g.all([&](int k) {
    const ValueId above = g.node("NonZero", {g.node("Greater", {g.plain(k), g.limit})}, {}, "int64[1,?]");
    Tensor label = Tensor::of<I>({1}, {I{10} * k});
    return g.node("ConstantOfShape", {g.node("Shape", {above}, {}, "int64[2]")}, attributes({{"value", label}}),
                  "int64[1,?]");
  }),
         1);
  g.expect_rolls("ForEach");
  EXPECT_EQ(ops(*find_node(g.graph, "ForEach").graphs[0].second), "Gather Mul Abs Greater NonZero Shape Expand");
}

TEST(RollSiblings, ConcatsInARowAreOne) {
  Siblings g(8);
  const std::vector<ValueId> made = g.all([&](int k) { return g.plain(k); });
  const ValueId tail = g.node("Concat", {made.begin() + 4, made.end()}, attributes({{"axis", I{-1}}}),
                              fmt::format("float32[{}]", 4 * kLong));
  g.meet({made[0], g.node("Concat", {made[1], made[2], made[3], tail}, attributes({{"axis", I{0}}}))});
  g.expect_rolls("ForEach");
  EXPECT_EQ(iterations(g.graph), 8);
}

TEST(RollSiblings, AConcatMayEndASibling) {
  Siblings g(5);
  const ValueId padding = g.constant(Tensor::of<float>({3}, {-1, -1, -1}));
  g.meet(g.all([&](int k) { return g.node("Concat", {g.plain(k), padding}, attributes({{"axis", I{0}}})); }));
  g.expect_rolls("ForEach");
  EXPECT_EQ(ops(*find_node(g.graph, "ForEach").graphs[0].second), "Gather Mul Abs Concat");
}

TEST(RollSiblings, RollsTheOthersAroundOneThatDiffers) {
  Siblings g(10);
  g.meet(g.all([&](int k) { return k == 5 ? g.node("Sqrt", {g.node("Exp", {g.row(k)})}) : g.plain(k); }));
  g.expect_rolls("Gather Exp Sqrt ForEach ForEach Concat");
}

TEST(RollSiblings, RollsWhatRunsInsideASiblingInside) {
  Siblings g(4);
  g.meet(g.all([&](int k) {
    std::vector<ValueId> parts;
    for (int i = 0; i < 4; ++i)
      parts.push_back(g.node("Neg", {g.node("Add", {g.plain(k), g.constant(floats({1.0f + static_cast<float>(i)}))})}));
    return g.node("Concat", parts, attributes({{"axis", I{0}}}));
  }),
         0);
  g.infer();
  const std::vector<Value> expected = run_graph(g.graph, g.inputs);
  apply(g.graph, kRollSiblings);
  EXPECT_EQ(ops(g.graph), "ForEach") << g.graph.to_text();
  expect_same(expected[0], run_graph(g.graph, g.inputs)[0]);
}

// The second Concat needs what the first one makes, so they are no results of one region.
TEST(RollSiblings, AConcatThatNeedsAnotherIsOfAnotherRegion) {
  Siblings g(4);
  const std::vector<ValueId> first = g.all([&](int k) { return g.plain(k); });
  const ValueId joined = g.meet(first);
  const ValueId most = g.node("ReduceMax", {joined}, attributes({{"keepdims", I{0}}}));
  g.meet(g.all([&](int k) {
    return g.node("Exp", {g.node("Sub", {g.node("Neg", {first[static_cast<std::size_t>(k)]}), most})});
  }));
  g.infer();
  const std::vector<Value> expected = run_graph(g.graph, g.inputs);
  apply(g.graph, kRollSiblings);
  EXPECT_NO_THROW(g.graph.check());
  const std::vector<Value> actual = run_graph(g.graph, g.inputs);
  for (std::size_t i = 0; i < expected.size(); ++i) expect_same(expected[i], actual[i]);
}

TEST(RollSiblings, DeclinesFewSiblings) {
  Siblings g(3);
  std::vector<ValueId> parts = g.all([&](int k) { return g.plain(k); });
  parts.push_back(g.constant(floats({1})));
  g.meet(parts);
  g.expect_stays("3 siblings are too few");
}

TEST(RollSiblings, SizesThatCannotBeDoNoHarm) {
  Siblings g(4);
  const std::string huge = "float32[4000000000000000000,9]";
  g.meet(g.all([&](int k) { return g.node("Neg", {g.node("Add", {g.row(k), g.limit}, {}, huge)}, {}, huge); }));
  EXPECT_NO_THROW(apply(g.graph, kRollSiblings));
  EXPECT_EQ(ops(g.graph), "ForEach");
  EXPECT_EQ(type_of(g.graph, g.graph.outputs()[0]).to_string(), "float32[?,9]");
}

TEST(RollSiblings, DeclinesLittleWork) {
  Siblings g(6);
  g.meet(g.all([&](int k) { return g.row(k); }));
  g.expect_stays("an iteration would do too little");
}

TEST(RollSiblings, DeclinesWhatIsAnOutput) {
  Siblings g(6);
  g.meet(g.all([&](int k) {
    const ValueId kept = g.plain(k);
    g.output(kept);
    return g.node("Neg", {kept});
  }));
  g.expect_stays("an iteration would do too little: the result of Abs is a graph output");
}

TEST(RollSiblings, DeclinesWhatIsReadElsewhere) {
  Siblings g(6);
  g.meet(g.all([&](int k) {
    const ValueId read = g.plain(k);
    g.output(g.node("Exp", {read}));
    return g.node("Neg", {read});
  }));
  g.expect_stays("the result of Abs has another user, Exp");
}

TEST(RollSiblings, DeclinesWhatASiblingReadsFromAnother) {
  Siblings g(6);
  ValueId before = g.limit;
  g.meet(g.all([&](int k) { return before = g.node("Add", {g.plain(k), before}); }));
  g.expect_stays();
}

TEST(RollSiblings, OneResultThatIsAnOutputSplitsTheRun) {
  Siblings g(9);
  g.meet(g.all([&](int k) {
    const ValueId made = g.plain(k);
    if (k == 4) g.output(made);
    return g.node("Neg", {made});
  }));
  g.infer();
  const std::vector<Value> expected = run_graph(g.graph, g.inputs);
  apply(g.graph, kRollSiblings);
  EXPECT_EQ(count_ops(g.graph, "ForEach"), 2) << g.graph.to_text();
  const std::vector<Value> actual = run_graph(g.graph, g.inputs);
  for (std::size_t i = 0; i < expected.size(); ++i) expect_same(expected[i], actual[i]);
}

TEST(RollSiblings, DeclinesOtherAttributes) {
  Siblings g(4);
  g.meet(g.all([&](int k) {
    return g.node("LeakyRelu", {g.plain(k)}, attributes({{"alpha", 0.1f * static_cast<float>(k)}}));
  }));
  g.expect_stays("no two siblings are alike: the attributes of LeakyRelu differ");
}

TEST(RollSiblings, DeclinesOtherShapes) {
  Siblings g(4);
  const ValueId flat = g.node("Reshape", {g.x, g.constant(ints({-1}))});
  const ValueId sizes = g.constant(ints({3999, 4001, 3998, 4002}));
  const std::vector<ValueId> parts = g.nodes("Split", {flat, sizes}, 4, attributes({{"axis", I{0}}}));
  g.meet(g.all([&](int k) { return g.node("Exp", {g.node("Neg", {parts[static_cast<std::size_t>(k)]})}); }));
  g.expect_stays("is float32[3999] in one and float32[4001] in another");
}

TEST(RollSiblings, DeclinesAnotherOrderInAnotherConcat) {
  Siblings g(4);
  std::vector<ValueId> other;
  g.meet(g.all([&](int k) {
    const ValueId made = g.plain(k);
    other.push_back(g.node("Neg", {made}));
    return g.node("Exp", {made});
  }));
  std::ranges::reverse(other);
  g.meet(other);
  g.expect_stays("their results do not follow each other in the Concats");
}

TEST(RollSiblings, DeclinesAnotherOutputOfAnOperator) {
  Siblings g(4);
  g.meet(g.all([&](int k) {
    const auto halves = g.nodes("Split", {g.plain(k)}, 2, attributes({{"axis", I{0}}, {"num_outputs", I{2}}}));
    return g.node("Add", {halves[static_cast<std::size_t>(k % 2)], halves[0]});
  }));
  g.expect_stays("wired differently");
}

TEST(RollSiblings, DeclinesRandomNumbers) {
  Siblings g(4);
  const std::vector<ValueId> made = g.all([&](int k) { return g.plain(k); });
  g.infer();
  g.meet(g.all([&](int k) {
    return g.node("RandomUniformLike", {made[static_cast<std::size_t>(k)]}, {}, fmt::format("float32[{}]", kLong));
  }));
  expect_declines(g.graph, kRollSiblings);
  EXPECT_EQ(count_ops(g.graph, "RandomUniformLike"), 4);
}

TEST(RollSiblings, LeavesDenseSubgraphsAlone) {
  Siblings g(4);
  const ValueId weights = g.constant(numbers({kLong, 100}));
  g.meet(g.all([&](int k) {
    const ValueId product = g.node("MatMul", {g.node("Reshape", {g.row(k), g.constant(ints({1, kLong}))}), weights});
    return g.node("Relu", {g.node("Neg", {product})});
  }));
  g.expect_stays();
}

TEST(RollSiblings, LeavesTheSameIterationManyTimesAlone) {
  Siblings g(4);
  g.meet(g.all([&](int) { return g.plain(0); }));
  g.infer();
  for (const NodeId id : g.graph.topological_order()) ASSERT_FALSE(g.graph.node(id).removed);
  expect_declines(g.graph, kRollSiblings);
}

TEST(RollSiblings, AfterSimplificationAnExtraIdentityOrCastDoesNotMatter) {
  Siblings g(6);
  g.meet(g.all([&](int k) {
    ValueId value = g.row(k);
    if (k == 2) value = g.node("Identity", {value});
    if (k == 3) value = g.node("Cast", {value}, attributes({{"to", I{static_cast<I>(ElementType::kFloat32)}}}));
    return g.node("Abs", {g.node("Mul", {value, g.constant(floats({0.5f + static_cast<float>(k)}))})});
  }));
  g.infer();
  const std::vector<Value> expected = run_graph(g.graph, g.inputs);
  run_pipeline(g.graph, {});
  EXPECT_EQ(ops(g.graph), "ForEach") << g.graph.to_text();
  EXPECT_EQ(iterations(g.graph), 6);
  expect_same(expected[0], run_graph(g.graph, g.inputs)[0]);
}

// Siblings of random operators on their own values, shared ones, constants and parts of a value, added to the graph in
// turns; now and then one differs or a value of one is needed elsewhere.
class RandomSiblings : public Siblings {
 public:
  explicit RandomSiblings(unsigned seed) : Siblings(2 + Draw(seed).of(39)), draw_(seed * 31 + 1) {
    const auto siblings = static_cast<std::size_t>(count);
    std::vector<int> order(siblings);
    std::iota(order.begin(), order.end(), 0);
    values_.resize(siblings);
    parts_ = nodes("Split", {x}, count, attributes({{"axis", I{0}}, {"num_outputs", I{count}}}));
    const ValueId flat = constant(ints({kLong}));
    for (ValueId& part : parts_) part = node("Reshape", {part, flat});
    const int odd = draw_.of(4) == 0 ? draw_.of(count) : -1;
    const int kept = draw_.of(4) == 0 ? draw_.of(count) : -1;
    const int steps = 2 + draw_.of(7);
    for (int step = 0; step < steps; ++step) {
      const int kind = draw_.of(8);
      const unsigned choice = draw_.engine()();
      std::shuffle(order.begin(), order.end(), draw_.engine());
      for (const int k : order) {
        const bool differs = k == odd && step == 1;
        values_[static_cast<std::size_t>(k)].push_back(operate(differs ? (kind + 1) % 8 : kind, choice, k));
        if (k == kept && step == 1) output(values_[static_cast<std::size_t>(k)].back());
      }
    }
    const int results = 1 + draw_.of(3);
    for (int i = 0; i < results; ++i) add_meeting(i);
    infer();
  }

 private:
  ValueId operate(int kind, unsigned choice, int k) {
    const ValueId a = operand(choice % 97, k);
    const ValueId b = operand(choice / 97 % 97, k);
    switch (kind) {
      case 0:
        return node("Add", {a, b});
      case 1:
        return node("Max", {a, b});
      case 2:
        return node("Sub", {a, b});
      case 3:
        return node("Sigmoid", {a});
      case 4:
        return node("Abs", {a});
      case 5:
        return node("Where", {node("Greater", {a, limit}), a, b});
      case 6:
        return nodes("TopK", {a, constant(ints({kLong}))}, 2, attributes({{"axis", I{0}}}))[0];
      default:
        return node("Neg", {a});
    }
  }

  // Its own value, a shared one, a constant, or its part of a value.
  ValueId operand(unsigned choice, int k) {
    const std::vector<ValueId>& own = values_[static_cast<std::size_t>(k)];
    if (!own.empty() && choice % 4 < 2) return own[choice / 4 % own.size()];
    if (choice % 4 == 2) return parts_[static_cast<std::size_t>(k)];
    const ValueId factor = constant(numbers({1}, choice + static_cast<unsigned>(k)));
    return node("Mul", {row(choice / 4 % 2 == 0 ? k : 0), factor});
  }

  void add_meeting(int i) {
    const bool listed = draw_.coin();
    meet(all([&](int k) {
           const std::vector<ValueId>& own = values_[static_cast<std::size_t>(k)];
           const ValueId value = own[own.size() - 1 - static_cast<std::size_t>(i) % own.size()];
           return listed ? node("NonZero", {node("Greater", {value, limit})}, {}, "int64[1,?]") : value;
         }),
         listed ? 1 : 0);
  }

  Draw draw_;
  std::vector<std::vector<ValueId>> values_;  // by sibling
  std::vector<ValueId> parts_;
};

TEST(RollSiblings, RandomSiblingsComputeWhatTheyDid) {
  int rolled = 0;
  for (unsigned seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE(seed);
    RandomSiblings g(seed);
    const std::vector<Value> expected = run_graph(g.graph, g.inputs);
    const RuleReport report = apply(g.graph, kRollSiblings);
    rolled += report.firings.empty() ? 0 : 1;
    ASSERT_NO_THROW(g.graph.check());
    const std::vector<Value> actual = run_graph(g.graph, g.inputs);
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) expect_same(expected[i], actual[i]);
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_GE(rolled, 75);
}

}  // namespace
}  // namespace lanner::passes::testing
