// What a rewrite rule is. A rule looks at one node of a graph and proposes an Edit, or says why it does not; only the
// engine (engine.h) changes the graph. A rule may know operators, constants and shapes; it need not know who else uses
// a value, what the outputs are called or what is left over afterwards: the engine sees to those, once for all rules.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ir/graph.h"

namespace lanner::passes {

using ir::Graph;
using ir::kNoNode;
using ir::kNoValue;
using ir::Node;
using ir::NodeId;
using ir::ValueId;
using tensor::ValueType;

class Engine;

// A patch for a graph: new constants and nodes that tap old values, and old values that new (or other old) ones
// replace. Values of the patch have ids of their own, which mean something only to the Edit that gave them out.
class Edit {
 public:
  // `at` is the node the rule was asked about; it counts as consumed.
  Edit(const Graph& graph, NodeId at) : graph_(graph), consumed_{at} {}

  // A name that is empty or taken is made up. `type` may stay unknown where the value replaces another.
  ValueId constant(Tensor tensor, std::string_view name = {});
  ValueId node(Node node, ValueType type = {}, std::string_view name = {});
  std::vector<ValueId> nodes(Node node, std::vector<std::pair<std::string, ValueType>> outputs);
  // `to` takes the place of `from` everywhere, also as a graph output. It may not be made from `from`.
  void replace(ValueId from, ValueId to);
  // The pattern contains `node` and the edit is right only if it goes. False, with the reason in blocked(), when one of
  // its outputs is a graph output or has users outside the nodes consumed so far: so consume users before producers.
  bool consume(NodeId node);
  const std::string& blocked() const { return blocked_; }

  // Of old values and those of this edit.
  const ValueType& type(ValueId value) const;
  bool is_new(ValueId value) const { return static_cast<std::uint32_t>(value) >= kFirstNew && value != kNoValue; }

 private:
  friend class Engine;
  static constexpr std::uint32_t kFirstNew = 0x80000000u;

  struct NewValue {
    std::string name;
    ValueType type;
    Tensor constant;
  };
  struct NewNode {
    Node node;
    std::vector<std::size_t> outputs;  // indices into values_
  };

  ValueId add_value(NewValue value);
  std::string escapes(NodeId node) const;

  const Graph& graph_;
  std::vector<NewValue> values_;
  std::vector<NewNode> nodes_;
  std::vector<std::pair<ValueId, ValueId>> replacements_;
  std::vector<NodeId> consumed_;
  std::string blocked_;
};

// What a rule says about a node.
struct Verdict {
  enum class Kind : std::uint8_t { kNoMatch, kNearMiss, kRewrite };
  Kind kind = Kind::kNoMatch;
  std::string reason;  // of a near miss: the guard that declined
};

// The pattern is not here; not worth a word.
inline Verdict no_match() {
  return {};
}
// The pattern is here but a guard declines; users can ask why.
template <typename... Args>
Verdict near_miss(fmt::format_string<Args...> format, Args&&... args) {
  return {Verdict::Kind::kNearMiss, fmt::format(format, std::forward<Args>(args)...)};
}
// The edit is complete.
inline Verdict rewrite() {
  return {Verdict::Kind::kRewrite, {}};
}

// A rule over a whole graph changes it through the engine, too: by edits, or directly when `allow` says so.
class GraphRewriter {
 public:
  virtual ~GraphRewriter() = default;
  // Whether the edit was made; not when the engine refuses it or enough edits were made.
  virtual bool apply(NodeId at, Edit& edit) = 0;
  // Asks for one direct change, described by `where`, and records it if granted.
  virtual bool allow(std::string_view where) = 0;
  virtual void near_miss(NodeId at, std::string reason) = 0;
};

struct Rule {
  std::string_view name;  // kebab-case; `--disable-rule` takes it
  std::string_view doc;   // one sentence
  // The operators of the nodes that `rewrite` is asked about, of any domain; none means all.
  std::span<const std::string_view> ops;
  // Exactly one of these two is set.
  Verdict (*rewrite)(const Graph& graph, NodeId at, Edit& edit) = nullptr;
  void (*rewrite_graph)(Graph& graph, GraphRewriter& rewriter) = nullptr;
};

}  // namespace lanner::passes
