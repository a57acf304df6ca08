#include "passes/siblings.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <unordered_set>

#include "passes/match.h"

namespace lanner::passes {

namespace {

using Kind = Meaning::Kind;

// A Concat, those that only feed it included.
struct Meeting {
  NodeId node = kNoNode;
  int axis = 0;
  std::vector<ValueId> parts;
  std::vector<RowsRef> rows;  // of the siblings' results; null for other parts
  std::size_t sibling_count = 0;
};

// Parts first to last - 1 of a meeting.
struct Run {
  std::size_t first = 0;
  std::size_t last = 0;
};

class Batcher {
 public:
  Batcher(Graph& graph, GraphRewriter& rewriter, const SiblingFamily& family)
      : graph_(graph), rewriter_(rewriter), family_(family), selections_(graph) {}

  // Whether anything was batched; then the graph is to be read anew. What declined is in declined().
  bool run() {
    const std::vector<Meeting> meetings = find_meetings();
    std::vector<bool> done(meetings.size(), false);
    for (std::size_t i = 0; i < meetings.size(); ++i) {
      if (done[i]) continue;
      std::vector<const Meeting*> group;
      for (std::size_t j = i; j < meetings.size(); ++j) {
        if (done[j] || !same_siblings(meetings[i], meetings[j])) continue;
        done[j] = true;
        group.push_back(&meetings[j]);
      }
      if (batch(group)) return true;
    }
    explain_rest();
    return false;
  }

  const std::vector<std::pair<NodeId, std::string>>& declined() const { return declined_; }

 private:
  void decline(NodeId node, std::string reason) { declined_.emplace_back(node, std::move(reason)); }

  // The inputs of a Concat, with those of Concats along the same axis that nobody else reads in their place.
  void flatten(const Node& node, int axis, std::vector<ValueId>& parts, std::unordered_set<NodeId>& inner) const {
    for (const ValueId part : node.inputs) {
      const Node* producer = graph_.producer(part);
      if (producer != nullptr && is_op(*producer, "Concat") && concat_axis(*producer) == axis &&
          graph_.value(part).users.size() == 1 && !graph_.is_output(part)) {
        inner.insert(graph_.value(part).producer);
        flatten(*producer, axis, parts, inner);
      } else {
        parts.push_back(part);
      }
    }
  }

  int concat_axis(const Node& node) const {
    const int rank = rank_of(graph_, node.outputs[0]);
    const std::int64_t axis = node.attributes.get_int("axis", 0);
    return axis >= 0 ? static_cast<int>(axis) : rank < 0 ? -1 : static_cast<int>(axis) + rank;
  }

  std::vector<Meeting> find_meetings() const {
    std::vector<Meeting> meetings;
    std::unordered_set<NodeId> inner;
    std::vector<NodeId> order = graph_.topological_order();
    std::ranges::reverse(order);  // so that a Concat comes before those it takes in
    for (const NodeId id : order) {
      const Node& node = graph_.node(id);
      if (!is_op(node, "Concat") || inner.contains(id)) continue;
      Meeting meeting{id, concat_axis(node), {}, {}, 0};
      if (meeting.axis < 0) continue;
      flatten(node, meeting.axis, meeting.parts, inner);
      for (const ValueId part : meeting.parts) {
        const Meaning* meaning = selections_.of(part);
        const bool fits = meaning != nullptr && meaning->rows != nullptr && meaning->kind != Kind::kNumbers &&
                          meaning->layout.open_axis() == meeting.axis && family_.accepts(graph_, *meaning->rows);
        meeting.rows.push_back(fits ? meaning->rows : nullptr);
        meeting.sibling_count += fits ? 1 : 0;
      }
      if (meeting.sibling_count >= 2) meetings.push_back(std::move(meeting));
    }
    std::ranges::reverse(meetings);
    return meetings;
  }

  bool same_siblings(const Meeting& a, const Meeting& b) const {
    return std::ranges::equal(a.rows, b.rows, [&](const RowsRef& x, const RowsRef& y) {
      return (x == nullptr) == (y == nullptr) && (x == nullptr || same_rows(graph_, x, y));
    });
  }

  // Stretches of at least two siblings that one operator can stand for; `difference` says why there are no longer ones.
  std::vector<Run> find_runs(const Meeting& meeting, std::string& difference) const {
    std::vector<Run> runs;
    for (std::size_t i = 0; i < meeting.rows.size();) {
      std::size_t next = i + 1;
      if (meeting.rows[i] != nullptr) {
        while (next < meeting.rows.size() && meeting.rows[next] != nullptr) {
          std::string found = family_.difference(graph_, *meeting.rows[i], *meeting.rows[next]);
          if (!found.empty()) {
            difference = std::move(found);
            break;
          }
          ++next;
        }
        std::unordered_set<NodeId> nodes;
        for (std::size_t k = i; k < next; ++k) nodes.insert(meeting.rows[k]->node);
        if (nodes.size() >= 2) runs.push_back({i, next});
      }
      i = next;
    }
    return runs;
  }

  bool batch(const std::vector<const Meeting*>& group) {
    const Meeting& first = *group[0];
    std::string difference;
    const std::vector<Run> runs = find_runs(first, difference);
    for (const Run& run : runs) {
      for (std::size_t k = run.first; k < run.last; ++k) taken_.insert(first.rows[k]->node);
    }
    if (runs.empty()) {
      if (!difference.empty()) decline(first.node, difference);
      return false;
    }

    Edit edit(graph_, first.node);
    std::vector<SiblingOutputs> made;
    for (const Run& run : runs) {
      made.push_back(family_.add(graph_, edit, std::span(first.rows).subspan(run.first, run.last - run.first)));
    }
    std::unordered_set<NodeId> replaced;
    for (const Meeting* meeting : group) {
      std::vector<ValueId> parts;
      std::size_t next = 0;
      for (std::size_t i = 0; i < runs.size(); ++i) {
        for (; next < runs[i].first; ++next) parts.push_back(meeting->parts[next]);
        std::string failed;
        parts.push_back(read_off(edit, *meeting, runs[i], made[i], failed));
        if (!failed.empty()) {
          decline(meeting->node, std::move(failed));
          return false;
        }
        next = runs[i].last;
      }
      for (; next < meeting->parts.size(); ++next) parts.push_back(meeting->parts[next]);
      const ValueId old = graph_.node(meeting->node).outputs[0];
      if (parts.size() > 1) {
        tensor::Attributes axis;
        axis.set("axis", static_cast<std::int64_t>(meeting->axis));
        parts = {edit.node(stand_in(make_node("Concat", parts, std::move(axis)), "Concat", 1), type_of(graph_, old))};
      }
      edit.replace(old, parts[0]);
      replaced.insert(meeting->node);
    }
    if (std::string reason = no_gain(first, runs, replaced); !reason.empty()) {
      decline(first.node, std::move(reason));
      return false;
    }
    return rewriter_.apply(first.node, edit);
  }

  // Why most of the siblings would have to run all the same, once the Concats `replaced` are gone; empty when they do
  // not.
  std::string no_gain(const Meeting& meeting, const std::vector<Run>& runs,
                      const std::unordered_set<NodeId>& replaced) const {
    std::unordered_set<NodeId> alive;
    std::vector<NodeId> order = graph_.topological_order();
    for (auto it = order.rbegin(); it != order.rend(); ++it) {
      if (replaced.contains(*it)) continue;
      const auto needed = [&](ValueId output) {
        return output != kNoValue &&
               (graph_.is_output(output) ||
                std::ranges::any_of(graph_.value(output).users, [&](NodeId user) { return alive.contains(user); }));
      };
      if (std::ranges::any_of(graph_.node(*it).outputs, needed)) alive.insert(*it);
    }
    std::size_t count = 0;
    std::size_t kept = 0;
    NodeId example = kNoNode;
    for (const Run& run : runs) {
      for (std::size_t k = run.first; k < run.last; ++k) {
        ++count;
        if (!alive.contains(meeting.rows[k]->node)) continue;
        ++kept;
        if (example == kNoNode) example = meeting.rows[k]->node;
      }
    }
    if (2 * kept < count) return {};
    return fmt::format("{} of {} {} are needed elsewhere, too, such as '{}'", kept, count, family_.op,
                       graph_.node(example).name);
  }

  // What a stretch of a Concat's inputs holds, as read off the operator that stands for the siblings; kNoValue, with
  // the reason in `failed`, where it cannot be.
  ValueId read_off(Edit& edit, const Meeting& meeting, const Run& run, const SiblingOutputs& made,
                   std::string& failed) const {
    std::vector<const Meaning*> parts;
    for (std::size_t k = run.first; k < run.last; ++k) parts.push_back(selections_.of(meeting.parts[k]));
    const Meaning& first = *parts[0];
    const auto all = [&](auto&& holds) {
      for (std::size_t k = 0; k < parts.size(); ++k) {
        if (!holds(*parts[k], *meeting.rows[run.first + k])) return false;
      }
      return true;
    };
    const ElementType element = type_of(graph_, meeting.parts[run.first]).element;
    if (!all([&](const Meaning& part, const Rows&) {
          return part.kind == first.kind && part.layout.dims == first.layout.dims;
        })) {
      failed = "the results that meet in a Concat are of different kinds";
      return kNoValue;
    }
    std::vector<std::int64_t> item = first.layout.dims;
    item.erase(item.begin() + meeting.axis);

    ValueId list = kNoValue;
    std::vector<std::int64_t> list_dims{View::kOpen};
    if (first.kind == Kind::kIndex) {
      if (all([](const Meaning& part, const Rows&) { return part.among == nullptr; })) {
        list = made.rows;
        if (element == ElementType::kInt32) {
          tensor::Attributes to;
          to.set("to", static_cast<std::int64_t>(element));
          list =
              edit.node(stand_in(make_node("Cast", {list}, std::move(to)), "Cast", 1), list_type(element, list_dims));
        }
      }
    } else if (first.kind == Kind::kFill) {
      list = fills(edit, parts, made.siblings);
    } else if (first.kind == Kind::kData) {
      const Rows& rows = *meeting.rows[run.first];
      if (all([](const Meaning& part, const Rows& of) { return same_view(part.layout, of.scores); })) {
        list = made.scores;
      } else if (all([&](const Meaning& part, const Rows&) { return same_view(part.layout, first.layout); })) {
        list_dims.insert(list_dims.end(), item.begin(), item.end());
        if (made.boxes != kNoValue && same_view(first.layout, rows.boxes)) {
          list = made.boxes;
          list_dims = {View::kOpen, 4};
        } else if (first.layout.whole != kNoValue) {
          list = gather(edit, first.layout.whole, item, made.rows, element);
        }
      }
    }
    if (list == kNoValue) {
      failed = fmt::format("'{}' is no part of a value that the siblings share",
                           graph_.value(meeting.parts[run.first]).name);
      return kNoValue;
    }
    if (list_dims == first.layout.dims) return list;
    std::vector<std::int64_t> dims = first.layout.dims;
    dims[static_cast<std::size_t>(meeting.axis)] = -1;
    const ValueId shape = edit.constant(int_tensor(dims));
    dims[static_cast<std::size_t>(meeting.axis)] = View::kOpen;
    return edit.node(stand_in(make_node("Reshape", {list, shape}), "Reshape", 1), list_type(element, dims));
  }

  // The number that each sibling repeats.
  ValueId fills(Edit& edit, const std::vector<const Meaning*>& parts, ValueId siblings) const {
    const ElementType element = parts[0]->fill.element_type();
    const auto width = static_cast<std::size_t>(tensor_bytes(element));
    Tensor table = Tensor::allocate(element, {static_cast<std::int64_t>(parts.size())});
    bool counts = element == ElementType::kInt64;
    for (std::size_t k = 0; k < parts.size(); ++k) {
      const Tensor& fill = parts[k]->fill;
      if (fill.element_type() != element || width == 0) return kNoValue;
      std::memcpy(static_cast<std::byte*>(table.raw_data()) + k * width, fill.raw_data(), width);
      counts = counts && fill.data<std::int64_t>()[0] == static_cast<std::int64_t>(k);
    }
    if (counts) return siblings;
    return edit.node(stand_in(make_node("Gather", {edit.constant(std::move(table)), siblings}), "Gather", 1),
                     list_type(element, {View::kOpen}));
  }

  static std::int64_t tensor_bytes(ElementType element) {
    return element == ElementType::kString ? 0 : element_bits(element) / 8;
  }

  // The rows of a value with as many items.
  ValueId gather(Edit& edit, ValueId whole, const std::vector<std::int64_t>& item, ValueId rows,
                 ElementType element) const {
    std::vector<std::int64_t> dims{View::kOpen};
    for (const std::int64_t dim : item) {
      if (dim == 0) return kNoValue;
      dims.push_back(dim);
    }
    const auto& present = type_of(graph_, whole).dims;
    const bool fits = present.size() == dims.size() &&
                      std::equal(item.begin(), item.end(), present.begin() + 1,
                                 [](std::int64_t dim, const tensor::Dim& of) { return of.size == dim; });
    if (!fits) {
      whole = edit.node(stand_in(make_node("Reshape", {whole, edit.constant(int_tensor(dims))}), "Reshape", 1),
                        list_type(element, dims));
    }
    return edit.node(stand_in(make_node("Gather", {whole, rows}), "Gather", 1), list_type(element, dims));
  }

  // Where several nodes of the family's operator stay, says of each why.
  void explain_rest() {
    std::vector<NodeId> rest;
    for (const NodeId id : graph_.topological_order()) {
      if (is_op(graph_.node(id), family_.op) && !taken_.contains(id)) rest.push_back(id);
    }
    if (rest.size() < 2 || !declined_.empty()) return;
    for (const NodeId id : rest) {
      decline(id, selections_.of(graph_.node(id).outputs[0]) == nullptr
                      ? "what it picks from, or how many, is not understood"
                      : "what it picks does not meet that of siblings in a Concat");
    }
  }

  Graph& graph_;
  GraphRewriter& rewriter_;
  const SiblingFamily& family_;
  const Selections selections_;
  std::unordered_set<NodeId> taken_;
  std::vector<std::pair<NodeId, std::string>> declined_;
};

}  // namespace

void batch_siblings(Graph& graph, GraphRewriter& rewriter, const SiblingFamily& family) {
  const auto count = [&] {
    return std::ranges::count_if(graph.topological_order(),
                                 [&](NodeId id) { return is_op(graph.node(id), family.op); });
  };
  while (count() >= 2) {
    Batcher batcher(graph, rewriter, family);
    if (batcher.run()) continue;
    for (const auto& [node, reason] : batcher.declined()) rewriter.near_miss(node, reason);
    return;
  }
}

ValueId limit_input(Edit& edit, const Number& limit) {
  return limit.kind == Number::Kind::kValue ? limit.value : edit.constant(int_tensor({limit.constant}));
}

void set_columns(tensor::Attributes& attributes, std::span<const RowsRef> siblings) {
  std::vector<std::int64_t> offsets;
  for (const RowsRef& rows : siblings) offsets.push_back(rows->scores.offset);
  attributes.set("offsets", std::move(offsets));
  attributes.set("row_stride", siblings[0]->scores.strides[0]);
}

Node stand_in(Node node, std::string_view op, std::size_t count) {
  node.stands_for.assign(count, std::string(op));
  return node;
}

ValueType list_type(ElementType element, std::vector<std::int64_t> dims) {
  ValueType type = ValueType::unranked(element);
  type.ranked = true;
  for (const std::int64_t dim : dims) type.dims.push_back({dim, {}});
  return type;
}

}  // namespace lanner::passes
