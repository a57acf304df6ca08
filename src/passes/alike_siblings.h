// Siblings that do the same: neighbours whose cones (sibling_cones.h) have the same operators, wired in the same way.
// What they read from outside may differ, and so may the one element that a ConstantOfShape repeats.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "passes/sibling_cones.h"

namespace lanner::passes {

// A stretch of siblings, which grows one by one.
class AlikeSiblings {
 public:
  // A value that a node reads and no node of its sibling makes.
  struct Given {
    NodeId node;                  // of the first sibling
    std::size_t input;            // which of its inputs
    std::vector<ValueId> values;  // by sibling
    ValueType type;               // what holds for all of them
  };
  // What a ConstantOfShape repeats, by sibling.
  using Fills = std::map<NodeId, std::vector<const Tensor*>>;

  // `first` alone. `graph` and `cones` outlive this object.
  AlikeSiblings(const Graph& graph, const SiblingCones& cones, std::size_t first);

  // Adds the sibling behind the last one if it does the same; else says what differs.
  std::string add_next();

  std::size_t first() const { return first_; }
  std::size_t count() const { return count_; }
  std::size_t end() const { return first_ + count_; }  // behind the last one
  // In the order of the first sibling's nodes and their inputs.
  const std::vector<Given>& given() const { return given_; }
  const Fills& fills() const { return fills_; }
  // What holds in all siblings for what stands where the first one's `value` does.
  const ValueType& type(ValueId value) const { return types_.at(value); }

 private:
  using Pairs = std::unordered_map<NodeId, NodeId>;  // from the first sibling to another

  std::string pair_up(std::size_t next, Pairs& pairs) const;
  std::string pair_inputs(std::size_t next, NodeId a, NodeId b, Pairs& pairs,
                          std::vector<std::pair<NodeId, NodeId>>& pending) const;
  bool pair_values(ValueId a, ValueId b, Pairs& pairs, std::vector<std::pair<NodeId, NodeId>>& pending) const;
  bool is_given(std::size_t sibling, ValueId value) const;

  const Graph& graph_;
  const SiblingCones& cones_;
  std::size_t first_;
  std::size_t count_ = 1;
  std::unordered_map<ValueId, ValueType> types_;
  std::vector<Given> given_;
  Fills fills_;
};

}  // namespace lanner::passes
