#include "passes/alike_siblings.h"

#include <algorithm>

#include "passes/match.h"

namespace lanner::passes {

namespace {

const Tensor* fill_of(const Node& node) {
  if (!is_op(node, "ConstantOfShape")) return nullptr;
  const auto* fill = std::get_if<Tensor>(node.attributes.find("value"));
  return fill != nullptr && fill->element_count() == 1 ? fill : nullptr;
}

bool same_attributes(const Node& a, const Node& b) {
  const Tensor* x = fill_of(a);
  const Tensor* y = fill_of(b);
  if (x != nullptr && y != nullptr) return x->element_type() == y->element_type();
  return a.attributes == b.attributes;
}

bool same_presence(ValueId a, ValueId b) {
  return (a == kNoValue) == (b == kNoValue);
}

// What is known of both.
ValueType common_type(const ValueType& a, const ValueType& b) {
  if (a == b) return a;
  if (a.kind != b.kind || a.element != b.element) return {};
  ValueType result = a;
  if (!b.ranked) {
    result.ranked = false;
    result.dims.clear();
  }
  for (std::size_t i = 0; i < result.dims.size(); ++i) {
    if (!(result.dims[i] == b.dims[i])) result.dims[i] = {};
  }
  return result;
}

std::string different_types(const Node& node, const ValueType& a, const ValueType& b) {
  return fmt::format("a value of {} is {} in one and {} in another", node.op, a.to_string(), b.to_string());
}

}  // namespace

AlikeSiblings::AlikeSiblings(const Graph& graph, const SiblingCones& cones, std::size_t first)
    : graph_(graph), cones_(cones), first_(first) {
  for (const NodeId id : cones.nodes(first)) {
    const Node& node = graph.node(id);
    for (const ValueId output : node.outputs) {
      if (output != kNoValue) types_[output] = type_of(graph, output);
    }
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId value = node.inputs[i];
      if (is_given(first, value)) given_.push_back({id, i, {value}, type_of(graph, value)});
    }
    if (fill_of(node) != nullptr) fills_[id] = {fill_of(node)};
  }
}

std::string AlikeSiblings::add_next() {
  Pairs pairs;
  if (std::string difference = pair_up(end(), pairs); !difference.empty()) return difference;
  std::unordered_map<ValueId, ValueType> types;
  for (const auto& [a, b] : pairs) {
    for (std::size_t i = 0; i < graph_.node(a).outputs.size(); ++i) {
      const ValueId output = graph_.node(a).outputs[i];
      if (output == kNoValue) continue;
      const ValueType& known = types_.at(output);
      const ValueType& other = type_of(graph_, graph_.node(b).outputs[i]);
      if (!known.compatible_with(other)) return different_types(graph_.node(a), known, other);
      types[output] = common_type(known, other);
    }
  }
  const auto other_of = [&](const Given& given) { return graph_.node(pairs.at(given.node)).inputs[given.input]; };
  for (const Given& given : given_) {
    const ValueType& other = type_of(graph_, other_of(given));
    if (!given.type.compatible_with(other)) return different_types(graph_.node(given.node), given.type, other);
  }
  for (Given& given : given_) {
    given.values.push_back(other_of(given));
    given.type = common_type(given.type, type_of(graph_, given.values.back()));
  }
  for (auto& [node, fills] : fills_) fills.push_back(fill_of(graph_.node(pairs.at(node))));
  types_ = std::move(types);
  ++count_;
  return {};
}

// The nodes of sibling `next` that stand where those of the first do, from the Concats on backwards.
std::string AlikeSiblings::pair_up(std::size_t next, Pairs& pairs) const {
  std::vector<std::pair<NodeId, NodeId>> pending;
  for (const SiblingMeeting& meeting : cones_.meetings()) {
    const std::size_t a = meeting.part_of[first_];
    const std::size_t b = meeting.part_of[next];
    if ((a == SiblingMeeting::kNoPart) != (b == SiblingMeeting::kNoPart)) return "they meet in different Concats";
    if (a == SiblingMeeting::kNoPart) continue;
    if (b != a + (next - first_)) return "their results do not follow each other in the Concats";
    if (!pair_values(meeting.joined->parts[a], meeting.joined->parts[b], pairs, pending)) {
      return "their results are wired differently";
    }
  }
  while (!pending.empty()) {
    const auto [a, b] = pending.back();
    pending.pop_back();
    const Node& x = graph_.node(a);
    const Node& y = graph_.node(b);
    if (x.op != y.op || x.domain != y.domain) return fmt::format("one has {} where another has {}", x.op, y.op);
    if (!same_attributes(x, y)) return fmt::format("the attributes of {} differ", x.op);
    if (!std::ranges::equal(x.inputs, y.inputs, same_presence) ||
        !std::ranges::equal(x.outputs, y.outputs, same_presence)) {
      return fmt::format("the inputs or outputs of {} differ in number", x.op);
    }
    if (std::string difference = pair_inputs(next, a, b, pairs, pending); !difference.empty()) return difference;
  }
  if (pairs.size() != cones_.nodes(first_).size() || pairs.size() != cones_.nodes(next).size()) {
    return "they differ in their number of operators";
  }
  return {};
}

std::string AlikeSiblings::pair_inputs(std::size_t next, NodeId a, NodeId b, Pairs& pairs,
                                       std::vector<std::pair<NodeId, NodeId>>& pending) const {
  const Node& x = graph_.node(a);
  const Node& y = graph_.node(b);
  for (std::size_t i = 0; i < x.inputs.size(); ++i) {
    if (x.inputs[i] == kNoValue) continue;
    const bool given = is_given(first_, x.inputs[i]);
    if (given != is_given(next, y.inputs[i])) {
      return fmt::format("{} reads what its sibling makes in one and not in another", x.op);
    }
    if (!given && !pair_values(x.inputs[i], y.inputs[i], pairs, pending)) {
      return fmt::format("{} is wired differently", x.op);
    }
  }
  return {};
}

// False when the producers cannot stand for each other.
bool AlikeSiblings::pair_values(ValueId a, ValueId b, Pairs& pairs,
                                std::vector<std::pair<NodeId, NodeId>>& pending) const {
  const ir::Value& x = graph_.value(a);
  const ir::Value& y = graph_.value(b);
  if (x.producer_output != y.producer_output) return false;
  const auto [at, added] = pairs.try_emplace(x.producer, y.producer);
  if (added) pending.emplace_back(x.producer, y.producer);
  return at->second == y.producer;
}

bool AlikeSiblings::is_given(std::size_t sibling, ValueId value) const {
  return value != kNoValue && cones_.owner_of(value) != static_cast<int>(sibling);
}

}  // namespace lanner::passes
