// What rule tests share: building small graphs, running them on the portable kernels, and applying rules. A rule's test
// shows the graph before and after, and that both compute the same numbers.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fail.h"
#include "passes/engine.h"
#include "passes/evaluate.h"
#include "passes/match.h"
#include "passes/pipeline.h"
#include "passes/rules.h"

namespace lanner::passes::testing {

using I = std::int64_t;
using Inputs = std::vector<Tensor>;

inline Tensor ints(std::initializer_list<I> values) {
  return Tensor::of<I>({static_cast<I>(values.size())}, values);
}
inline Tensor floats(std::initializer_list<float> values) {
  return Tensor::of<float>({static_cast<I>(values.size())}, values);
}
// Numbers of either sign that do not repeat soon, the same on every run.
template <typename T = float>
Tensor numbers(const Shape& shape, unsigned seed = 1) {
  Tensor tensor = Tensor::allocate(element_type_of<T>(), shape);
  for (T& element : tensor.values<T>()) {
    seed = seed * 1664525u + 1013904223u;
    element = static_cast<T>(static_cast<int>(seed >> 16) % 2001 - 1000) / T{250};
  }
  return tensor;
}

inline ValueType type(std::string_view text) {
  const std::optional<ValueType> parsed = ValueType::parse(text);
  EXPECT_TRUE(parsed.has_value()) << text;
  return parsed.value_or(ValueType{});
}

inline tensor::Attributes attributes(std::vector<std::pair<std::string, tensor::Attribute>> entries) {
  tensor::Attributes result;
  for (auto& [name, value] : entries) result.set(name, value);
  return result;
}

// A graph under construction. Node outputs get the types that running the graph on `type_inputs` shows, if the test
// calls infer_by_running(), or those it states.
class Builder {
 public:
  ValueId input(std::string_view name, std::string_view text) { return graph.add_input(name, type(text)); }
  ValueId constant(Tensor tensor, std::string_view name = "c") { return graph.add_constant(name, std::move(tensor)); }
  ValueId node(std::string_view op, std::vector<ValueId> inputs, tensor::Attributes attributes = {},
               std::string_view type_text = "unknown") {
    return nodes(op, std::move(inputs), 1, std::move(attributes), type_text)[0];
  }
  std::vector<ValueId> nodes(std::string_view op, std::vector<ValueId> inputs, int output_count,
                             tensor::Attributes attributes = {}, std::string_view type_text = "unknown") {
    return add(make_node(op, std::move(inputs), std::move(attributes)), output_count, type_text);
  }
  std::vector<ValueId> add(Node node, int output_count, std::string_view type_text = "unknown") {
    node.name = fmt::format("{}_{}", node.op, ++count_);
    std::vector<std::string> names;
    for (int i = 0; i < output_count; ++i) names.push_back(fmt::format("{}.{}", node.name, i));
    const NodeId id = graph.add_node(std::move(node), names);
    for (const ValueId output : graph.node(id).outputs) graph.set_type(output, type(type_text));
    return graph.node(id).outputs;
  }
  void output(ValueId value) { graph.add_output(value); }

  Graph graph{"test"};

 private:
  int count_ = 0;
};

// Runs the graph on the portable kernels, If, Loop and ForEach included. `seen` gets all values by id.
inline std::vector<Value> run_graph(const Graph& graph, std::vector<Value> inputs,
                                    std::map<ValueId, Value>* seen = nullptr) {
  std::map<ValueId, Value> values;
  for (std::size_t i = 0; i < inputs.size(); ++i) values[graph.inputs()[i]] = std::move(inputs[i]);
  const auto get = [&](ValueId id) -> const Value& {
    if (graph.value(id).is_constant()) values[id] = graph.value(id).constant;
    return values.at(id);
  };
  const auto nested = [](const Node& node, std::string_view key) -> const Graph& {
    for (const auto& [name, body] : node.graphs) {
      if (name == key) return *body;
    }
    throw std::out_of_range("no such nested graph");
  };
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    std::vector<Value> given;
    for (const ValueId input : node.inputs) given.push_back(input == kNoValue ? Value{} : get(input));
    std::vector<Value> made;
    if (node.op == "If") {
      const bool holds = *given[0].tensor().data<bool>();
      made = run_graph(nested(node, holds ? "then_branch" : "else_branch"), {given.begin() + 1, given.end()});
    } else if (node.op == "Loop") {
      const Graph& body = nested(node, "body");
      const I trips = given[0].is_none() ? std::numeric_limits<I>::max() : *given[0].tensor().data<I>();
      bool goes_on = given[1].is_none() || *given[1].tensor().data<bool>();
      const std::size_t captures = static_cast<std::size_t>(node.capture_count);
      const std::size_t carried = given.size() - 2 - captures;
      EXPECT_EQ(body.outputs().size(), 1 + carried) << "scan outputs are not for rule tests";
      made.assign(given.begin() + 2, given.begin() + 2 + static_cast<std::ptrdiff_t>(carried));
      for (I i = 0; i < trips && goes_on; ++i) {
        std::vector<Value> arguments{Tensor::scalar<I>(i), Tensor::scalar<bool>(goes_on)};
        arguments.insert(arguments.end(), made.begin(), made.end());
        arguments.insert(arguments.end(), given.end() - static_cast<std::ptrdiff_t>(captures), given.end());
        made = run_graph(body, std::move(arguments));
        goes_on = *made[0].tensor().data<bool>();
        made.erase(made.begin());
      }
    } else if (node.op == "ForEach") {
      const Graph& body = nested(node, "body");
      const auto count = static_cast<std::size_t>(node.attributes.require_int("count"));
      const auto captures = given.end() - node.capture_count;
      const std::size_t lists = static_cast<std::size_t>(captures - given.begin()) / count;
      std::vector<std::vector<Value>> results(node.outputs.size());
      for (std::size_t k = 0; k < count; ++k) {
        std::vector<Value> arguments;
        for (std::size_t list = 0; list < lists; ++list) arguments.push_back(given[list * count + k]);
        arguments.insert(arguments.end(), captures, given.end());
        std::vector<Value> one = run_graph(body, std::move(arguments));
        for (std::size_t i = 0; i < one.size(); ++i) results[i].push_back(std::move(one[i]));
      }
      for (std::size_t i = 0; i < results.size(); ++i) {
        Node join = make_node("Concat", {}, attributes({{"axis", node.attributes.get_ints("axes")[i]}}));
        join.outputs = {node.outputs[i]};
        std::vector<const Value*> parts;
        for (const Value& part : results[i]) parts.push_back(&part);
        made.push_back(std::move(run_node(join, parts, std::size_t{1} << 30)[0]));
      }
    } else {
      std::vector<const Value*> pointers;
      for (const Value& value : given) pointers.push_back(value.is_none() ? nullptr : &value);
      made = base::with_context([&] { return fmt::format("in {} '{}'", node.op, node.name); },
                                [&] { return run_node(node, pointers, std::size_t{1} << 30); });
    }
    for (std::size_t i = 0; i < made.size(); ++i) {
      if (node.outputs[i] != kNoValue) values[node.outputs[i]] = std::move(made[i]);
    }
  }
  std::vector<Value> outputs;
  for (const ValueId output : graph.outputs()) outputs.push_back(get(output));
  if (seen != nullptr) *seen = std::move(values);
  return outputs;
}

inline std::vector<Value> run_graph(const Graph& graph, const Inputs& inputs) {
  return run_graph(graph, std::vector<Value>(inputs.begin(), inputs.end()));
}

// Gives every value of unknown type the static type it has when the graph runs on `inputs`.
inline void infer_by_running(Graph& graph, const Inputs& inputs) {
  std::map<ValueId, Value> seen;
  run_graph(graph, std::vector<Value>(inputs.begin(), inputs.end()), &seen);
  for (const auto& [id, value] : seen) {
    if (graph.value(id).type.kind == ValueType::Kind::kUnknown && value.is_tensor()) {
      graph.set_type(id, ValueType::of(value.tensor()));
    }
  }
}

// Same types, shapes and elements; floats may differ by `tolerance` relative to the largest (0: to the bit, NaN too).
inline void expect_same(const Value& a, const Value& b, double tolerance = 0) {
  ASSERT_TRUE(a.is_tensor() && b.is_tensor());
  ASSERT_EQ(a.tensor().type_string(), b.tensor().type_string());
  const auto near = [&]<typename T>() {
    double largest = 1;
    for (const T element : a.tensor().values<T>()) largest = std::max(largest, std::abs(static_cast<double>(element)));
    for (std::size_t i = 0; i < a.tensor().values<T>().size(); ++i) {
      ASSERT_NEAR(a.tensor().values<T>()[i], b.tensor().values<T>()[i], tolerance * largest) << "element " << i;
    }
  };
  if (tolerance > 0 && a.tensor().element_type() == ElementType::kFloat32) return near.operator()<float>();
  if (tolerance > 0 && a.tensor().element_type() == ElementType::kFloat64) return near.operator()<double>();
  EXPECT_EQ(std::memcmp(a.tensor().raw_data(), b.tensor().raw_data(), a.tensor().byte_count()), 0)
      << "the results differ";
}

// "Conv Relu" in topological order.
inline std::string ops(const Graph& graph) {
  std::string text;
  for (const NodeId id : graph.topological_order()) text += (text.empty() ? "" : " ") + graph.node(id).op;
  return text;
}

// The first live node of that operator.
inline const Node& find_node(const Graph& graph, std::string_view op) {
  for (const NodeId id : graph.topological_order()) {
    if (graph.node(id).op == op) return graph.node(id);
  }
  throw std::out_of_range("no such node");
}

// Runs one rule alone, to its end.
inline RuleReport apply(Graph& graph, const Rule& rule) {
  const Rule* const rules[] = {&rule};
  const Pass pass{"test", rules};
  Engine engine(graph, {&pass, 1}, {});
  engine.run(pass);
  return engine.report().rules[0];
}

// The rule fires, the graph then has the operators `after`, and it computes what it did.
inline void expect_rewrites(Graph& graph, const Rule& rule, std::string_view after, const Inputs& inputs,
                            double tolerance = 0) {
  const std::vector<Value> expected = run_graph(graph, inputs);
  const std::vector<std::string> names(graph.output_names().begin(), graph.output_names().end());
  const RuleReport report = apply(graph, rule);
  EXPECT_FALSE(report.firings.empty()) << graph.to_text();
  EXPECT_EQ(ops(graph), after) << graph.to_text();
  EXPECT_EQ(names, std::vector<std::string>(graph.output_names().begin(), graph.output_names().end()));
  const std::vector<Value> actual = run_graph(graph, inputs);
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) expect_same(expected[i], actual[i], tolerance);
}

// The rule leaves the graph as it is. With `reason`, because of a guard whose reason contains it.
inline void expect_declines(Graph& graph, const Rule& rule, std::string_view reason = {}) {
  const std::string before = graph.to_text();
  const RuleReport report = apply(graph, rule);
  EXPECT_TRUE(report.firings.empty());
  EXPECT_EQ(graph.to_text(), before);
  if (reason.empty()) return;
  ASSERT_FALSE(report.near_misses.empty());
  EXPECT_THAT(report.near_misses[0].reason, ::testing::HasSubstr(std::string(reason)));
}

}  // namespace lanner::passes::testing
