// Operators that pick rows, by score, rank or overlap, and those that read values at them.
#include <algorithm>

#include "passes/selection_reader.h"

namespace lanner::passes {

std::optional<Meaning> Reader::gather(const Node& node) {
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

std::optional<Meaning> Reader::index_list(ValueId indices) {
  std::optional<Meaning> index = known(indices);
  if (!index || index->kind != Kind::kIndex) return std::nullopt;
  return index;
}

std::optional<Meaning> Reader::gather_padded(const Meaning& data, int axis, const Meaning& index) {
  const std::int64_t number = index.fill.element_type() == ElementType::kInt64 ? *index.fill.data<std::int64_t>()
                                                                               : *index.fill.data<std::int32_t>();
  if (data.kind != Kind::kData || data.rows != nullptr || axis != 0 || index.among != nullptr || number < 0 ||
      number >= index.rows->all_count) {
    return std::nullopt;
  }
  Meaning list = index;
  list.kind = Kind::kIndex;
  list.layout = *layout_of({View::kOpen});
  std::optional<Meaning> result = picked(data, 0, list);
  if (!result) return std::nullopt;
  result->layout.dims[0] = index.padded_count;
  result->kind = Kind::kPadded;
  result->inner = Kind::kData;
  result->fill = Tensor::scalar<std::int64_t>(number);
  result->filled_by_number = true;
  result->padded_count = index.padded_count;
  return result;
}

std::optional<Meaning> Reader::gather_rows(const Meaning& data, int axis, ValueId indices) {
  if (const Meaning* padded = s_.of(indices); padded != nullptr && padded->kind == Kind::kPadded) {
    return padded->inner == Kind::kIndex ? gather_padded(data, axis, *padded) : std::nullopt;
  }
  const std::optional<Meaning> index = index_list(indices);
  const bool listed = data.kind == Kind::kData || data.kind == Kind::kIndex || data.kind == Kind::kFill;
  if (!index || !listed) return std::nullopt;
  return picked(data, axis, *index);
}

std::optional<Meaning> Reader::picked(const Meaning& data, int axis, const Meaning& index) {
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

bool Reader::same_size(const View& view, int axis, const Rows& rows) {
  const std::int64_t size = view.dims[at(axis)];
  if (size != View::kOpen || rows.all_count != View::kOpen) return size == rows.all_count;
  // A value has no more than one open axis.
  return rows.scores.base == view.base || (!rows.all_symbol.empty() && rows.all_symbol == open_symbol(view));
}

Rows Reader::rows_from(RowsRef parent, const View& scores, int axis, NodeId node) {
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

std::string Reader::open_symbol(const View& view) {
  if (view.base == kNoValue) return {};
  for (const tensor::Dim& dim : type_of(graph_, view.base).dims) {
    if (!dim.known()) return dim.symbol;
  }
  return {};
}

std::optional<Meaning> Reader::gather_nd(const Node& node) {
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

std::optional<Meaning> Reader::above(ValueId scores, ValueId threshold) {
  std::optional<Meaning> meaning = known(scores);
  if (!meaning || meaning->kind != Kind::kData || threshold == kNoValue) return std::nullopt;
  const std::optional<Shape> shape = type_of(graph_, threshold).static_shape();
  if (!shape || shape->element_count() != 1 || shape->rank() > meaning->layout.rank()) return std::nullopt;
  meaning->kind = Kind::kMask;
  meaning->threshold = scalar(threshold);
  return meaning;
}

RowsRef Reader::rows_of(const Meaning& mask, NodeId node) {
  if (mask.kind != Kind::kMask || mask.layout.rank() != 1) return nullptr;
  Rows rows = rows_from(mask.rows, mask.layout, 0, node);
  rows.kind = Rows::Kind::kAbove;
  rows.threshold = mask.threshold;
  return std::make_shared<const Rows>(std::move(rows));
}

std::optional<Meaning> Reader::non_zero(NodeId id, const Node& node) {
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

std::optional<Meaning> Reader::compress(NodeId id, const Node& node) {
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

std::optional<Number> Reader::limit(ValueId value, const RowsRef& among) {
  if (const std::optional<Number> cap = cap_of(value, among)) return cap;
  const std::optional<Number> number = this->number(value);
  if (!number || (number->kind != Number::Kind::kConstant && number->kind != Number::Kind::kValue)) {
    return std::nullopt;
  }
  return number;
}

std::optional<Number> Reader::cap_of(ValueId value, const RowsRef& among) {
  std::optional<Number> number = this->number(value);
  if (!number || number->rows == nullptr || number->rounded || !same_rows(graph_, number->rows, among))
    return std::nullopt;
  if (number->kind == Number::Kind::kLength) return constant_number(std::numeric_limits<std::int64_t>::max());
  number->kind = number->value == kNoValue ? Number::Kind::kConstant : Number::Kind::kValue;
  number->rows = nullptr;
  return number;
}

void Reader::top(NodeId id) {
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

bool Reader::is_scalar(ValueId value) {
  if (value == kNoValue) return true;
  const std::optional<Shape> shape = type_of(graph_, value).static_shape();
  return shape && shape->element_count() == 1;
}

std::optional<Meaning> Reader::suppress(NodeId id, const Node& node) {
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

}  // namespace lanner::passes
