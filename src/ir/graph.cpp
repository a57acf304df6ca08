#include "ir/graph.h"

#include <algorithm>
#include <queue>

#include "base/fail.h"
#include "tensor/text.h"

namespace lanner::ir {

Graph::Graph(const Graph& other)
    : name(other.name),
      properties(other.properties),
      input_defaults(other.input_defaults),
      values_(other.values_),
      inputs_(other.inputs_),
      outputs_(other.outputs_),
      output_names_(other.output_names_),
      names_(other.names_) {
  for (const Node& node : other.nodes_) {
    Node copy{node.op, node.domain,        node.name,       node.inputs,  node.outputs, node.attributes,
              {},      node.capture_count, node.stands_for, node.made_by, node.removed};
    for (const auto& [key, graph] : node.graphs) copy.graphs.emplace_back(key, std::make_unique<Graph>(*graph));
    nodes_.push_back(std::move(copy));
  }
}

std::string Graph::unique_name(std::string_view wanted) {
  std::string name(wanted.empty() ? "value" : wanted);
  if (wanted.empty() || names_.contains(name)) {
    const std::string stem = name + "_";
    int& next = next_suffix_[stem];
    do {
      name = stem + std::to_string(next++);
    } while (names_.contains(name));
  }
  names_.insert(name);
  return name;
}

ValueId Graph::add_input(std::string_view name, ValueType type) {
  const ValueId id{static_cast<std::uint32_t>(values_.size())};
  Value value;
  value.name = unique_name(name);
  value.type = std::move(type);
  values_.push_back(std::move(value));
  inputs_.push_back(id);
  return id;
}

ValueId Graph::add_constant(std::string_view name, Tensor tensor) {
  const ValueId id{static_cast<std::uint32_t>(values_.size())};
  Value value;
  value.name = unique_name(name);
  value.type = ValueType::of(tensor);
  value.constant = std::move(tensor);
  values_.push_back(std::move(value));
  return id;
}

NodeId Graph::add_node(Node node, std::span<const std::string> output_names) {
  const NodeId id{static_cast<std::uint32_t>(nodes_.size())};
  node.outputs.clear();
  for (std::size_t i = 0; i < output_names.size(); ++i) {
    node.outputs.push_back(ValueId{static_cast<std::uint32_t>(values_.size())});
    Value value;
    value.name = unique_name(output_names[i]);
    value.producer = id;
    value.producer_output = static_cast<int>(i);
    values_.push_back(std::move(value));
  }
  for (const ValueId input : node.inputs) {
    if (input != kNoValue) values_[index(input)].users.push_back(id);
  }
  nodes_.push_back(std::move(node));
  return id;
}

void Graph::add_output(ValueId value) {
  outputs_.push_back(value);
  output_names_.push_back(this->value(value).name);
}

void Graph::set_constant(ValueId id, Tensor tensor) {
  Value& value = values_[index(id)];
  value.type = ValueType::of(tensor);
  value.constant = std::move(tensor);
}

void Graph::remove_use(ValueId value, NodeId user) {
  std::vector<NodeId>& users = values_[index(value)].users;
  users.erase(std::ranges::find(users, user));
}

void Graph::replace_uses(ValueId from, ValueId to) {
  if (from == to) return;
  std::vector<NodeId> users = std::move(values_[index(from)].users);
  values_[index(from)].users.clear();
  for (const NodeId user : users) {
    std::vector<ValueId>& inputs = nodes_[index(user)].inputs;
    *std::ranges::find(inputs, from) = to;
    values_[index(to)].users.push_back(user);
  }
  std::ranges::replace(outputs_, from, to);
}

void Graph::drop_output(NodeId node, std::size_t position) {
  nodes_[index(node)].outputs[position] = kNoValue;
}

void Graph::set_input(NodeId node, std::size_t position, ValueId value) {
  ValueId& input = nodes_[index(node)].inputs[position];
  if (input != kNoValue) remove_use(input, node);
  input = value;
  if (value != kNoValue) values_[index(value)].users.push_back(node);
}

void Graph::erase_input(NodeId node, std::size_t position) {
  set_input(node, position, kNoValue);
  std::vector<ValueId>& inputs = nodes_[index(node)].inputs;
  inputs.erase(inputs.begin() + static_cast<std::ptrdiff_t>(position));
}

void Graph::erase_graph_input(std::size_t position) {
  inputs_.erase(inputs_.begin() + static_cast<std::ptrdiff_t>(position));
}

void Graph::remove_node(NodeId id) {
  Node& node = nodes_[index(id)];
  for (const ValueId input : node.inputs) {
    if (input != kNoValue) remove_use(input, id);
  }
  node.inputs.clear();
  node.graphs.clear();
  node.removed = true;
}

bool Graph::is_output(ValueId value) const {
  return std::ranges::find(outputs_, value) != outputs_.end();
}

const Node* Graph::producer(ValueId id) const {
  const NodeId producer = value(id).producer;
  return producer == kNoNode ? nullptr : &node(producer);
}

std::vector<NodeId> Graph::topological_order() const {
  // Kahn's algorithm with the smallest ready id first, so that the result is stable under edits elsewhere.
  std::vector<int> missing(nodes_.size(), 0);
  std::priority_queue<NodeId, std::vector<NodeId>, std::greater<>> ready;
  std::size_t live = 0;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].removed) continue;
    ++live;
    for (const ValueId input : nodes_[i].inputs) {
      if (input != kNoValue && value(input).producer != kNoNode) ++missing[i];
    }
    if (missing[i] == 0) ready.push(NodeId{static_cast<std::uint32_t>(i)});
  }
  std::vector<NodeId> order;
  order.reserve(live);
  while (!ready.empty()) {
    const NodeId next = ready.top();
    ready.pop();
    order.push_back(next);
    for (const ValueId output : node(next).outputs) {
      if (output == kNoValue) continue;
      for (const NodeId user : value(output).users) {
        if (--missing[index(user)] == 0) ready.push(user);
      }
    }
  }
  if (order.size() != live) base::fail(ErrorCode::kInternal, "graph.invalid", "the graph has a cycle");
  return order;
}

std::size_t Graph::node_count() const {
  return static_cast<std::size_t>(std::ranges::count(nodes_, false, &Node::removed));
}

void Graph::check() const {
  const auto wrong = [&](std::string_view what) {
    base::fail(ErrorCode::kInternal, "graph.invalid", "graph '{}': {}", name, what);
  };
  const auto expect_value = [&](ValueId id, std::string_view kind, std::string_view name) {
    if (index(id) >= values_.size()) wrong(fmt::format("{} '{}' names a value that does not exist", kind, name));
  };
  std::vector<std::vector<NodeId>> users(values_.size());
  std::vector<char> made(values_.size(), 0);
  std::unordered_set<std::string_view> names;
  for (std::size_t i = 0; i < values_.size(); ++i) {
    made[i] = values_[i].is_constant() ? 1 : 0;
    if (!names.insert(values_[i].name).second) wrong(fmt::format("two values are called '{}'", values_[i].name));
  }
  for (const ValueId input : inputs_) {
    expect_value(input, "graph", name);
    made[index(input)] = 1;
  }
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const Node& node = nodes_[i];
    if (node.removed) continue;
    const NodeId id{static_cast<std::uint32_t>(i)};
    for (const ValueId input : node.inputs) {
      if (input == kNoValue) continue;
      expect_value(input, "node", node.name);
      users[index(input)].push_back(id);
    }
    for (const ValueId output : node.outputs) {
      if (output == kNoValue) continue;
      expect_value(output, "node", node.name);
      if (value(output).producer != id) {
        wrong(fmt::format("value '{}' does not know its producer '{}'", value(output).name, node.name));
      }
      made[index(output)] = 1;
    }
    for (const auto& [key, graph] : node.graphs) {
      graph->check();
      const std::size_t captured = static_cast<std::size_t>(node.capture_count);
      if (graph->inputs_.size() < captured || node.inputs.size() < captured) {
        wrong(fmt::format("node '{}' captures more than its graph '{}' takes", node.name, key));
      }
    }
  }
  for (std::size_t i = 0; i < values_.size(); ++i) {
    std::vector<NodeId> known = values_[i].users;
    std::ranges::sort(known);
    if (known != users[i]) wrong(fmt::format("value '{}' does not know its users", values_[i].name));
    if (made[i] == 0 && !known.empty()) {
      wrong(fmt::format("node '{}' reads '{}', which nothing makes", node(known[0]).name, values_[i].name));
    }
  }
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    expect_value(outputs_[i], "output", output_names_[i]);
    if (made[index(outputs_[i])] == 0)
      wrong(fmt::format("output '{}' is a value that nothing makes", output_names_[i]));
  }
  static_cast<void>(topological_order());
}

namespace {

void append_text(const Graph& graph, std::string& text, int indent) {
  const std::string margin(static_cast<std::size_t>(indent), ' ');
  const auto named = [&](ValueId id) {
    if (id == kNoValue) return std::string("_");
    return "%" + graph.value(id).name;
  };
  for (const ValueId input : graph.inputs()) {
    text += fmt::format("{}input {}: {}\n", margin, named(input), graph.value(input).type.to_string());
  }
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    text += margin;
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      text += (i == 0 ? "" : ", ") + named(node.outputs[i]);
      if (node.outputs[i] != kNoValue) text += ": " + graph.value(node.outputs[i]).type.to_string();
    }
    text += " = " + (node.domain.empty() ? "" : node.domain + ".") + node.op + "(";
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      text += (i == 0 ? "" : ", ") + named(node.inputs[i]);
      if (node.inputs[i] != kNoValue && graph.value(node.inputs[i]).is_constant()) {
        text += ": " + graph.value(node.inputs[i]).type.to_string() + " const";
      }
    }
    text += ")";
    if (!node.attributes.empty()) text += " " + tensor::attributes_text(node.attributes, 16);
    if (!node.made_by.empty()) text += "  # " + node.made_by;
    text += "\n";
    for (const auto& [key, nested] : node.graphs) {
      text += fmt::format("{}  {}:\n", margin, key);
      append_text(*nested, text, indent + 4);
    }
  }
  text += margin + "output";
  for (const ValueId output : graph.outputs()) text += " " + named(output);
  text += "\n";
}

}  // namespace

std::string Graph::to_text() const {
  std::string text;
  append_text(*this, text, 0);
  return text;
}

}  // namespace lanner::ir
