#include "passes/selection.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "lanner/error.h"
#include "passes/evaluate.h"
#include "passes/match.h"

namespace lanner::passes {

namespace {

using Kind = Meaning::Kind;

// No axis is longer, so an end beyond it is no limit.
constexpr std::int64_t kForever = std::numeric_limits<std::int32_t>::max();
constexpr std::size_t kMaxNumbers = 16;
// Whole numbers up to here are exact in float32, and a greater one does not round to less.
constexpr std::int64_t kMaxExact = 1 << 24;

std::size_t at(int axis) {
  return static_cast<std::size_t>(axis);
}

Number constant_number(std::int64_t constant) {
  Number number;
  number.kind = Number::Kind::kConstant;
  number.constant = constant;
  return number;
}

bool is_int(ElementType type) {
  return type == ElementType::kInt64 || type == ElementType::kInt32;
}

// The axis counted from 0, or nothing when it does not exist.
std::optional<int> axis_of(std::int64_t axis, int rank) {
  if (axis < -rank || axis >= rank) return std::nullopt;
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

// The smaller of a limit and another; nothing where that cannot be told.
std::optional<Number> smaller(const Number& a, const Number& b) {
  if (a.kind == Number::Kind::kConstant && b.kind == Number::Kind::kConstant) {
    return a.constant <= b.constant ? a : b;
  }
  return std::nullopt;
}

}  // namespace

bool same_scalar(const Graph& graph, ValueId a, ValueId b) {
  if (a == b) return true;
  const Tensor* x = constant_of(graph, a);
  const Tensor* y = constant_of(graph, b);
  return x != nullptr && y != nullptr && x->element_type() == y->element_type() && x->element_count() == 1 &&
         y->element_count() == 1 && x->element_type() != ElementType::kString &&
         std::memcmp(x->raw_data(), y->raw_data(), x->byte_count()) == 0;
}

bool same_number(const Number& a, const Number& b) {
  return a.kind == b.kind && a.constant == b.constant && a.value == b.value && a.rows == b.rows;
}

bool same_rows(const Graph& graph, const RowsRef& a, const RowsRef& b) {
  if (a == b) return true;
  if (a == nullptr || b == nullptr || a->kind != b->kind || !same_rows(graph, a->parent, b->parent) ||
      !same_view(a->scores, b->scores)) {
    return false;
  }
  if (a->kind == Rows::Kind::kAbove) return same_scalar(graph, a->threshold, b->threshold);
  if (!same_number(a->limit, b->limit)) return false;
  return a->kind == Rows::Kind::kTop || (same_view(a->boxes, b->boxes) && a->centered == b->centered &&
                                         same_scalar(graph, a->iou_threshold, b->iou_threshold) &&
                                         same_scalar(graph, a->score_threshold, b->score_threshold));
}

// Reads nodes in order; each method returns what output 0 means, or nothing.
class Reader {
 public:
  explicit Reader(Selections& selections) : s_(selections), graph_(selections.graph_) {}

  void read(NodeId id) {
    const Node& node = graph_.node(id);
    if (!node.domain.empty() || node.outputs.empty()) return;
    if (node.op == "Split") return split(node);
    if (node.op == "TopK") return top(id);
    std::optional<Meaning> meaning = read(id, node);
    store(node.outputs[0], std::move(meaning));
  }

 private:
  void store(ValueId value, std::optional<Meaning> meaning) {
    if (!meaning || value == kNoValue) return;
    if (meaning->kind == Kind::kData && meaning->rows == nullptr && meaning->layout.whole == kNoValue) {
      meaning->layout.whole = value;
    }
    s_.meanings_.insert_or_assign(value, std::move(*meaning));
  }

  std::optional<Meaning> read(NodeId id, const Node& node) {
    const std::string& op = node.op;
    if (op == "Identity") return known(input(node, 0));
    if (op == "Cast") return cast(node);
    if (op == "Squeeze") return squeeze(node);
    if (op == "Unsqueeze") return unsqueeze(node);
    if (op == "Reshape") return reshape(node);
    if (op == "Flatten") return flatten(node);
    if (op == "Transpose") return transpose(node);
    if (op == "Slice") return slice(node);
    if (op == "Gather") return gather(node);
    if (op == "GatherND") return gather_nd(node);
    if (op == "Compress") return compress(id, node);
    if (op == "Greater") return above(input(node, 0), input(node, 1));
    if (op == "Less") return above(input(node, 1), input(node, 0));
    if (op == "NonZero") return non_zero(id, node);
    if (op == "NonMaxSuppression") return suppress(id, node);
    if (op == "Shape") return shape(node);
    if (op == "Concat") return concat(node);
    if (op == "ConstantOfShape") return fill_shape(node);
    if (op == "Expand") return expand(node);
    if (op == "ReduceMin") return reduce_min(node);
    if (op == "Min") {
      if (std::optional<Meaning> number = min(node)) return number;
    }
    return fill_arithmetic(node);
  }

  // What a value is known to mean; every tensor at least shows itself.
  std::optional<Meaning> known(ValueId value) {
    if (value == kNoValue) return std::nullopt;
    const auto found = s_.meanings_.find(value);
    if (found != s_.meanings_.end()) return found->second;
    Meaning meaning;
    const std::optional<View> view = view_of(graph_, value);
    if (!view) return std::nullopt;
    meaning.layout = *view;
    return meaning;
  }

  std::optional<std::vector<Number>> numbers(ValueId value) {
    if (value == kNoValue) return std::nullopt;
    const auto found = s_.meanings_.find(value);
    if (found != s_.meanings_.end() && found->second.kind == Kind::kNumbers) return found->second.numbers;
    value = scalar(value);
    const ValueType& type = type_of(graph_, value);
    if (type.element == ElementType::kFloat32) return whole_numbers(value);
    if (!is_int(type.element)) return std::nullopt;
    const std::optional<Shape> shape = type.static_shape();
    if (!shape || shape->rank() > 1 || shape->element_count() > static_cast<std::int64_t>(kMaxNumbers)) {
      return std::nullopt;
    }
    std::vector<Number> result;
    if (const auto constants = constant_ints(graph_, value)) {
      for (const std::int64_t constant : *constants) result.push_back(constant_number(constant));
    } else if (shape->element_count() == 1) {
      Number number;
      number.kind = Number::Kind::kValue;
      number.value = value;
      result.push_back(number);
    } else {
      result.resize(static_cast<std::size_t>(shape->element_count()));
    }
    return result;
  }

  // A float32 constant of one element that is a small whole number.
  std::optional<std::vector<Number>> whole_numbers(ValueId value) {
    const std::optional<double> constant = constant_scalar(graph_, value);
    if (!constant || !(*constant >= 0 && *constant <= kMaxExact)) return std::nullopt;
    const auto whole = static_cast<std::int64_t>(*constant);
    if (static_cast<double>(whole) != *constant) return std::nullopt;
    return std::vector<Number>{constant_number(whole)};
  }

  // The value of one element that `value` shows under other axes; otherwise `value`.
  ValueId scalar(ValueId value) {
    const auto found = s_.meanings_.find(value);
    if (found == s_.meanings_.end() || found->second.kind != Kind::kData || found->second.rows != nullptr) return value;
    const ValueId base = found->second.layout.base;
    const std::optional<Shape> shape = type_of(graph_, base).static_shape();
    return shape && shape->element_count() == 1 ? base : value;
  }

  std::optional<Number> number(ValueId value) {
    const auto all = numbers(value);
    if (!all || all->size() != 1) return std::nullopt;
    return (*all)[0];
  }

  static Meaning of_numbers(std::vector<Number> numbers, bool scalar = false) {
    Meaning meaning;
    meaning.kind = Kind::kNumbers;
    if (!scalar) meaning.layout = *layout_of({static_cast<std::int64_t>(numbers.size())});
    meaning.numbers = std::move(numbers);
    return meaning;
  }

  // The elements stay, under other axes.
  static std::optional<Meaning> with_layout(Meaning meaning, std::optional<View> layout) {
    if (!layout) return std::nullopt;
    if (meaning.kind == Kind::kNumbers && layout->rank() > 1) return std::nullopt;
    meaning.layout = std::move(*layout);
    return normal(std::move(meaning));
  }

  // One column of NonMaxSuppression's triples is a list of numbers.
  static std::optional<Meaning> normal(Meaning meaning) {
    if (meaning.kind != Kind::kTriples || squeezed(meaning.layout).rank() > 1) return meaning;
    const std::int64_t column = meaning.layout.offset;
    std::optional<View> layout = layout_of(meaning.layout.dims);
    if (!layout) return std::nullopt;
    meaning.layout = std::move(*layout);
    if (column == 2) {
      meaning.kind = Kind::kIndex;
      meaning.among = meaning.rows->parent;
    } else {
      meaning.kind = Kind::kFill;
      meaning.fill = Tensor::scalar<std::int64_t>(0);
    }
    return meaning;
  }

  std::optional<Meaning> cast(const Node& node) {
    std::optional<Meaning> meaning = known(input(node, 0));
    if (!meaning) return std::nullopt;
    const auto to = static_cast<ElementType>(node.attributes.get_int("to", 0));
    const ElementType from = type_of(graph_, input(node, 0)).element;
    if (meaning->kind == Kind::kFill) return fill_arithmetic(node);
    if (meaning->kind == Kind::kMask) {
      // Only whether it is zero counts.
      return to == ElementType::kBool || to == ElementType::kFloat32 || is_int(to) ? meaning : std::nullopt;
    }
    if (from == to && from != ElementType::kUndefined) return meaning;
    if (meaning->kind == Kind::kNumbers && (to == ElementType::kFloat32 || from == ElementType::kFloat32)) {
      return float_cast(*meaning, to);
    }
    if (meaning->kind == Kind::kNumbers || (is_int(from) && is_int(to) && meaning->kind == Kind::kData)) {
      const auto elements = numbers(input(node, 0));
      if (!elements || !is_int(to)) return std::nullopt;
      // A length fits either type; another number may not.
      if (to == ElementType::kInt32 && std::ranges::any_of(*elements, [](const Number& number) {
            return number.kind == Number::Kind::kValue || number.kind == Number::Kind::kUnknown ||
                   (number.kind == Number::Kind::kConstant && number.constant > kForever);
          })) {
        return std::nullopt;
      }
      return of_numbers(*elements, meaning->layout.rank() == 0);
    }
    if (meaning->kind != Kind::kIndex || !is_int(to)) return std::nullopt;
    return meaning;
  }

  // Some exporters take the smaller of two integers as float32.
  static std::optional<Meaning> float_cast(Meaning meaning, ElementType to) {
    if (to != ElementType::kFloat32 && !is_int(to)) return std::nullopt;
    for (Number& number : meaning.numbers) {
      const bool small = (number.kind == Number::Kind::kConstant || number.kind == Number::Kind::kCapped) &&
                         number.value == kNoValue && number.constant >= 0 && number.constant <= kMaxExact;
      if (small) continue;
      if (number.kind != Number::Kind::kLength || to != ElementType::kFloat32) return std::nullopt;
      number.rounded = true;
    }
    return meaning;
  }

  std::optional<Meaning> squeeze(const Node& node) {
    std::optional<Meaning> meaning = known(input(node, 0));
    if (!meaning) return std::nullopt;
    const int rank = meaning->layout.rank();
    View layout = meaning->layout;
    std::vector<bool> gone(at(rank), false);
    if (has_input(node, 1)) {
      const auto axes = constant_ints(graph_, node.inputs[1]);
      if (!axes) return std::nullopt;
      for (const std::int64_t wanted : *axes) {
        const std::optional<int> axis = axis_of(wanted, rank);
        if (!axis || layout.dims[at(*axis)] != 1) return std::nullopt;
        gone[at(*axis)] = true;
      }
    } else {
      // An open axis might turn out to be of size 1.
      if (layout.open_axis() >= 0) return std::nullopt;
      for (int axis = 0; axis < rank; ++axis) gone[at(axis)] = layout.dims[at(axis)] == 1;
    }
    for (int axis = rank; axis-- > 0;) {
      if (gone[at(axis)]) layout = without_axis(std::move(layout), axis);
    }
    return with_layout(std::move(*meaning), std::move(layout));
  }

  std::optional<Meaning> unsqueeze(const Node& node) {
    std::optional<Meaning> meaning = known(input(node, 0));
    auto axes = constant_ints(graph_, input(node, 1));
    if (!meaning || !axes) return std::nullopt;
    const int rank = meaning->layout.rank() + static_cast<int>(axes->size());
    for (std::int64_t& wanted : *axes) {
      const std::optional<int> axis = axis_of(wanted, rank);
      if (!axis) return std::nullopt;
      wanted = *axis;
    }
    std::ranges::sort(*axes);
    View layout = meaning->layout;
    for (const std::int64_t axis : *axes) {
      if (axis > layout.rank()) return std::nullopt;
      layout = with_axis(std::move(layout), static_cast<int>(axis));
    }
    return with_layout(std::move(*meaning), std::move(layout));
  }

  std::optional<Meaning> reshape(const Node& node) {
    std::optional<Meaning> meaning = known(input(node, 0));
    const auto target = numbers(input(node, 1));
    if (!meaning || !target) return std::nullopt;
    const View& layout = meaning->layout;
    const bool zero_copies = node.attributes.get_int("allowzero", 0) == 0;
    std::vector<std::int64_t> dims;
    std::optional<std::size_t> rest;
    for (std::size_t i = 0; i < target->size(); ++i) {
      const Number& wanted = (*target)[i];
      if (wanted.kind == Number::Kind::kLength && same_rows(graph_, wanted.rows, meaning->rows)) {
        dims.push_back(View::kOpen);
      } else if (wanted.kind != Number::Kind::kConstant) {
        return std::nullopt;
      } else if (wanted.constant == 0 && zero_copies) {
        if (i >= layout.dims.size()) return std::nullopt;
        dims.push_back(layout.dims[i]);
      } else if (wanted.constant == -1) {
        rest = i;
        dims.push_back(1);
      } else {
        dims.push_back(wanted.constant);
      }
    }
    if (rest) {
      const bool open = std::ranges::find(dims, View::kOpen) != dims.end();
      std::int64_t count = 1;
      std::int64_t given = 1;
      for (const std::int64_t dim : layout.dims) {
        if (dim != View::kOpen && __builtin_mul_overflow(count, dim, &count)) return std::nullopt;
      }
      for (const std::int64_t dim : dims) {
        if (dim != View::kOpen && __builtin_mul_overflow(given, dim, &given)) return std::nullopt;
      }
      if (given <= 0 || count % given != 0) return std::nullopt;
      if (layout.open_axis() >= 0 && !open) {
        if (count != given) return std::nullopt;
        dims[*rest] = View::kOpen;
      } else {
        dims[*rest] = count / given;
      }
    }
    return with_layout(*meaning, reshaped(layout, dims));
  }

  std::optional<Meaning> flatten(const Node& node) {
    std::optional<Meaning> meaning = known(input(node, 0));
    if (!meaning) return std::nullopt;
    const int rank = meaning->layout.rank();
    const std::int64_t wanted = node.attributes.get_int("axis", 1);
    const std::int64_t axis = wanted < 0 ? wanted + rank : wanted;
    if (axis < 0 || axis > rank) return std::nullopt;
    const auto joined = [&](std::int64_t first, std::int64_t last) {
      std::int64_t result = 1;
      for (std::int64_t i = first; i < last; ++i) {
        const std::int64_t dim = meaning->layout.dims[static_cast<std::size_t>(i)];
        if (dim == View::kOpen ? result != 1 : result == View::kOpen ? dim != 1 : false) return std::int64_t{-2};
        if (dim == View::kOpen || result == View::kOpen)
          result = View::kOpen;
        else
          result *= dim;
      }
      return result;
    };
    const std::int64_t dims[] = {joined(0, axis), joined(axis, rank)};
    if (dims[0] < View::kOpen || dims[1] < View::kOpen) return std::nullopt;
    return with_layout(*meaning, reshaped(meaning->layout, dims));
  }

  std::optional<Meaning> transpose(const Node& node) {
    std::optional<Meaning> meaning = known(input(node, 0));
    if (!meaning || meaning->kind == Kind::kNumbers) return std::nullopt;
    std::vector<std::int64_t> perm = node.attributes.get_ints("perm");
    if (perm.empty()) {
      for (int axis = meaning->layout.rank(); axis-- > 0;) perm.push_back(axis);
    }
    return with_layout(*meaning, transposed(meaning->layout, perm));
  }

  // The first `end` rows of a ranking.
  std::optional<Meaning> cut(Meaning meaning, std::int64_t end) {
    if (end >= kForever) return meaning;
    if (meaning.rows == nullptr || meaning.rows->kind == Rows::Kind::kAbove || end < 0) return std::nullopt;
    const std::optional<Number> limit = smaller(meaning.rows->limit, constant_number(end));
    if (!limit) return std::nullopt;
    if (!same_number(*limit, meaning.rows->limit)) {
      Rows rows = *meaning.rows;
      rows.limit = *limit;
      meaning.rows = std::make_shared<const Rows>(std::move(rows));
    }
    return meaning;
  }

  // Elements start, start + step, ... of one axis.
  std::optional<Meaning> pick(Meaning meaning, int axis, std::int64_t start, std::int64_t step, std::int64_t count) {
    if (meaning.kind == Kind::kNumbers) {
      std::vector<Number> picked;
      for (std::int64_t i = 0; i < count; ++i) {
        picked.push_back(meaning.numbers[static_cast<std::size_t>(start + i * step)]);
      }
      return of_numbers(std::move(picked));
    }
    return with_layout(meaning, sliced(meaning.layout, axis, start, step, count));
  }

  std::optional<Meaning> slice(const Node& node) {
    std::optional<Meaning> meaning = known(input(node, 0));
    const auto starts = constant_ints(graph_, input(node, 1));
    const auto ends = constant_ints(graph_, input(node, 2));
    if (!meaning || !starts || !ends || starts->size() != ends->size()) return std::nullopt;
    std::vector<std::int64_t> axes;
    for (std::size_t i = 0; i < starts->size(); ++i) axes.push_back(static_cast<std::int64_t>(i));
    std::vector<std::int64_t> steps(starts->size(), 1);
    if (has_input(node, 3)) {
      const auto given = constant_ints(graph_, node.inputs[3]);
      if (!given || given->size() != starts->size()) return std::nullopt;
      axes = *given;
    }
    if (has_input(node, 4)) {
      const auto given = constant_ints(graph_, node.inputs[4]);
      if (!given || given->size() != starts->size()) return std::nullopt;
      steps = *given;
    }
    for (std::size_t i = 0; i < starts->size(); ++i) {
      const std::optional<int> axis = axis_of(axes[i], meaning->layout.rank());
      if (!axis || steps[i] <= 0) return std::nullopt;
      const std::int64_t size = meaning->layout.dims[at(*axis)];
      if (size == View::kOpen) {
        if ((*starts)[i] != 0 || steps[i] != 1) return std::nullopt;
        meaning = cut(std::move(*meaning), (*ends)[i]);
      } else {
        const auto bound = [&](std::int64_t to) { return std::clamp<std::int64_t>(to < 0 ? to + size : to, 0, size); };
        const std::int64_t start = bound((*starts)[i]);
        const std::int64_t end = bound((*ends)[i]);
        if (end <= start) return std::nullopt;
        meaning = pick(std::move(*meaning), *axis, start, steps[i], (end - start - 1) / steps[i] + 1);
      }
      if (!meaning) return std::nullopt;
    }
    return meaning;
  }

  void split(const Node& node) {
    const std::optional<Meaning> meaning = known(input(node, 0));
    if (!meaning) return;
    const std::optional<int> axis = axis_of(node.attributes.get_int("axis", 0), meaning->layout.rank());
    if (!axis || meaning->layout.dims[at(*axis)] == View::kOpen) return;
    const std::int64_t size = meaning->layout.dims[at(*axis)];
    const auto parts = static_cast<std::int64_t>(node.outputs.size());
    std::vector<std::int64_t> sizes;
    if (has_input(node, 1)) {
      const auto given = constant_ints(graph_, node.inputs[1]);
      if (!given || given->size() != node.outputs.size()) return;
      sizes = *given;
    } else {
      if (size % parts != 0) return;
      sizes.assign(node.outputs.size(), size / parts);
    }
    std::int64_t start = 0;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      if (sizes[i] < 0 || start + sizes[i] > size) return;
      if (sizes[i] > 0) store(node.outputs[i], pick(*meaning, *axis, start, 1, sizes[i]));
      start += sizes[i];
    }
  }

  std::optional<Meaning> gather(const Node& node) {
    std::optional<Meaning> data = known(input(node, 0));
    if (!data) return std::nullopt;
    const std::optional<int> axis = axis_of(node.attributes.get_int("axis", 0), data->layout.rank());
    if (!axis) return std::nullopt;
    const Tensor* constant = constant_of(graph_, input(node, 1));
    if (constant == nullptr) return gather_rows(*data, *axis, input(node, 1));
    const auto indices = constant_ints(graph_, input(node, 1));
    const std::int64_t size = data->layout.dims[at(*axis)];
    if (!indices || indices->size() != 1 || constant->rank() > 1 || size == View::kOpen) return std::nullopt;
    const std::int64_t index = (*indices)[0] < 0 ? (*indices)[0] + size : (*indices)[0];
    if (index < 0 || index >= size) return std::nullopt;
    if (data->kind == Kind::kNumbers) {
      return of_numbers({data->numbers[static_cast<std::size_t>(index)]}, constant->rank() == 0);
    }
    std::optional<View> layout = sliced(data->layout, *axis, index, 1, 1);
    if (layout && constant->rank() == 0) layout = without_axis(std::move(*layout), *axis);
    return with_layout(std::move(*data), std::move(layout));
  }

  // The rows that `indices` name; null when it names none.
  std::optional<Meaning> index_list(ValueId indices) {
    std::optional<Meaning> index = known(indices);
    if (!index || index->kind != Kind::kIndex) return std::nullopt;
    return index;
  }

  std::optional<Meaning> gather_rows(const Meaning& data, int axis, ValueId indices) {
    const std::optional<Meaning> index = index_list(indices);
    if (!index || data.kind == Kind::kNumbers || data.kind == Kind::kTriples || data.kind == Kind::kMask) {
      return std::nullopt;
    }
    return picked(data, axis, *index);
  }

  // `data` at the rows that `index` names, which take the place of one axis.
  std::optional<Meaning> picked(const Meaning& data, int axis, const Meaning& index) {
    Meaning result = data;
    if (data.rows != nullptr) {
      if (data.layout.dims[at(axis)] != View::kOpen || !same_rows(graph_, data.rows, index.among)) return std::nullopt;
    } else {
      const int open = data.layout.open_axis();
      if (index.among != nullptr || (open >= 0 && open != axis) || !same_size(data.layout, axis, *index.rows)) {
        return std::nullopt;
      }
      const auto& dims = data.layout.dims;
      if (std::any_of(dims.begin(), dims.begin() + axis, [](std::int64_t dim) { return dim != 1; })) {
        result.layout.whole = kNoValue;
      }
    }
    result.rows = index.rows;
    View& layout = result.layout;
    const std::int64_t stride = layout.strides[at(axis)];
    layout = without_axis(std::move(layout), axis);
    for (int i = 0; i < index.layout.rank(); ++i) {
      layout = with_axis(std::move(layout), axis + i);
      if (index.layout.dims[at(i)] == View::kOpen) {
        layout.dims[at(axis + i)] = View::kOpen;
        layout.strides[at(axis + i)] = stride;
      }
    }
    return result;
  }

  // Whether an axis has as many elements as there are rows to pick from.
  bool same_size(const View& view, int axis, const Rows& rows) {
    const std::int64_t size = view.dims[at(axis)];
    if (size != View::kOpen || rows.all_count != View::kOpen) return size == rows.all_count;
    return !rows.all_symbol.empty() && rows.all_symbol == open_symbol(view);
  }

  // Rows to be picked from `parent` by the scores along `axis` of `scores`, whose other axes are of size 1.
  Rows rows_from(RowsRef parent, const View& scores, int axis, NodeId node) {
    Rows rows;
    rows.node = node;
    rows.all_count = parent != nullptr ? parent->all_count : scores.dims[at(axis)];
    rows.all_symbol = parent != nullptr ? parent->all_symbol : open_symbol(scores);
    rows.parent = std::move(parent);
    rows.scores.base = scores.base;
    rows.scores.offset = scores.offset;
    rows.scores.dims = {View::kOpen};
    rows.scores.strides = {scores.strides[at(axis)]};
    return rows;
  }

  // The name of the unknown dimension that the open axis comes from.
  std::string open_symbol(const View& view) {
    if (view.base == kNoValue) return {};
    for (const tensor::Dim& dim : type_of(graph_, view.base).dims) {
      if (!dim.known()) return dim.symbol;
    }
    return {};
  }

  std::optional<Meaning> gather_nd(const Node& node) {
    const std::optional<Meaning> data = known(input(node, 0));
    std::optional<Meaning> index = index_list(input(node, 1));
    if (!data || !index || data->kind != Kind::kData || node.attributes.get_int("batch_dims", 0) != 0) {
      return std::nullopt;
    }
    const int rank = index->layout.rank();
    if (rank != 2 || index->layout.dims[1] != 1 || data->layout.rank() == 0) return std::nullopt;
    index->layout = without_axis(std::move(index->layout), 1);
    return picked(*data, 0, *index);
  }

  std::optional<Meaning> above(ValueId scores, ValueId threshold) {
    std::optional<Meaning> meaning = known(scores);
    if (!meaning || meaning->kind != Kind::kData || threshold == kNoValue) return std::nullopt;
    const std::optional<Shape> shape = type_of(graph_, threshold).static_shape();
    if (!shape || shape->element_count() != 1 || shape->rank() > meaning->layout.rank()) return std::nullopt;
    meaning->kind = Kind::kMask;
    meaning->threshold = scalar(threshold);
    return meaning;
  }

  // The rows where a mask of one axis is true.
  RowsRef rows_of(const Meaning& mask, NodeId node) {
    if (mask.kind != Kind::kMask || mask.layout.rank() != 1) return nullptr;
    Rows rows = rows_from(mask.rows, mask.layout, 0, node);
    rows.kind = Rows::Kind::kAbove;
    rows.threshold = mask.threshold;
    return std::make_shared<const Rows>(std::move(rows));
  }

  std::optional<Meaning> non_zero(NodeId id, const Node& node) {
    const std::optional<Meaning> mask = known(input(node, 0));
    if (!mask) return std::nullopt;
    Meaning meaning;
    meaning.kind = Kind::kIndex;
    meaning.rows = rows_of(*mask, id);
    if (meaning.rows == nullptr) return std::nullopt;
    meaning.among = mask->rows;
    meaning.layout = *layout_of({1, View::kOpen});
    return meaning;
  }

  std::optional<Meaning> compress(NodeId id, const Node& node) {
    const std::optional<Meaning> data = known(input(node, 0));
    const std::optional<Meaning> mask = known(input(node, 1));
    const tensor::Attribute* wanted = node.attributes.find("axis");
    if (!data || !mask || wanted == nullptr || data->kind != Kind::kData) return std::nullopt;
    const std::optional<int> axis = axis_of(node.attributes.get_int("axis", 0), data->layout.rank());
    Meaning index;
    index.kind = Kind::kIndex;
    index.rows = rows_of(*mask, id);
    if (!axis || index.rows == nullptr) return std::nullopt;
    index.among = mask->rows;
    index.layout = *layout_of({View::kOpen});
    return picked(*data, *axis, index);
  }

  // The limit as NonMaxSuppression takes it, which picks from `among` and so needs no cap at how many these are.
  std::optional<Number> limit(ValueId value, const RowsRef& among) {
    if (const std::optional<Number> cap = cap_of(value, among)) return cap;
    const std::optional<Number> number = this->number(value);
    if (!number || (number->kind != Number::Kind::kConstant && number->kind != Number::Kind::kValue)) {
      return std::nullopt;
    }
    return number;
  }

  // `limit` where the value is min(limit, how many rows `among` has); nothing otherwise.
  std::optional<Number> cap_of(ValueId value, const RowsRef& among) {
    std::optional<Number> number = this->number(value);
    if (!number || number->rows == nullptr || number->rounded || !same_rows(graph_, number->rows, among))
      return std::nullopt;
    if (number->kind == Number::Kind::kLength) return constant_number(std::numeric_limits<std::int64_t>::max());
    number->kind = number->value == kNoValue ? Number::Kind::kConstant : Number::Kind::kValue;
    number->rows = nullptr;
    return number;
  }

  void top(NodeId id) {
    const Node& node = graph_.node(id);
    const std::optional<Meaning> scores = known(input(node, 0));
    if (!scores || scores->kind != Kind::kData || node.attributes.get_int("largest", 1) != 1 ||
        node.attributes.get_int("sorted", 1) != 1) {
      return;
    }
    const std::optional<int> axis = axis_of(node.attributes.get_int("axis", -1), scores->layout.rank());
    if (!axis || squeezed(scores->layout).rank() != 1 || scores->layout.dims[at(*axis)] == 1) return;
    // TopK fails when there are fewer than it is asked for, so it must be known that there are not.
    const std::int64_t count = scores->layout.dims[at(*axis)];
    const std::optional<Number> wanted =
        scores->rows != nullptr ? cap_of(input(node, 1), scores->rows) : number(input(node, 1));
    if (!wanted || (wanted->kind == Number::Kind::kConstant && wanted->constant < 0)) return;
    if (scores->rows == nullptr && (wanted->kind != Number::Kind::kConstant || wanted->constant > count)) return;
    Rows rows = rows_from(scores->rows, scores->layout, *axis, id);
    rows.kind = Rows::Kind::kTop;
    rows.limit = *wanted;
    Meaning index;
    index.kind = Kind::kIndex;
    index.rows = std::make_shared<const Rows>(std::move(rows));
    index.among = scores->rows;
    index.layout = *layout_of({View::kOpen});
    store(node.outputs[0], picked(*scores, *axis, index));
    if (node.outputs.size() < 2) return;
    std::vector<std::int64_t> dims(at(scores->layout.rank()), 1);
    dims[at(*axis)] = View::kOpen;
    index.layout = *layout_of(std::move(dims));
    store(node.outputs[1], std::move(index));
  }

  // A float32 constant or value of one element, or absent.
  bool is_scalar(ValueId value) {
    if (value == kNoValue) return true;
    const std::optional<Shape> shape = type_of(graph_, value).static_shape();
    return shape && shape->element_count() == 1;
  }

  std::optional<Meaning> suppress(NodeId id, const Node& node) {
    const std::optional<Meaning> boxes = known(input(node, 0));
    const std::optional<Meaning> scores = known(input(node, 1));
    if (!boxes || !scores || boxes->kind != Kind::kData || scores->kind != Kind::kData ||
        !same_rows(graph_, boxes->rows, scores->rows)) {
      return std::nullopt;
    }
    const View& box = boxes->layout;
    const View& score = scores->layout;
    if (box.rank() != 3 || score.rank() != 3 || box.dims[0] != 1 || box.dims[2] != 4 || score.dims[0] != 1 ||
        score.dims[1] != 1 || !is_scalar(input(node, 3)) || !is_scalar(input(node, 4))) {
      return std::nullopt;
    }
    Rows rows = rows_from(scores->rows, score, 2, id);
    if (scores->rows == nullptr && !same_size(box, 1, rows)) return std::nullopt;
    rows.kind = Rows::Kind::kKept;
    rows.boxes = without_axis(box, 0);
    rows.boxes.dims[0] = View::kOpen;
    if (has_input(node, 2)) {
      const std::optional<Number> most = limit(node.inputs[2], scores->rows);
      if (!most) return std::nullopt;
      rows.limit = *most;
    } else {
      rows.limit = constant_number(0);
    }
    rows.iou_threshold = scalar(input(node, 3));
    rows.score_threshold = scalar(input(node, 4));
    rows.centered = node.attributes.get_int("center_point_box", 0) != 0;
    Meaning meaning;
    meaning.kind = Kind::kTriples;
    meaning.rows = std::make_shared<const Rows>(std::move(rows));
    meaning.layout = *layout_of({View::kOpen, 3});
    return meaning;
  }

  std::optional<Meaning> shape(const Node& node) {
    const std::optional<Meaning> meaning = known(input(node, 0));
    if (!meaning || meaning->kind == Kind::kNumbers) return std::nullopt;
    const View& layout = meaning->layout;
    const auto bound = [&](std::int64_t axis) {
      return static_cast<int>(std::clamp<std::int64_t>(axis < 0 ? axis + layout.rank() : axis, 0, layout.rank()));
    };
    std::vector<Number> result;
    const int end = bound(node.attributes.get_int("end", layout.rank()));
    for (int axis = bound(node.attributes.get_int("start", 0)); axis < end; ++axis) {
      const std::int64_t size = layout.dims[at(axis)];
      Number number = constant_number(size);
      if (size == View::kOpen) {
        number.kind = meaning->rows == nullptr ? Number::Kind::kUnknown : Number::Kind::kLength;
        number.constant = 0;
        number.rows = meaning->rows;
      }
      result.push_back(std::move(number));
    }
    return of_numbers(std::move(result));
  }

  std::optional<Meaning> concat(const Node& node) {
    std::vector<Number> result;
    for (const ValueId part : node.inputs) {
      if (type_of(graph_, part).is_tensor() && !is_int(type_of(graph_, part).element)) return std::nullopt;
      const auto more = numbers(part);
      if (!more || rank_of(graph_, part) != 1) return std::nullopt;
      result.insert(result.end(), more->begin(), more->end());
      if (result.size() > kMaxNumbers) return std::nullopt;
    }
    return of_numbers(std::move(result));
  }

  // The smaller of a limit and a length.
  static std::optional<Number> capped(const Number& a, const Number& b) {
    using enum Number::Kind;
    if (a.kind == kLength && (b.kind == kConstant || b.kind == kValue)) return capped(b, a);
    if (b.kind != kLength || (a.kind != kConstant && a.kind != kValue)) return smaller(a, b);
    if (b.rounded && (a.kind != kConstant || a.constant > kMaxExact)) return std::nullopt;
    Number result = a;
    result.kind = kCapped;
    result.rows = b.rows;
    return result;
  }

  std::optional<Meaning> min(const Node& node) {
    if (node.inputs.size() != 2) return std::nullopt;
    const auto a = number(node.inputs[0]);
    const auto b = number(node.inputs[1]);
    const int rank = std::max(rank_of(graph_, node.inputs[0]), rank_of(graph_, node.inputs[1]));
    if (!a || !b) return std::nullopt;
    const std::optional<Number> result = capped(*a, *b);
    if (!result) return std::nullopt;
    return of_numbers({*result}, rank == 0);
  }

  std::optional<Meaning> reduce_min(const Node& node) {
    const auto all = numbers(input(node, 0));
    if (!all || all->size() != 2) return std::nullopt;
    if (has_input(node, 1)) {
      const auto axes = constant_ints(graph_, node.inputs[1]);
      if (!axes || axes->size() != 1) return std::nullopt;
    }
    const std::optional<Number> result = capped((*all)[0], (*all)[1]);
    if (!result) return std::nullopt;
    return of_numbers({*result}, node.attributes.get_int("keepdims", 1) == 0);
  }

  // One element for each of some rows.
  std::optional<Meaning> fill_over(const std::vector<Number>& dims, Tensor element) {
    Meaning meaning;
    meaning.kind = Kind::kFill;
    std::vector<std::int64_t> layout;
    for (const Number& dim : dims) {
      if (dim.kind == Number::Kind::kLength && meaning.rows == nullptr) {
        meaning.rows = dim.rows;
        layout.push_back(View::kOpen);
      } else if (dim.is(1)) {
        layout.push_back(1);
      } else {
        return std::nullopt;
      }
    }
    if (meaning.rows == nullptr) return std::nullopt;
    meaning.layout = *layout_of(std::move(layout));
    meaning.fill = std::move(element);
    return meaning;
  }

  std::optional<Meaning> fill_shape(const Node& node) {
    const auto dims = numbers(input(node, 0));
    if (!dims) return std::nullopt;
    Tensor element = Tensor::scalar<float>(0);
    if (const tensor::Attribute* value = node.attributes.find("value")) {
      const Tensor* given = std::get_if<Tensor>(value);
      if (given == nullptr || given->element_count() != 1) return std::nullopt;
      element = given->reshaped({});
    }
    return fill_over(*dims, std::move(element));
  }

  std::optional<Meaning> expand(const Node& node) {
    const Tensor* element = constant_of(graph_, input(node, 0));
    const auto dims = numbers(input(node, 1));
    if (element == nullptr || element->element_count() != 1 || !dims ||
        element->rank() > static_cast<int>(dims->size())) {
      return std::nullopt;
    }
    return fill_over(*dims, element->reshaped({}));
  }

  // An elementwise operator on equal elements makes equal elements.
  std::optional<Meaning> fill_arithmetic(const Node& node) {
    static constexpr std::string_view kElementwise[] = {"Add", "Cast", "Div", "Max", "Min", "Mul", "Neg", "Sub"};
    if (std::ranges::find(kElementwise, node.op) == std::end(kElementwise)) return std::nullopt;
    std::optional<Meaning> result;
    std::vector<Value> elements;
    int rank = 0;
    for (const ValueId value : node.inputs) {
      const auto found = value == kNoValue ? s_.meanings_.end() : s_.meanings_.find(value);
      if (found != s_.meanings_.end() && found->second.kind == Kind::kFill) {
        const Meaning& fill = found->second;
        if (result && (!same_rows(graph_, result->rows, fill.rows) || result->layout.dims != fill.layout.dims)) {
          return std::nullopt;
        }
        result = fill;
        elements.emplace_back(fill.fill);
        continue;
      }
      const Tensor* constant = constant_of(graph_, value);
      if (constant == nullptr || constant->element_count() != 1) return std::nullopt;
      rank = std::max(rank, constant->rank());
      elements.emplace_back(constant->reshaped({}));
    }
    if (!result || rank > result->layout.rank()) return std::nullopt;
    std::vector<const Value*> inputs;
    for (const Value& element : elements) inputs.push_back(&element);
    try {
      result->fill = run_node(node, inputs, sizeof(double)).at(0).tensor();
    } catch (const Error&) {
      return std::nullopt;  // it fails when it runs, or never does
    }
    return result;
  }

  Selections& s_;
  const Graph& graph_;
};

Selections::Selections(const Graph& graph) : graph_(graph) {
  Reader reader(*this);
  for (const NodeId id : graph.topological_order()) reader.read(id);
}

const Meaning* Selections::of(ValueId value) const {
  const auto found = meanings_.find(value);
  return found == meanings_.end() ? nullptr : &found->second;
}

}  // namespace lanner::passes
