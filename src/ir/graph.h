// The compile-time form of a model: nodes that read and make values. A graph owns its values and nodes; ids are small
// integers, stable for the graph's life. Graphs nest through If, Loop and Scan nodes, and a nested graph is closed:
// what an ONNX subgraph captures from outside is passed in explicitly, as trailing inputs of the node and of the nested
// graph (`Node::capture_count` of them). So the users of a value are all in its own graph.
// The graph checks its own invariants (check()) but knows no operator.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "lanner/tensor.h"
#include "tensor/attributes.h"
#include "tensor/value_type.h"

namespace lanner::ir {

using tensor::Dim;
using tensor::ValueType;

// Distinct integer types, so that a node is never mistaken for a value.
enum class ValueId : std::uint32_t {};
enum class NodeId : std::uint32_t {};
inline constexpr ValueId kNoValue{std::numeric_limits<std::uint32_t>::max()};
inline constexpr NodeId kNoNode{std::numeric_limits<std::uint32_t>::max()};

class Graph;

struct Value {
  std::string name;           // unique in its graph
  ValueType type;             // as far as inference knows
  NodeId producer = kNoNode;  // none for inputs and constants
  int producer_output = 0;    // which of the producer's outputs
  std::vector<NodeId> users;  // one entry per use, so a node that reads a value twice is here twice
  Tensor constant;            // defined for a constant
  bool is_constant() const { return constant.defined(); }
};

struct Node {
  std::string op;      // as ONNX spells it
  std::string domain;  // "" for ONNX's own
  std::string name;
  std::vector<ValueId> inputs;   // kNoValue for an absent optional input
  std::vector<ValueId> outputs;  // kNoValue for an output nobody asked for
  tensor::Attributes attributes;
  std::vector<std::pair<std::string, std::unique_ptr<Graph>>> graphs;  // "then_branch", "else_branch", "body"
  int capture_count = 0;                // trailing inputs that exist only for the nested graphs
  std::vector<std::string> stands_for;  // ONNX operator names this node replaced, its own included; empty: just `op`
  std::string made_by;                  // the rule that made it; empty for an imported node
  bool removed = false;
};

class Graph {
 public:
  explicit Graph(std::string name = {}) : name(std::move(name)) {}
  Graph(const Graph& other);  // deep
  Graph(Graph&&) = default;
  Graph& operator=(Graph&&) = default;

  std::string name;
  std::vector<std::pair<std::string, std::string>> properties;  // the model's metadata; only in the outermost graph
  // The values of inputs that a caller may leave out; only in the outermost graph.
  std::vector<std::pair<ValueId, Tensor>> input_defaults;

  // Building. Names that are empty or taken are made unique.
  ValueId add_input(std::string_view name, ValueType type);
  ValueId add_constant(std::string_view name, Tensor tensor);
  // Makes one value per name of `output_names`; their types start unknown.
  NodeId add_node(Node node, std::span<const std::string> output_names);
  // The value's present name becomes the output's for good, whatever value takes its place later.
  void add_output(ValueId value);

  // Changing. These keep users and producers right; passes reach them only through the rewrite engine.
  void set_type(ValueId value, ValueType type) { values_[index(value)].type = std::move(type); }
  void set_output(std::size_t position, ValueId value) { outputs_[position] = value; }
  void set_constant(ValueId value, Tensor tensor);  // an input or constant becomes (another) constant
  void replace_uses(ValueId from, ValueId to);      // in node inputs and graph outputs
  void swap_names(ValueId a, ValueId b) { std::swap(values_[index(a)].name, values_[index(b)].name); }
  void drop_output(NodeId node, std::size_t position);  // the value must have no users and be no graph output
  void set_input(NodeId node, std::size_t position, ValueId value);
  void erase_input(NodeId node, std::size_t position);
  void erase_graph_input(std::size_t position);  // it must have no users
  void remove_node(NodeId node);                 // its outputs must have no users and be no graph outputs
  Node& mutable_node(NodeId node) { return nodes_[index(node)]; }  // not for inputs and outputs

  // Reading.
  const Node& node(NodeId id) const { return nodes_[index(id)]; }
  const Value& value(ValueId id) const { return values_[index(id)]; }
  std::span<const ValueId> inputs() const { return inputs_; }
  std::span<const ValueId> outputs() const { return outputs_; }
  std::span<const std::string> output_names() const { return output_names_; }
  bool is_output(ValueId value) const;
  // The producing node, or null for an input or constant.
  const Node* producer(ValueId value) const;
  std::size_t value_count() const { return values_.size(); }
  // Live nodes, each after the producers of its inputs; otherwise in the order they were added.
  std::vector<NodeId> topological_order() const;
  std::size_t node_count() const;  // live ones, nested graphs not counted

  // Throws `graph.invalid` (kInternal) when users, producers, names or order contradict each other.
  void check() const;
  // One line per node, values with types; nested graphs indented.
  std::string to_text() const;

 private:
  static std::size_t index(ValueId id) { return static_cast<std::size_t>(id); }
  static std::size_t index(NodeId id) { return static_cast<std::size_t>(id); }
  std::string unique_name(std::string_view wanted);
  void remove_use(ValueId value, NodeId user);

  std::vector<Node> nodes_;
  std::vector<Value> values_;
  std::vector<ValueId> inputs_;
  std::vector<ValueId> outputs_;
  std::vector<std::string> output_names_;
  std::unordered_set<std::string> names_;
  std::unordered_map<std::string, int> next_suffix_;
};

}  // namespace lanner::ir
