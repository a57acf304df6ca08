#include "passes/sibling_cones.h"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>
#include <unordered_map>

namespace lanner::passes {

namespace {

constexpr int kSeveral = -2;  // a node that leads to more than one part

}  // namespace

SiblingCones::SiblingCones(const Graph& graph, const std::vector<NodeId>& order,
                           const std::vector<JoinedParts>& concats, const JoinedParts& anchor,
                           const Objection& objection)
    : graph_(graph), nodes_(anchor.parts.size()), cuts_(anchor.parts.size()) {
  std::size_t count = 0;
  for (const NodeId id : order) count = std::max(count, index(id) + 1);
  owner_.assign(count, kNobody);
  after_.assign(count, 0);
  is_join_.assign(count, 0);
  label_ancestors(order, anchor);
  label_others(order, concats, anchor);
  find_owners(order, objection);
}

int SiblingCones::owner_of(ValueId value) const {
  if (value == kNoValue) return kNobody;
  const NodeId producer = graph_.value(value).producer;
  return producer == kNoNode ? kNobody : std::max(owner_[index(producer)], kNobody);
}

// Which parts the anchor's ancestors lead to.
void SiblingCones::label_ancestors(const std::vector<NodeId>& order, const JoinedParts& anchor) {
  const auto lead = [&](ValueId value, int to) {
    if (value == kNoValue || graph_.value(value).producer == kNoNode) return;
    int& label = owner_[index(graph_.value(value).producer)];
    label = label == kNobody || label == to ? to : kSeveral;
  };
  for (std::size_t i = 0; i < anchor.parts.size(); ++i) lead(anchor.parts[i], static_cast<int>(i));
  for (const NodeId id : order | std::views::reverse) {
    if (owner_[index(id)] == kNobody) continue;
    for (const ValueId input : graph_.node(id).inputs) lead(input, owner_[index(id)]);
  }
}

// Which siblings the other nodes read from, up to where their results meet.
void SiblingCones::label_others(const std::vector<NodeId>& order, const std::vector<JoinedParts>& concats,
                                const JoinedParts& anchor) {
  std::unordered_map<NodeId, const JoinedParts*> joined_at;
  for (const JoinedParts& joined : concats) joined_at.emplace(joined.node, &joined);
  meetings_.push_back({&anchor, {}});
  is_join_[index(anchor.node)] = after_[index(anchor.node)] = 1;
  for (const NodeId id : anchor.inner) is_join_[index(id)] = 1;
  for (const NodeId id : order) {
    // Of an ancestor of the anchor it is known already, and none needs a meeting.
    if (owner_[index(id)] != kNobody || is_join_[index(id)] != 0) continue;
    const Node& node = graph_.node(id);
    if (needs_a_meeting(node)) {
      after_[index(id)] = 1;
      continue;
    }
    owner_[index(id)] = label_of_inputs(node);
    if (owner_[index(id)] != kSeveral) continue;
    owner_[index(id)] = kNobody;
    const auto at = joined_at.find(id);
    if (at != joined_at.end() && add_meeting(*at->second)) after_[index(id)] = 1;
  }
  for (int& owner : owner_) owner = std::max(owner, kNobody);
}

// The sibling whose results the node reads, kNobody or kSeveral.
int SiblingCones::label_of_inputs(const Node& node) const {
  int label = kNobody;
  for (const ValueId input : node.inputs) {
    const int of_input = owner_of(input);
    if (of_input == kNobody || of_input == label) continue;
    if (label != kNobody) return kSeveral;
    label = of_input;
  }
  return label;
}

bool SiblingCones::needs_a_meeting(const Node& node) const {
  return std::ranges::any_of(node.inputs, [&](ValueId input) {
    return input != kNoValue && graph_.value(input).producer != kNoNode &&
           after_[index(graph_.value(input).producer)] != 0;
  });
}

// False where two parts are of one sibling.
bool SiblingCones::add_meeting(const JoinedParts& joined) {
  std::vector<char> seen(nodes_.size(), 0);
  for (const ValueId part : joined.parts) {
    const int sibling = owner_of(part);
    if (sibling == kNobody) continue;
    char& known = seen[static_cast<std::size_t>(sibling)];
    if (known != 0) return false;
    known = 1;
  }
  meetings_.push_back({&joined, {}});
  is_join_[index(joined.node)] = 1;
  for (const NodeId id : joined.inner) {
    is_join_[index(id)] = 1;
    owner_[index(id)] = kNobody;
  }
  return true;
}

void SiblingCones::find_owners(const std::vector<NodeId>& order, const Objection& objection) {
  for (const NodeId id : order | std::views::reverse) {
    int& owner = owner_[index(id)];
    if (owner == kNobody) continue;
    std::string reason = objection(id);
    if (reason.empty()) reason = escape(id);
    const auto sibling = static_cast<std::size_t>(owner);
    if (reason.empty()) {
      nodes_[sibling].push_back(id);
      continue;
    }
    if (cuts_[sibling].empty() && leads_on(id)) cuts_[sibling] = std::move(reason);
    owner = kNobody;
  }
  for (std::vector<NodeId>& nodes : nodes_) std::ranges::reverse(nodes);
  for (SiblingMeeting& meeting : meetings_) {
    meeting.part_of.assign(nodes_.size(), SiblingMeeting::kNoPart);
    for (std::size_t i = 0; i < meeting.joined->parts.size(); ++i) {
      const int sibling = owner_of(meeting.joined->parts[i]);
      if (sibling != kNobody) meeting.part_of[static_cast<std::size_t>(sibling)] = i;
    }
  }
}

// Whether the sibling or a Concat where it meets others reads what the node makes.
bool SiblingCones::leads_on(NodeId node) const {
  return std::ranges::any_of(graph_.node(node).outputs, [&](ValueId output) {
    return output != kNoValue && std::ranges::any_of(graph_.value(output).users, [&](NodeId user) {
             return is_join_[index(user)] != 0 || owner_[index(user)] == owner_[index(node)];
           });
  });
}

// Who else needs what the node makes.
std::string SiblingCones::escape(NodeId node) const {
  const Node& self = graph_.node(node);
  for (const ValueId output : self.outputs) {
    if (output == kNoValue) continue;
    if (graph_.is_output(output)) return fmt::format("the result of {} is a graph output", self.op);
    for (const NodeId user : graph_.value(output).users) {
      if (is_join_[index(user)] != 0 || owner_[index(user)] == owner_[index(node)]) continue;
      return fmt::format("the result of {} has another user, {}", self.op, graph_.node(user).op);
    }
  }
  return {};
}

}  // namespace lanner::passes
