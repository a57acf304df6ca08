#include "passes/rule.h"

#include <algorithm>

namespace lanner::passes {

ValueId Edit::add_value(NewValue value) {
  values_.push_back(std::move(value));
  return ValueId{kFirstNew + static_cast<std::uint32_t>(values_.size() - 1)};
}

ValueId Edit::constant(Tensor tensor, std::string_view name) {
  ValueType type = ValueType::of(tensor);
  return add_value({std::string(name), std::move(type), std::move(tensor)});
}

ValueId Edit::node(Node node, ValueType type, std::string_view name) {
  return nodes(std::move(node), {{std::string(name), std::move(type)}})[0];
}

std::vector<ValueId> Edit::nodes(Node node, std::vector<std::pair<std::string, ValueType>> outputs) {
  NewNode made{std::move(node), {}};
  std::vector<ValueId> ids;
  for (auto& [name, type] : outputs) {
    made.outputs.push_back(values_.size());
    ids.push_back(add_value({std::move(name), std::move(type), {}}));
  }
  nodes_.push_back(std::move(made));
  return ids;
}

void Edit::replace(ValueId from, ValueId to) {
  replacements_.emplace_back(from, to);
}

// Why `node` would stay alive, or nothing.
std::string Edit::escapes(NodeId node) const {
  for (const ValueId output : graph_.node(node).outputs) {
    if (output == kNoValue) continue;
    if (std::ranges::find(replacements_, output, &std::pair<ValueId, ValueId>::first) != replacements_.end()) continue;
    const ir::Value& value = graph_.value(output);
    const std::string& op = graph_.node(node).op;
    if (graph_.is_output(output)) return fmt::format("the result of {} is a graph output", op);
    for (const NodeId user : value.users) {
      if (std::ranges::find(consumed_, user) == consumed_.end()) {
        return fmt::format("the result of {} has another user, {}", op, graph_.node(user).op);
      }
    }
  }
  return {};
}

bool Edit::consume(NodeId node) {
  if (std::ranges::find(consumed_, node) != consumed_.end()) return true;
  blocked_ = escapes(node);
  if (!blocked_.empty()) return false;
  consumed_.push_back(node);
  return true;
}

const ValueType& Edit::type(ValueId value) const {
  return is_new(value) ? values_[static_cast<std::uint32_t>(value) - kFirstNew].type : graph_.value(value).type;
}

}  // namespace lanner::passes
