#include "passes/siblings.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>
#include <unordered_set>

#include "passes/concats.h"
#include "passes/match.h"

namespace lanner::passes {

namespace {

using Kind = Meaning::Kind;

// Rows of all siblings together, padded ones included, that a constant may be made for.
constexpr std::int64_t kMaxPadding = 1 << 22;

// A Concat, those that only feed it included; or, of a lone list of rows, a value that shows them.
struct Meeting {
  NodeId node = kNoNode;
  ValueId value = kNoValue;
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
    if (batch_first(find_meetings(), 2)) return true;
    explain_rest();
    return false;
  }
  // The same for each list of rows by itself.
  bool run_alone() { return batch_first(find_lone(), 1); }

  const std::vector<std::pair<NodeId, std::string>>& declined() const { return declined_; }

 private:
  bool batch_first(const std::vector<Meeting>& meetings, std::size_t least) {
    std::vector<bool> done(meetings.size(), false);
    for (std::size_t i = 0; i < meetings.size(); ++i) {
      if (done[i]) continue;
      std::vector<const Meeting*> group;
      for (std::size_t j = i; j < meetings.size(); ++j) {
        if (done[j] || !same_siblings(meetings[i], meetings[j])) continue;
        done[j] = true;
        group.push_back(&meetings[j]);
      }
      if (batch(group, least)) return true;
    }
    return false;
  }

  void decline(NodeId node, std::string reason) { declined_.emplace_back(node, std::move(reason)); }

  std::vector<Meeting> find_meetings() const {
    std::vector<Meeting> meetings;
    const auto is_padded = [&](ValueId part) {
      const Meaning* meaning = selections_.of(part);
      return meaning != nullptr && meaning->kind == Kind::kPadded;
    };
    for (JoinedParts& joined : find_concats(graph_, is_padded)) {
      const ValueId value = graph_.node(joined.node).outputs[0];
      Meeting meeting{joined.node, value, joined.axis, std::move(joined.parts), {}, 0};
      for (const ValueId part : meeting.parts) {
        const Meaning* meaning = selections_.of(part);
        const bool fits = meaning != nullptr && meaning->rows != nullptr && is_result(*meaning, meeting.axis) &&
                          family_.accepts(graph_, *meaning->rows);
        meeting.rows.push_back(fits ? meaning->rows : nullptr);
        meeting.sibling_count += fits ? 1 : 0;
      }
      if (meeting.sibling_count >= 2) meetings.push_back(std::move(meeting));
    }
    return meetings;
  }

  // What lists of rows are read for, each by itself: the values from which something is made that is no such reading.
  std::vector<Meeting> find_lone() const {
    std::vector<Meeting> meetings;
    for (const NodeId id : graph_.topological_order()) {
      for (const ValueId value : graph_.node(id).outputs) {
        const Meaning* meaning = value == kNoValue ? nullptr : selections_.of(value);
        if (meaning == nullptr || meaning->rows == nullptr || !is_reading(*meaning) ||
            !family_.accepts(graph_, *meaning->rows)) {
          continue;
        }
        const auto reads_on = [&](NodeId user) {
          return std::ranges::any_of(graph_.node(user).outputs, [&](ValueId output) {
            const Meaning* of = output == kNoValue ? nullptr : selections_.of(output);
            return of != nullptr && is_reading(*of) && same_rows(graph_, of->rows, meaning->rows);
          });
        };
        if (!graph_.is_output(value) && std::ranges::all_of(graph_.value(value).users, reads_on)) continue;
        meetings.push_back({id, value, meaning->layout.open_axis(), {value}, {meaning->rows}, 1});
      }
    }
    return meetings;
  }

  // Elements at some rows, or the rows themselves.
  static bool is_reading(const Meaning& meaning) {
    return (meaning.kind == Kind::kData || meaning.kind == Kind::kIndex) && meaning.layout.open_axis() >= 0;
  }

  // What Concats join along `axis`.
  static bool is_result(const Meaning& meaning, int axis) {
    if (meaning.kind == Kind::kPadded) return axis == 0;
    return (meaning.kind == Kind::kData || meaning.kind == Kind::kIndex || meaning.kind == Kind::kFill) &&
           meaning.layout.open_axis() == axis;
  }

  bool same_siblings(const Meeting& a, const Meeting& b) const {
    return std::ranges::equal(a.rows, b.rows, [&](const RowsRef& x, const RowsRef& y) {
      return (x == nullptr) == (y == nullptr) && (x == nullptr || same_rows(graph_, x, y));
    });
  }

  // Stretches of at least `least` siblings that one operator can stand for; `difference` says why there are no longer
  // ones.
  std::vector<Run> find_runs(const Meeting& meeting, std::size_t least, std::string& difference) const {
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
        if (nodes.size() >= least) runs.push_back({i, next});
      }
      i = next;
    }
    return runs;
  }

  bool batch(const std::vector<const Meeting*>& group, std::size_t least) {
    const Meeting& first = *group[0];
    std::string difference;
    const std::vector<Run> runs = find_runs(first, least, difference);
    for (const Run& run : runs) {
      for (std::size_t k = run.first; k < run.last; ++k) taken_.insert(first.rows[k]->node);
    }
    if (runs.empty()) {
      if (!difference.empty()) decline(first.node, difference);
      return false;
    }

    // Of a lone list, nothing is left of what the last value is made by.
    const NodeId at = least == 1 ? group.back()->node : first.node;
    Edit edit(graph_, at);
    std::vector<SiblingOutputs> made;
    for (const Run& run : runs) {
      made.push_back(family_.add(graph_, edit, std::span(first.rows).subspan(run.first, run.last - run.first)));
    }
    std::unordered_set<ValueId> replaced;
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
      if (parts.size() > 1) {
        tensor::Attributes axis;
        axis.set("axis", static_cast<std::int64_t>(meeting->axis));
        parts = {edit.node(stand_in(make_node("Concat", parts, std::move(axis)), "Concat", 1),
                           type_of(graph_, meeting->value))};
      }
      edit.replace(meeting->value, parts[0]);
      replaced.insert(meeting->value);
    }
    if (std::string reason = no_gain(first, runs, replaced); !reason.empty()) {
      decline(first.node, std::move(reason));
      return false;
    }
    return rewriter_.apply(at, edit);
  }

  // Why most of the siblings would have to run all the same, once the values `replaced` are gone; empty when they do
  // not.
  std::string no_gain(const Meeting& meeting, const std::vector<Run>& runs,
                      const std::unordered_set<ValueId>& replaced) const {
    std::unordered_set<NodeId> alive;
    std::vector<NodeId> order = graph_.topological_order();
    for (auto it = order.rbegin(); it != order.rend(); ++it) {
      const auto needed = [&](ValueId output) {
        return output != kNoValue && !replaced.contains(output) &&
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
          return part.kind == first.kind && part.inner == first.inner && part.layout.dims == first.layout.dims &&
                 part.filled_by_number == first.filled_by_number && part.padded_count == first.padded_count;
        })) {
      failed = "the results that meet in a Concat are of different kinds";
      return kNoValue;
    }
    std::vector<std::int64_t> item = first.layout.dims;
    item.erase(item.begin() + meeting.axis);

    const bool padded = first.kind == Kind::kPadded;
    const Kind kind = padded ? first.inner : first.kind;
    const Rows& rows = *meeting.rows[run.first];
    ValueId list = kNoValue;
    std::vector<std::int64_t> list_dims{View::kOpen};
    if (padded && (first.padded_count > kMaxPadding / static_cast<std::int64_t>(parts.size()) ||
                   !all([&](const Meaning& part, const Rows&) { return same_element(part.fill, first.fill); }))) {
      // Nothing stands for them.
    } else if (kind == Kind::kIndex) {
      if (all([](const Meaning& part, const Rows&) { return part.among == nullptr; })) {
        list = padded ? pad(edit, made, made.rows, first.fill, parts) : made.rows;
        if (element == ElementType::kInt32) list = cast(edit, list, element);
      }
    } else if (kind == Kind::kFill) {
      list = fills(edit, parts, made.siblings);
    } else if (!first.filled_by_number &&
               all([](const Meaning& part, const Rows& of) { return shows_column(part, of.scores); })) {
      list = padded ? pad(edit, made, made.scores, first.fill, parts) : made.scores;
    } else if (all([&](const Meaning& part, const Rows&) { return same_view(part.layout, first.layout); })) {
      list_dims.insert(list_dims.end(), item.begin(), item.end());
      if (padded && first.filled_by_number && first.layout.whole != kNoValue) {
        list = gather(edit, first.layout.whole, item, pad(edit, made, made.rows, first.fill, parts), element);
      } else if (padded) {
        // The padding is no row of the shared value.
      } else if (made.boxes != kNoValue && same_view(first.layout, rows.boxes)) {
        list = made.boxes;
        list_dims = {View::kOpen, 4};
      } else if (first.layout.whole != kNoValue) {
        list = gather(edit, first.layout.whole, item, made.rows, element);
      }
    }
    if (list == kNoValue) {
      failed = fmt::format("'{}' is no part of a value that the siblings share",
                           graph_.value(meeting.parts[run.first]).name);
      return kNoValue;
    }
    if (padded || list_dims == first.layout.dims) return list;
    std::vector<std::int64_t> dims = first.layout.dims;
    dims[static_cast<std::size_t>(meeting.axis)] = -1;
    const ValueId shape = edit.constant(int_tensor(dims));
    dims[static_cast<std::size_t>(meeting.axis)] = View::kOpen;
    return edit.node(stand_in(make_node("Reshape", {list, shape}), "Reshape", 1), list_type(element, dims));
  }

  static bool same_element(const Tensor& a, const Tensor& b) {
    return a.element_type() == b.element_type() && std::memcmp(a.raw_data(), b.raw_data(), a.byte_count()) == 0;
  }

  // Whether data are a sibling's own scores, padded or not.
  static bool shows_column(const Meaning& part, const View& column) {
    return part.layout.rank() > 0 && part.layout.base == column.base && part.layout.offset == column.offset &&
           squeezed(part.layout).rank() == 1 && squeezed(part.layout).strides == column.strides;
  }

  static ValueId cast(Edit& edit, ValueId value, ElementType to) {
    tensor::Attributes attributes;
    attributes.set("to", static_cast<std::int64_t>(to));
    return edit.node(stand_in(make_node("Cast", {value}, std::move(attributes)), "Cast", 1),
                     list_type(to, {View::kOpen}));
  }

  // The rows' elements of `list`, brought up to the same number for each sibling with `fill`.
  static ValueId pad(Edit& edit, const SiblingOutputs& made, ValueId list, const Tensor& fill,
                     const std::vector<const Meaning*>& parts) {
    const auto sibling_count = static_cast<std::int64_t>(parts.size());
    const std::int64_t room = parts[0]->padded_count;
    const auto add = [&](std::string_view op, std::vector<ValueId> inputs, tensor::Attributes attributes = {},
                         ElementType element = ElementType::kInt64) {
      return edit.node(stand_in(make_node(op, std::move(inputs), std::move(attributes)), op, 1),
                       list_type(element, {View::kOpen}));
    };
    // A row's place is how many rows its sibling has before it, after the room of the siblings before.
    const ValueId count = edit.node(
        stand_in(make_node("Squeeze", {add("Shape", {made.rows}), edit.constant(int_tensor({0}))}), "Squeeze", 1),
        list_type(ElementType::kInt64, {}));
    const auto scalar = [&](std::int64_t number) { return edit.constant(Tensor::scalar<std::int64_t>(number)); };
    const ValueId numbers = add("Range", {scalar(0), count, scalar(1)});
    tensor::Attributes least;
    least.set("reduction", std::string("min"));
    const std::vector<std::int64_t> no_rows(parts.size(), std::numeric_limits<std::int64_t>::max());
    const ValueId starts =
        add("ScatterElements", {edit.constant(int_tensor(no_rows)), made.siblings, numbers}, std::move(least));
    const ValueId before = add("Sub", {numbers, add("Gather", {starts, made.siblings})});
    const ValueId places = add("Add", {add("Mul", {made.siblings, scalar(room)}), before});
    return add("ScatterElements",
               {edit.constant(filled(fill, list == made.scores, sibling_count * room)), places, list}, {},
               list == made.scores ? ElementType::kFloat32 : ElementType::kInt64);
  }

  // `count` times the one element, in float32 or int64.
  static Tensor filled(const Tensor& element, bool is_score, std::int64_t count) {
    Tensor result = Tensor::allocate(is_score ? ElementType::kFloat32 : ElementType::kInt64, {count});
    if (is_score) {
      std::ranges::fill(result.values<float>(), *element.data<float>());
    } else {
      const bool wide = element.element_type() == ElementType::kInt64;
      std::ranges::fill(result.values<std::int64_t>(),
                        wide ? *element.data<std::int64_t>() : *element.data<std::int32_t>());
    }
    return result;
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
    return element == ElementType::kString ? 0 : element_bytes(element);
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

void batch_while(Graph& graph, GraphRewriter& rewriter, const SiblingFamily& family, std::ptrdiff_t least,
                 bool (Batcher::*run)()) {
  const auto count = [&] {
    return std::ranges::count_if(graph.topological_order(),
                                 [&](NodeId id) { return is_op(graph.node(id), family.op); });
  };
  while (count() >= least) {
    Batcher batcher(graph, rewriter, family);
    if ((batcher.*run)()) continue;
    for (const auto& [node, reason] : batcher.declined()) rewriter.near_miss(node, reason);
    return;
  }
}

}  // namespace

void batch_siblings(Graph& graph, GraphRewriter& rewriter, const SiblingFamily& family) {
  batch_while(graph, rewriter, family, 2, &Batcher::run);
}

void fuse_lone(Graph& graph, GraphRewriter& rewriter, const SiblingFamily& family) {
  batch_while(graph, rewriter, family, 1, &Batcher::run_alone);
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
