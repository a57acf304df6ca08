// Sibling cones: what a graph computes for one part of a Concat alone, and for the corresponding part of other Concats.
// From an anchor, a Concat, the nodes that lead to one of its parts only are that part's; so are those that need one of
// them and no other part's. Another Concat that joins results of different parts is where the siblings meet as well.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "passes/concats.h"

namespace lanner::passes {

// A Concat that joins results of siblings.
struct SiblingMeeting {
  const JoinedParts* joined = nullptr;
  // By sibling: which part is its result; kNoPart where none of its own nodes makes one.
  static constexpr std::size_t kNoPart = static_cast<std::size_t>(-1);
  std::vector<std::size_t> part_of;
};

// What siblings are made of.
class SiblingCones {
 public:
  static constexpr int kNobody = -1;
  // Why a node is nobody's; empty when it may be a sibling's.
  using Objection = std::function<std::string(NodeId)>;

  // Siblings are numbered like the parts of `anchor`, one of `concats`, which outlive this object.
  // `order` is the graph's topological order.
  SiblingCones(const Graph& graph, const std::vector<NodeId>& order, const std::vector<JoinedParts>& concats,
               const JoinedParts& anchor, const Objection& objection);

  // The anchor first.
  const std::vector<SiblingMeeting>& meetings() const { return meetings_; }
  // The sibling that makes a value by a node of its own, whose results nobody else reads; kNobody.
  int owner_of(ValueId value) const;
  // The sibling's own nodes, in topological order.
  const std::vector<NodeId>& nodes(std::size_t sibling) const { return nodes_[sibling]; }
  // Why a node that does a sibling's work is not its own; empty where there is none. The one nearest to the Concats.
  const std::string& cut(std::size_t sibling) const { return cuts_[sibling]; }

 private:
  static std::size_t index(NodeId id) { return static_cast<std::size_t>(id); }
  void label_ancestors(const std::vector<NodeId>& order, const JoinedParts& anchor);
  void label_others(const std::vector<NodeId>& order, const std::vector<JoinedParts>& concats,
                    const JoinedParts& anchor);
  int label_of_inputs(const Node& node) const;
  bool needs_a_meeting(const Node& node) const;
  bool add_meeting(const JoinedParts& joined);
  void find_owners(const std::vector<NodeId>& order, const Objection& objection);
  bool leads_on(NodeId node) const;
  std::string escape(NodeId node) const;

  const Graph& graph_;
  std::vector<int> owner_;     // by node; whose work it does, until find_owners() leaves what is nobody else's
  std::vector<char> after_;    // by node: it needs what a meeting makes
  std::vector<char> is_join_;  // by node: it is a meeting's Concat, or one taken in by it
  std::vector<SiblingMeeting> meetings_;
  std::vector<std::vector<NodeId>> nodes_;
  std::vector<std::string> cuts_;
};

}  // namespace lanner::passes
