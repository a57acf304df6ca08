#include "base/error_testing.h"
#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

// Abs becomes Neg of Neg: nonsense, but easy to see.
constexpr std::string_view kAbs[] = {"Abs"};
Verdict abs_to_neg(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  const ValueId inner = edit.node(make_node("Neg", {node.inputs[0]}));
  edit.replace(node.outputs[0], edit.node(make_node("Neg", {inner})));
  return rewrite();
}
constinit const Rule kAbsToNeg{"abs-to-neg", "Test.", kAbs, abs_to_neg};

// Relu(Abs(x)) becomes Sigmoid(x), if the Abs may go.
constexpr std::string_view kRelu[] = {"Relu"};
Verdict fuse(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  const Node* abs = graph.producer(node.inputs[0]);
  if (abs == nullptr || abs->op != "Abs") return no_match();
  if (!edit.consume(graph.value(node.inputs[0]).producer)) return near_miss("{}", edit.blocked());
  edit.replace(node.outputs[0], edit.node(make_node("Sigmoid", {abs->inputs[0]})));
  return rewrite();
}
constinit const Rule kFuse{"fuse", "Test.", kRelu, fuse};

Verdict wrong_type(const Graph& graph, NodeId at, Edit& edit) {
  edit.replace(graph.node(at).outputs[0], edit.constant(ints({1})));
  return rewrite();
}
constinit const Rule kWrongType{"wrong-type", "Test.", kAbs, wrong_type};

Verdict own_tail(const Graph& graph, NodeId at, Edit& edit) {
  const ValueId output = graph.node(at).outputs[0];
  edit.replace(output, edit.node(make_node("Neg", {output})));
  return rewrite();
}
constinit const Rule kOwnTail{"own-tail", "Test.", kAbs, own_tail};

Verdict back_and_forth(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  edit.replace(node.outputs[0], edit.node(make_node("Abs", {node.inputs[0]})));
  return rewrite();
}
constinit const Rule kBackAndForth{"back-and-forth", "Test.", kAbs, back_and_forth};

// Makes a cycle: Abs is replaced by a node that reads what the user of Abs makes.
Verdict cycle(const Graph& graph, NodeId at, Edit& edit) {
  const ValueId output = graph.node(at).outputs[0];
  const Node& user = graph.node(graph.value(output).users[0]);
  edit.replace(output, edit.node(make_node("Neg", {user.outputs[0]})));
  return rewrite();
}
constinit const Rule kCycle{"cycle", "Test.", kAbs, cycle};

using base::testing::reason_of;

struct Chain : Builder {
  ValueId x = input("x", "float32[4]");
  ValueId a = node("Abs", {x}, {}, "float32[4]");
  ValueId b = node("Relu", {a}, {}, "float32[4]");
};

TEST(Engine, KeepsOutputNamesAndRecordsWhoMadeWhat) {
  Chain chain;
  chain.output(chain.a);
  const std::string name = chain.graph.value(chain.a).name;
  const RuleReport report = apply(chain.graph, kAbsToNeg);
  ASSERT_EQ(report.firings.size(), 1u);
  EXPECT_EQ(report.firings[0].where, "Abs 'Abs_1'");
  EXPECT_THAT(report.firings[0].made, ::testing::ElementsAre("Neg 'Abs_1'", "Neg 'Abs_1'"));
  EXPECT_EQ(chain.graph.output_names()[0], name);
  EXPECT_EQ(chain.graph.value(chain.graph.outputs()[0]).name, name);
  const Node& made = find_node(chain.graph, "Neg");
  EXPECT_EQ(made.made_by, "abs-to-neg");
  EXPECT_THAT(made.stands_for, ::testing::ElementsAre("Abs"));
  // The other user of the replaced value reads the new one, which has the old one's type.
  const Node& relu = find_node(chain.graph, "Relu");
  EXPECT_EQ(chain.graph.producer(relu.inputs[0])->op, "Neg");
  EXPECT_EQ(chain.graph.value(relu.inputs[0]).type.to_string(), "float32[4]");
}

TEST(Engine, StandsForFollowsFromRuleToRule) {
  Chain chain;
  const ValueId again = chain.node("Abs", {chain.b}, {}, "float32[4]");
  chain.output(chain.node("Relu", {again}, {}, "float32[4]"));
  EXPECT_EQ(apply(chain.graph, kFuse).firings.size(), 2u);
  EXPECT_EQ(ops(chain.graph), "Sigmoid Sigmoid");
  EXPECT_THAT(find_node(chain.graph, "Sigmoid").stands_for, ::testing::ElementsAre("Abs", "Relu"));
}

TEST(Engine, RefusesToDropWhatOthersNeed) {
  Chain with_output;
  with_output.output(with_output.b);
  with_output.output(with_output.a);
  expect_declines(with_output.graph, kFuse, "the result of Abs is a graph output");

  Chain with_user;
  with_user.output(with_user.b);
  with_user.output(with_user.node("Exp", {with_user.a}));
  expect_declines(with_user.graph, kFuse, "the result of Abs has another user, Exp");
}

TEST(Engine, RefusesToChangeAType) {
  Chain chain;
  chain.output(chain.b);
  expect_declines(chain.graph, kWrongType, "has type float32[4], but its replacement int64[1]");
}

TEST(Engine, ReportsBrokenRules) {
  Chain tail;
  tail.output(tail.b);
  EXPECT_EQ(reason_of([&] { apply(tail.graph, kOwnTail); }), "graph.invalid");
  Chain loop;
  loop.output(loop.b);
  EXPECT_EQ(reason_of([&] { apply(loop.graph, kBackAndForth); }), "graph.rewrite-loop");
  Chain cyclic;
  cyclic.output(cyclic.b);
  try {
    apply(cyclic.graph, kCycle);
    FAIL() << "a cycle went unnoticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.reason(), "graph.invalid");
    EXPECT_THAT(error.what(), ::testing::HasSubstr("in pass 'test', after rule 'cycle'"));
  }
}

TEST(Engine, NearMissesAreThoseOfNodesThatAreLeft) {
  // Of the first two Relus one declines until the other user of Abs is gone.
  Chain chain;
  chain.output(chain.b);
  const ValueId dead = chain.node("Exp", {chain.a});
  const ValueId same = chain.node("Identity", {dead});
  chain.output(chain.node("Mul", {chain.b, chain.constant(floats({1}))}));
  static_cast<void>(same);
  const Rule* const rules[] = {&kFuse, &kEliminateDeadCode};
  const Pass pass{"test", rules};
  Engine engine(chain.graph, {&pass, 1}, {});
  engine.run(pass);
  ASSERT_EQ(engine.report().rules[0].near_misses.size(), 1u);
  EXPECT_EQ(engine.report().rules[0].near_misses[0].count, 1);
  engine.run(pass);
  EXPECT_TRUE(engine.report().rules[0].near_misses.empty());
  EXPECT_EQ(engine.report().rules[0].firings.size(), 1u);
}

TEST(Engine, StopsAfterSoManyEdits) {
  for (const int limit : {0, 1, 2, 3}) {
    Builder builder;
    ValueId value = builder.input("x", "float32[4]");
    for (int i = 0; i < 3; ++i) value = builder.node("Identity", {value});
    builder.output(value);
    PipelineOptions options;
    options.stop_after = limit;
    const Report report = run_pipeline(builder.graph, options);
    EXPECT_EQ(report.edit_count, limit);
    EXPECT_EQ(report.stopped, limit < 3);
    EXPECT_EQ(builder.graph.node_count(), static_cast<std::size_t>(3 - limit));
  }
}

TEST(Engine, DisabledRulesDoNotRunAndMustExist) {
  Builder builder;
  builder.output(builder.node("Identity", {builder.input("x", "float32[4]")}));
  PipelineOptions options;
  options.disabled = {"remove-no-ops"};
  run_pipeline(builder.graph, options);
  EXPECT_EQ(ops(builder.graph), "Identity");
  options.disabled = {"remove-noops"};
  try {
    run_pipeline(builder.graph, options);
    FAIL() << "an unknown rule was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.reason(), "rule.unknown");
    EXPECT_THAT(error.message(), ::testing::HasSubstr("'remove-no-ops'"));
  }
}

TEST(Engine, APassNameDisablesAllItsRules) {
  Chain chain;
  chain.output(chain.node("Relu", {chain.node("Abs", {chain.b}, {}, "float32[4]")}, {}, "float32[4]"));
  const Rule* const first[] = {&kFuse};
  const Rule* const second[] = {&kAbsToNeg, &kFuse};
  const Pass passes[] = {{"first-pass", first}, {"second-pass", second}};
  const auto ops_without = [&](const std::vector<std::string>& disabled) {
    EngineOptions options;
    options.disabled = disabled;
    Engine engine(chain.graph, passes, options);
    for (const Pass& pass : passes) engine.run(pass);
    return ops(chain.graph);
  };
  const std::string before = ops(chain.graph);
  EXPECT_EQ(ops_without({"second-pass"}), before) << "a rule is disabled in all passes";
  EXPECT_EQ(reason_of([&] { ops_without({"third-pass"}); }), "rule.unknown");
  EXPECT_EQ(ops_without({"abs-to-neg"}), "Sigmoid Sigmoid");
}

TEST(Engine, TracesPassesThatChangedSomething) {
  Builder builder;
  builder.output(builder.node("Identity", {builder.input("x", "float32[4]")}));
  PipelineOptions options;
  std::vector<std::string> passes;
  options.trace = [&](std::string_view pass, const std::string& before, const std::string& after) {
    passes.emplace_back(pass);
    EXPECT_THAT(before, ::testing::HasSubstr("Identity"));
    EXPECT_THAT(after, ::testing::Not(::testing::HasSubstr("Identity")));
  };
  run_pipeline(builder.graph, options);
  EXPECT_THAT(passes, ::testing::ElementsAre("simplify"));
}

TEST(Engine, GivesBackTheMemoryOfReplacedConstants) {
  Builder builder;
  const ValueId weights = builder.constant(floats({1, 2}));
  const ValueId shared = builder.constant(floats({3, 4}));
  const std::weak_ptr<void> memory = builder.graph.value(weights).constant.owner();
  builder.output(builder.node("Add", {weights, shared}));
  builder.output(builder.node("Mul", {builder.input("x", "float32[2]"), shared}));
  apply(builder.graph, kFoldConstants);
  EXPECT_TRUE(memory.expired());
  EXPECT_TRUE(builder.graph.value(shared).is_constant());
}

TEST(Engine, EntersNestedGraphs) {
  Builder inner;
  inner.output(inner.node("Abs", {inner.input("x", "float32[4]")}));
  Builder outer;
  Node loop = make_node("Loop", {outer.constant(Tensor::scalar<I>(2)), kNoValue, outer.input("x", "float32[4]")});
  Builder body;
  body.input("i", "int64[]");
  const ValueId goes_on = body.input("goes_on", "bool[]");
  const ValueId x = body.input("x", "float32[4]");
  body.output(goes_on);
  body.output(body.node("Abs", {x}));
  loop.graphs.emplace_back("body", std::make_unique<Graph>(std::move(body.graph)));
  outer.output(outer.add(std::move(loop), 1)[0]);
  const RuleReport report = apply(outer.graph, kAbsToNeg);
  ASSERT_EQ(report.firings.size(), 1u);
  EXPECT_EQ(report.firings[0].where, "Loop 'Loop_1'.body/Abs 'Abs_1'");
  expect_same(run_graph(outer.graph, Inputs{floats({1, -2, 3, -4})})[0], Value(floats({1, -2, 3, -4})));
}

TEST(Pipeline, RulesHaveDistinctKebabNamesAndSentences) {
  std::vector<std::string_view> names;
  for (const Rule* rule : rules()) {
    names.push_back(rule->name);
    EXPECT_THAT(std::string(rule->name), ::testing::MatchesRegex("[a-z]+(-[a-z]+)*"));
    EXPECT_TRUE(rule->doc.ends_with('.')) << rule->name;
    EXPECT_NE(rule->rewrite == nullptr, rule->rewrite_graph == nullptr) << rule->name;
  }
  std::ranges::sort(names);
  EXPECT_EQ(std::ranges::adjacent_find(names), names.end());
}

TEST(Pipeline, FoldsInRoundsWithShapeInference) {
  // Only inference can tell the shape of y, which the second Shape needs.
  Builder builder;
  const ValueId x = builder.input("x", "float32[2,3]");
  const ValueId y = builder.node("Reshape", {x, builder.node("Shape", {x}, {}, "int64[2]")});
  builder.output(builder.node("Shape", {builder.node("Exp", {y})}, {}, "int64[1]"));
  PipelineOptions options;
  int calls = 0;
  options.infer_shapes = [&](Graph& graph) {
    ++calls;
    for (const NodeId id : graph.topological_order()) {
      const Node& node = graph.node(id);
      if (node.op == "Exp") graph.set_type(node.outputs[0], graph.value(node.inputs[0]).type);
    }
  };
  builder.graph.set_type(builder.graph.outputs()[0], type("int64[?]"));
  run_pipeline(builder.graph, options);
  EXPECT_GE(calls, 1);
  EXPECT_EQ(builder.graph.node_count(), 0u);
  expect_same(run_graph(builder.graph, Inputs{numbers({2, 3})})[0], Value(ints({2, 3})));
}

}  // namespace
}  // namespace lanner::passes::testing
