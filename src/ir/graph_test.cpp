#include "ir/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/error_testing.h"

namespace lanner::ir {
namespace {

using base::testing::reason_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// x -> a -> b -> out, with b also reading a constant twice.
class GraphTest : public ::testing::Test {
 protected:
  static NodeId add(Graph& graph, std::string op, std::vector<ValueId> inputs, std::vector<std::string> outputs) {
    Node node;
    node.op = std::move(op);
    node.name = "node_" + outputs.at(0);
    node.inputs = std::move(inputs);
    return graph.add_node(std::move(node), outputs);
  }

  NodeId add(std::string op, std::vector<ValueId> inputs, std::vector<std::string> outputs) {
    return add(graph_, std::move(op), std::move(inputs), std::move(outputs));
  }
  ValueId output_of(NodeId node, std::size_t position = 0) const { return graph_.node(node).outputs[position]; }
  const std::vector<NodeId>& users(ValueId value) const { return graph_.value(value).users; }

  std::string contradiction() const {
    try {
      graph_.check();
    } catch (const Error& error) {
      EXPECT_EQ(error.reason(), "graph.invalid");
      EXPECT_EQ(error.code(), ErrorCode::kInternal);
      return error.message();
    }
    return "";
  }

  Graph graph_{"g"};
  ValueId x_ = graph_.add_input("x", ValueType::tensor(ElementType::kFloat32, {2}));
  ValueId c_ = graph_.add_constant("c", Tensor::of<float>({2}, {1, 2}));
  NodeId a_ = add("Relu", {x_}, {"a"});
  NodeId b_ = add("Sum", {output_of(a_), c_, c_}, {"b"});
  void SetUp() override { graph_.add_output(output_of(b_)); }
};

TEST_F(GraphTest, KnowsUsersAndProducers) {
  EXPECT_THAT(users(x_), ElementsAre(a_));
  EXPECT_THAT(users(c_), ElementsAre(b_, b_));
  EXPECT_THAT(users(output_of(b_)), IsEmpty());
  EXPECT_EQ(graph_.producer(output_of(a_)), &graph_.node(a_));
  EXPECT_EQ(graph_.producer(x_), nullptr);
  EXPECT_EQ(graph_.producer(c_), nullptr);
  EXPECT_TRUE(graph_.is_output(output_of(b_)));
  EXPECT_FALSE(graph_.is_output(output_of(a_)));
  EXPECT_TRUE(graph_.value(c_).is_constant());
  EXPECT_EQ(graph_.value(c_).type.to_string(), "float32[2]");
  EXPECT_EQ(contradiction(), "");
}

TEST_F(GraphTest, NumbersTheOutputsOfANode) {
  const NodeId split = add("Split", {x_}, {"s", "", "t"});
  for (int i = 0; i < 3; ++i) {
    const Value& value = graph_.value(output_of(split, static_cast<std::size_t>(i)));
    EXPECT_EQ(value.producer, split);
    EXPECT_EQ(value.producer_output, i);
    EXPECT_FALSE(value.name.empty());
  }
}

TEST_F(GraphTest, MakesNamesUnique) {
  std::vector<std::string> names;
  for (const std::string_view wanted : {"x", "x_0", "x", "", "", "value_0"}) {
    names.push_back(graph_.value(graph_.add_input(wanted, {})).name);
  }
  EXPECT_THAT(names, ElementsAre("x_0", "x_0_0", "x_1", "value_0", "value_1", "value_0_0"));
  // A copy knows the names that are taken.
  Graph copy = graph_;
  EXPECT_EQ(copy.value(copy.add_input("x_1", {})).name, "x_1_0");
  EXPECT_EQ(copy.value(copy.add_input("x", {})).name, "x_2");
}

TEST_F(GraphTest, SetInputMovesOneUse) {
  graph_.set_input(b_, 1, x_);
  EXPECT_THAT(users(c_), ElementsAre(b_));
  EXPECT_THAT(users(x_), ElementsAre(a_, b_));
  graph_.set_input(b_, 2, kNoValue);
  EXPECT_THAT(users(c_), IsEmpty());
  graph_.set_input(b_, 2, c_);
  graph_.set_input(b_, 2, c_);
  EXPECT_THAT(users(c_), ElementsAre(b_));
  EXPECT_EQ(contradiction(), "");
}

TEST_F(GraphTest, EraseInputClosesTheGap) {
  graph_.erase_input(b_, 0);
  EXPECT_THAT(graph_.node(b_).inputs, ElementsAre(c_, c_));
  EXPECT_THAT(users(output_of(a_)), IsEmpty());
  graph_.set_input(b_, 1, kNoValue);
  graph_.erase_input(b_, 1);
  EXPECT_THAT(graph_.node(b_).inputs, ElementsAre(c_));
  EXPECT_THAT(users(c_), ElementsAre(b_));
  EXPECT_EQ(contradiction(), "");
}

TEST_F(GraphTest, ReplaceUsesTakesEveryUseAndTheOutputs) {
  graph_.replace_uses(c_, x_);
  EXPECT_THAT(graph_.node(b_).inputs, ElementsAre(output_of(a_), x_, x_));
  EXPECT_THAT(users(x_), ElementsAre(a_, b_, b_));
  EXPECT_THAT(users(c_), IsEmpty());
  graph_.replace_uses(output_of(b_), output_of(a_));
  EXPECT_THAT(graph_.outputs(), ElementsAre(output_of(a_)));
  graph_.replace_uses(x_, x_);
  EXPECT_THAT(users(x_), ElementsAre(a_, b_, b_));
  EXPECT_EQ(contradiction(), "");
}

TEST_F(GraphTest, OutputNamesStayWhateverTakesTheOutputsPlace) {
  graph_.replace_uses(output_of(b_), c_);
  EXPECT_THAT(graph_.output_names(), ElementsAre("b"));
  graph_.set_output(0, x_);
  EXPECT_THAT(graph_.output_names(), ElementsAre("b"));
  graph_.swap_names(x_, c_);
  EXPECT_EQ(graph_.value(x_).name, "c");
  EXPECT_THAT(graph_.output_names(), ElementsAre("b"));
  EXPECT_EQ(contradiction(), "");
}

TEST_F(GraphTest, RemovingANodeEndsItsUses) {
  const NodeId unused = add("Add", {x_, kNoValue, x_}, {"unused"});
  EXPECT_EQ(graph_.node_count(), 3u);
  graph_.remove_node(unused);
  EXPECT_EQ(graph_.node_count(), 2u);
  EXPECT_THAT(users(x_), ElementsAre(a_));
  EXPECT_THAT(graph_.topological_order(), ElementsAre(a_, b_));
  EXPECT_EQ(contradiction(), "");
}

TEST_F(GraphTest, DropsOutputsAndInputsThatNobodyReads) {
  const NodeId split = add("Split", {x_}, {"s", "t"});
  graph_.drop_output(split, 0);
  EXPECT_THAT(graph_.node(split).outputs[0], kNoValue);
  EXPECT_EQ(graph_.value(graph_.node(split).outputs[1]).producer_output, 1);
  graph_.add_input("unused", {});
  graph_.erase_graph_input(1);
  EXPECT_THAT(graph_.inputs(), ElementsAre(x_));
  EXPECT_EQ(contradiction(), "");
}

TEST_F(GraphTest, AnInputBecomesAConstant) {
  graph_.set_constant(x_, Tensor::of<std::int64_t>({1}, {5}));
  graph_.erase_graph_input(0);
  EXPECT_TRUE(graph_.value(x_).is_constant());
  EXPECT_EQ(graph_.value(x_).type.to_string(), "int64[1]");
  EXPECT_THAT(users(x_), ElementsAre(a_));
  EXPECT_EQ(contradiction(), "");
}

TEST_F(GraphTest, ACopyIsIndependent) {
  graph_.properties = {{"key", "value"}};
  Node loop;
  loop.op = "Loop";
  loop.inputs = {x_};
  loop.capture_count = 1;
  loop.made_by = "rule";
  loop.stands_for = {"Loop", "Scan"};
  loop.attributes.set("k", std::int64_t{1});
  auto body = std::make_unique<Graph>("body");
  const ValueId inner = body->add_input("inner", {});
  body->add_output(inner);
  loop.graphs.emplace_back("body", std::move(body));
  const std::string names[] = {"looped"};
  const NodeId loop_id = graph_.add_node(std::move(loop), names);

  Graph copy = graph_;
  copy.check();
  EXPECT_EQ(copy.to_text(), graph_.to_text());
  EXPECT_EQ(copy.properties, graph_.properties);
  EXPECT_EQ(copy.node(loop_id).capture_count, 1);
  EXPECT_THAT(copy.node(loop_id).stands_for, ElementsAre("Loop", "Scan"));

  const std::string before = graph_.to_text();
  Graph& copied_body = *copy.mutable_node(loop_id).graphs[0].second;
  add(copied_body, "Relu", {copied_body.inputs()[0]}, {"more"});
  copy.mutable_node(a_).op = "Tanh";
  copy.replace_uses(x_, copy.add_constant("", Tensor::scalar(1.0f)));
  EXPECT_EQ(graph_.to_text(), before);
  graph_.check();
  copy.check();
}

TEST_F(GraphTest, OrderIsTopologicalAndOtherwiseAsAdded) {
  const NodeId late = add("Neg", {x_}, {"late"});
  const NodeId independent = add("Abs", {x_}, {"independent"});
  graph_.set_input(a_, 0, output_of(late));
  EXPECT_THAT(graph_.topological_order(), ElementsAre(late, a_, b_, independent));
  graph_.set_input(a_, 0, x_);
  EXPECT_THAT(graph_.topological_order(), ElementsAre(a_, b_, late, independent));
}

TEST_F(GraphTest, CheckFindsACycle) {
  graph_.set_input(a_, 0, output_of(b_));
  EXPECT_THAT(contradiction(), HasSubstr("cycle"));
  graph_.set_input(a_, 0, output_of(a_));
  EXPECT_THAT(contradiction(), HasSubstr("cycle"));
}

TEST_F(GraphTest, CheckFindsUsesThatTheValueDoesNotKnow) {
  graph_.mutable_node(b_).inputs[1] = x_;
  EXPECT_THAT(contradiction(), HasSubstr("does not know its users"));
}

TEST_F(GraphTest, CheckFindsAWrongProducer) {
  graph_.mutable_node(b_).outputs[0] = output_of(a_);
  EXPECT_THAT(contradiction(), HasSubstr("does not know its producer"));
}

TEST_F(GraphTest, CheckFindsValuesThatDoNotExist) {
  const Graph good = graph_;
  graph_.mutable_node(b_).inputs[1] = ValueId{1000};
  EXPECT_THAT(contradiction(), HasSubstr("does not exist"));
  graph_ = Graph(good);
  graph_.mutable_node(b_).outputs[0] = ValueId{1000};
  EXPECT_THAT(contradiction(), HasSubstr("does not exist"));
  graph_ = Graph(good);
  graph_.set_output(0, kNoValue);
  EXPECT_THAT(contradiction(), HasSubstr("does not exist"));
}

TEST_F(GraphTest, CheckFindsUsesOfARemovedNode) {
  graph_.remove_node(a_);
  EXPECT_THAT(contradiction(), HasSubstr("nothing makes"));
}

TEST_F(GraphTest, CheckFindsAnOutputOfARemovedNode) {
  graph_.remove_node(b_);
  EXPECT_THAT(contradiction(), HasSubstr("nothing makes"));
}

TEST_F(GraphTest, CheckFindsUsesOfADroppedOutput) {
  const Graph good = graph_;
  graph_.drop_output(a_, 0);
  EXPECT_THAT(contradiction(), HasSubstr("nothing makes"));
  graph_ = Graph(good);
  graph_.drop_output(b_, 0);
  EXPECT_THAT(contradiction(), HasSubstr("nothing makes"));
}

TEST_F(GraphTest, CheckFindsUsesOfAnErasedInput) {
  graph_.erase_graph_input(0);
  EXPECT_THAT(contradiction(), HasSubstr("nothing makes"));
}

TEST_F(GraphTest, CheckFindsCapturesThatAreNotThere) {
  Node node;
  node.op = "If";
  node.inputs = {x_};
  node.capture_count = 1;
  node.graphs.emplace_back("then_branch", std::make_unique<Graph>("then"));
  const std::string names[] = {"y"};
  const NodeId id = graph_.add_node(std::move(node), names);
  EXPECT_THAT(contradiction(), HasSubstr("captures more"));
  graph_.mutable_node(id).graphs[0].second->add_input("captured", {});
  EXPECT_EQ(contradiction(), "");
}

TEST_F(GraphTest, CheckDescendsIntoNestedGraphs) {
  Node node;
  node.op = "If";
  auto nested = std::make_unique<Graph>("nested");
  const ValueId inner = nested->add_input("inner", {});
  add(*nested, "Relu", {inner}, {"r"});
  nested->erase_graph_input(0);
  node.graphs.emplace_back("then_branch", std::move(nested));
  const std::string names[] = {"y"};
  graph_.add_node(std::move(node), names);
  EXPECT_THAT(contradiction(), HasSubstr("graph 'nested'"));
}

TEST_F(GraphTest, PrintsOneLineANode) {
  graph_.mutable_node(b_).attributes.set("axis", std::int64_t{1});
  graph_.mutable_node(b_).made_by = "some-rule";
  graph_.mutable_node(b_).domain = "custom";
  graph_.set_input(b_, 1, kNoValue);
  Node node;
  node.op = "If";
  node.inputs = {x_};
  auto nested = std::make_unique<Graph>("nested");
  nested->add_output(nested->add_input("inner", ValueType::unranked(ElementType::kBool)));
  node.graphs.emplace_back("then_branch", std::move(nested));
  const std::string names[] = {"y", "z"};
  const NodeId branch = graph_.add_node(std::move(node), names);
  graph_.drop_output(branch, 1);
  EXPECT_EQ(graph_.to_text(),
            "input %x: float32[2]\n"
            "%a: unknown = Relu(%x)\n"
            "%b: unknown = custom.Sum(%a, _, %c: float32[2] const) {axis=1}  # some-rule\n"
            "%y: unknown, _ = If(%x)\n"
            "  then_branch:\n"
            "    input %inner: bool\n"
            "    output %inner\n"
            "output %b\n");
}

}  // namespace
}  // namespace lanner::ir
