#include "passes/column_reader.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "passes/match.h"

namespace lanner::passes {

namespace {

using kernels::ColumnOp;
using Dims = std::vector<std::int64_t>;

constexpr std::int64_t kOpen = -1;
// Of a value of which a few columns are read; the bound keeps the lists short.
constexpr std::int64_t kMaxSourceColumns = 1024;

std::size_t at(int axis) {
  return static_cast<std::size_t>(axis);
}

struct Operator {
  std::string_view name;
  ColumnOp op;
};
constexpr Operator kUnary[] = {{"Abs", ColumnOp::kAbs},         {"Exp", ColumnOp::kExp},
                               {"Neg", ColumnOp::kNeg},         {"Reciprocal", ColumnOp::kReciprocal},
                               {"Sigmoid", ColumnOp::kSigmoid}, {"Sqrt", ColumnOp::kSqrt}};
constexpr Operator kFolded[] = {{"Add", ColumnOp::kAdd}, {"Div", ColumnOp::kDiv}, {"Max", ColumnOp::kMax},
                                {"Min", ColumnOp::kMin}, {"Mul", ColumnOp::kMul}, {"Sub", ColumnOp::kSub},
                                {"Sum", ColumnOp::kAdd}};

const Operator* find(std::span<const Operator> table, const Node& node) {
  const auto found = std::ranges::find_if(table, [&](const Operator& row) { return is_op(node, row.name); });
  return found == table.end() ? nullptr : &*found;
}

// Product of the dimensions [begin, end), nothing where one is open or the product large.
std::optional<std::int64_t> product(const Dims& dims, int begin, int end) {
  std::int64_t result = 1;
  for (int i = begin; i < end; ++i) {
    if (dims[at(i)] < 0 || __builtin_mul_overflow(result, dims[at(i)], &result)) return std::nullopt;
  }
  return result;
}

// How many columns remain where [begin, end) are rows.
std::optional<std::int64_t> column_count(const Dims& dims, int begin, int end) {
  const auto outer = product(dims, 0, begin);
  const auto inner = product(dims, end, static_cast<int>(dims.size()));
  std::int64_t count = 0;
  if (!outer || !inner || __builtin_mul_overflow(*outer, *inner, &count)) return std::nullopt;
  return count;
}

struct RowAxes {
  int begin;
  int end;
};

// Which axes are rows, where nothing else tells: the open one or else the longest, and as many of its neighbours as it
// takes to leave few columns. Nothing where there are no more rows than columns could be, so that what is taken for
// rows does not depend on a few elements more or less.
std::optional<RowAxes> guess_rows(const Dims& dims) {
  if (dims.empty() || std::ranges::count(dims, kOpen) > 1) return std::nullopt;
  auto longest = std::ranges::find(dims, kOpen);
  if (longest == dims.end()) longest = std::ranges::max_element(dims);
  RowAxes rows{static_cast<int>(longest - dims.begin()), static_cast<int>(longest - dims.begin()) + 1};
  const auto rank = static_cast<int>(dims.size());
  while (true) {
    const auto columns = column_count(dims, rows.begin, rows.end);
    if (!columns) return std::nullopt;
    if (*columns <= kMaxFormColumns) break;
    const std::int64_t before = rows.begin > 0 ? dims[at(rows.begin - 1)] : 0;
    const std::int64_t after = rows.end < rank ? dims[at(rows.end)] : 0;
    if (before >= after) {
      --rows.begin;
    } else {
      ++rows.end;
    }
  }
  const auto count = product(dims, rows.begin, rows.end);
  if (count && *count <= kMaxFormColumns) return std::nullopt;
  return rows;
}

// Axes of `dims` that hold the rows when `outer` columns are before them and `inner` behind.
std::optional<RowAxes> find_rows(const Dims& dims, std::int64_t outer, std::int64_t inner) {
  RowAxes rows{0, static_cast<int>(dims.size())};
  std::int64_t count = 1;
  while (rows.begin < rows.end && (count < outer || dims[at(rows.begin)] == 1)) {
    if (dims[at(rows.begin)] < 1) return std::nullopt;
    count *= dims[at(rows.begin++)];
  }
  if (count != outer) return std::nullopt;
  count = 1;
  while (rows.end > rows.begin && (count < inner || dims[at(rows.end - 1)] == 1)) {
    if (dims[at(rows.end - 1)] < 1) return std::nullopt;
    count *= dims[at(--rows.end)];
  }
  if (count != inner || rows.begin == rows.end) return std::nullopt;
  return rows;
}

std::string layout_of(std::size_t rank, int begin, int end) {
  std::string layout(rank, 'c');
  std::fill(layout.begin() + begin, layout.begin() + end, 'r');
  return layout;
}

// Calls visit(index) for each multi-index of the axes of `dims` that are no rows, row-major; those of rows are 0.
template <typename Visit>
void for_each_column(const Dims& dims, int begin, int end, Visit visit) {
  Dims index(dims.size(), 0);
  while (true) {
    visit(index);
    int axis = static_cast<int>(dims.size()) - 1;
    for (; axis >= 0; --axis) {
      if (axis >= begin && axis < end) continue;
      if (++index[at(axis)] < dims[at(axis)]) break;
      index[at(axis)] = 0;
    }
    if (axis < 0) return;
  }
}

// The number of a column.
std::size_t number_of(const Dims& index, const Dims& dims, int begin, int end) {
  std::int64_t number = 0;
  for (int i = 0; i < static_cast<int>(dims.size()); ++i) {
    if (i < begin || i >= end) number = number * dims[at(i)] + index[at(i)];
  }
  return static_cast<std::size_t>(number);
}

std::optional<int> axis_of(std::int64_t axis, std::size_t rank) {
  const auto count = static_cast<std::int64_t>(rank);
  if (axis < -count || axis >= count) return std::nullopt;
  return static_cast<int>(axis < 0 ? axis + count : axis);
}

// 0, 1, ... for an axis that is left whole.
Dims all_of(std::int64_t size) {
  Dims indices(static_cast<std::size_t>(std::max<std::int64_t>(size, 0)));
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

// The same for every axis that columns may have.
std::vector<Dims> whole_axes(const Dims& dims) {
  std::vector<Dims> indices;
  for (const std::int64_t dim : dims) indices.push_back(all_of(dim <= kMaxSourceColumns ? dim : 0));
  return indices;
}

bool is_row(const ColumnForm& form, int axis) {
  return axis >= form.row_begin && axis < form.row_end;
}

NodeReading reading(NodeReading::Kind kind, ValueId output, ColumnForm form, bool rearranges = false) {
  const RowCount rows = form.rows;
  return {kind, rearranges, rows, {{output, std::move(form)}}};
}

// Whether the columns of `to`, which are those of `from`, lie otherwise in memory.
bool is_rearranged(const ColumnForm& from, const Dims& from_dims, const ColumnForm& to, const Dims& to_dims) {
  return from.columns != to.columns || product(from_dims, 0, from.row_begin) != product(to_dims, 0, to.row_begin);
}

}  // namespace

bool ColumnForm::computed() const {
  return std::ranges::any_of(columns, [](const Column& column) { return std::holds_alternative<StepColumn>(column); });
}

bool computes_columns(const Node& node) {
  return find(kUnary, node) != nullptr || find(kFolded, node) != nullptr || is_op(node, "Clip") ||
         is_op(node, "Relu") || is_op(node, "Pow");
}

std::optional<NodeReading> ColumnReader::read(const Node& node) {
  too_wide_ = 0;
  auto result = read_operator(node);
  if (!result) return std::nullopt;
  // What is read must be what the type says.
  std::erase_if(result->outputs, [&](const auto& output) {
    const auto dims = dims_of(output.first);
    const ColumnForm& form = output.second;
    return !dims || std::cmp_greater(form.row_end, dims->size()) ||
           column_count(*dims, form.row_begin, form.row_end) != static_cast<std::int64_t>(form.columns.size());
  });
  if (result->outputs.empty()) return std::nullopt;
  return result;
}

std::optional<NodeReading> ColumnReader::read_operator(const Node& node) {
  if (!node.domain.empty() || !node.graphs.empty() || node.inputs.empty() || node.inputs[0] == kNoValue) {
    return std::nullopt;
  }
  if (std::ranges::any_of(node.outputs, [&](ValueId output) {
        return output != kNoValue && graph_.value(output).type.element != ElementType::kFloat32;
      })) {
    return std::nullopt;
  }
  if (computes_columns(node)) return read_compute(node);
  if (is_op(node, "Reshape") || is_op(node, "Squeeze") || is_op(node, "Unsqueeze") || is_op(node, "Flatten") ||
      is_op(node, "Identity")) {
    return read_view(node);
  }
  if (is_op(node, "Transpose")) return read_transpose(node);
  if (is_op(node, "Split")) return read_split(node);
  if (is_op(node, "Slice")) return read_slice(node);
  if (is_op(node, "Gather")) return read_gather(node);
  if (is_op(node, "Concat")) return read_concat(node);
  return std::nullopt;
}

void ColumnReader::keep(const NodeReading& reading) {
  for (const auto& [value, form] : reading.outputs) forms_.insert_or_assign(value, form);
}

const ColumnForm* ColumnReader::form(ValueId value) const {
  const auto found = forms_.find(value);
  return found == forms_.end() ? nullptr : &found->second;
}

std::optional<Dims> ColumnReader::dims_of(ValueId value) const {
  const ValueType& type = graph_.value(value).type;
  if (!type.is_tensor() || !type.ranked || type.element != ElementType::kFloat32) return std::nullopt;
  if (type.dims.size() > static_cast<std::size_t>(Shape::kMaxRank)) return std::nullopt;
  Dims dims;
  for (const tensor::Dim& dim : type.dims) dims.push_back(dim.known() ? dim.size : kOpen);
  return dims;
}

std::optional<RowCount> ColumnReader::row_count(ValueId value, int begin, int end) {
  RowCount count;
  for (int i = begin; i < end; ++i) {
    const tensor::Dim& dim = graph_.value(value).type.dims[at(i)];
    if (dim.known()) {
      if (__builtin_mul_overflow(count.factor, dim.size, &count.factor)) return std::nullopt;
    } else {
      if (count.open >= 0) return std::nullopt;
      const std::string key = dim.symbol.empty() ? fmt::format("{}.{}", static_cast<std::uint32_t>(value), i)
                                                 : fmt::format("'{}'", dim.symbol);
      count.open = open_.try_emplace(key, static_cast<int>(open_.size())).first->second;
    }
  }
  return count;
}

// The value as it is, with these axes as rows; none where begin == end.
std::optional<ColumnForm> ColumnReader::source(ValueId value, int begin, int end) {
  const auto dims = dims_of(value);
  if (!dims) return std::nullopt;
  const auto count = column_count(*dims, begin, end);
  const auto rows = row_count(value, begin, end);
  if (!count || !rows || *count < 1 || *count > kMaxSourceColumns) return std::nullopt;
  ColumnForm form{*rows, begin, end, {}};
  const Tensor* constant = begin == end ? constant_of(graph_, value) : nullptr;
  const std::string layout = layout_of(dims->size(), begin, end);
  for (std::int64_t i = 0; i < *count; ++i) {
    if (constant != nullptr) {
      form.columns.emplace_back(constant->data<float>()[i]);
    } else {
      form.columns.emplace_back(SourceColumn{value, layout, static_cast<std::uint32_t>(i)});
    }
  }
  return form;
}

// The value's form, or the value as it is with the rows it would have if its dimensions were `narrowed`.
std::optional<ColumnForm> ColumnReader::form_or_source(ValueId value, const Dims& narrowed) {
  if (const ColumnForm* known = form(value)) return *known;
  if (graph_.value(value).is_constant()) return std::nullopt;
  const auto rows = guess_rows(narrowed);
  if (!rows) return std::nullopt;
  return source(value, rows->begin, rows->end);
}

bool ColumnReader::fits(const Dims& dims, int begin, int end) {
  const auto count = column_count(dims, begin, end);
  if (!count || *count < 1) return false;
  if (*count > kMaxFormColumns) too_wide_ = *count;
  return *count <= kMaxFormColumns;
}

Column ColumnReader::add_step(ColumnOp op, std::vector<Column> operands) {
  steps_.push_back({op, std::move(operands)});
  return StepColumn{static_cast<std::uint32_t>(steps_.size() - 1)};
}

// The columns that the value contributes to a result of these dimensions, one for each of the result's; `shape` is the
// result's form without columns.
std::optional<std::vector<Column>> ColumnReader::operand(ValueId value, const Dims& dims, const ColumnForm& shape) {
  const auto own = dims_of(value);
  if (!own || own->size() > dims.size()) return std::nullopt;
  const int lead = static_cast<int>(dims.size() - own->size());
  int begin = std::max(shape.row_begin - lead, 0);
  int end = std::max(shape.row_end - lead, 0);
  std::optional<ColumnForm> made;
  const ColumnForm* from = form(value);
  if (from == nullptr) {
    if (std::all_of(own->begin() + begin, own->begin() + end, [](std::int64_t dim) { return dim == 1; }))
      begin = end = 0;
    made = source(value, begin, end);
    if (!made) return std::nullopt;
    from = &*made;
  }
  if (begin != end || form(value) != nullptr) {
    if (from->rows != shape.rows || from->row_begin + lead != shape.row_begin ||
        from->row_end + lead != shape.row_end) {
      return std::nullopt;
    }
    // The same axes, not only as many rows.
    for (int i = shape.row_begin; i < shape.row_end; ++i) {
      if ((*own)[at(i - lead)] != dims[at(i)] && (*own)[at(i - lead)] != kOpen && dims[at(i)] != kOpen) {
        return std::nullopt;
      }
    }
  }
  for (int i = lead; i < static_cast<int>(dims.size()); ++i) {
    const bool row = i >= shape.row_begin && i < shape.row_end;
    if (!row && (*own)[at(i - lead)] != 1 && (*own)[at(i - lead)] != dims[at(i)]) return std::nullopt;
  }
  std::vector<Column> columns;
  for_each_column(dims, shape.row_begin, shape.row_end, [&](const Dims& index) {
    Dims position(own->size());
    for (std::size_t i = 0; i < own->size(); ++i) {
      position[i] = (*own)[i] == 1 ? 0 : index[i + static_cast<std::size_t>(lead)];
    }
    columns.push_back(from->columns[number_of(position, *own, from->row_begin, from->row_end)]);
  });
  return columns;
}

std::optional<NodeReading> ColumnReader::read_compute(const Node& node) {
  const ValueId output = node.outputs[0];
  const auto dims = dims_of(output);
  if (!dims) return std::nullopt;
  const bool folds = find(kFolded, node) != nullptr;
  // Clip's limits and Pow's exponent are numbers.
  const std::span<const ValueId> operands(node.inputs.data(), folds ? node.inputs.size() : 1);
  // Rows are those of an operand that was read, or else of the first that has rows.
  ColumnForm result;
  bool known = false;
  for (const ValueId value : operands) {
    if (const ColumnForm* own = form(value); own != nullptr && !known) {
      const int lead = static_cast<int>(dims->size()) - rank_of(graph_, value);
      result = {own->rows, own->row_begin + lead, own->row_end + lead, {}};
      known = true;
    }
  }
  if (!known) {
    const auto rows = guess_rows(*dims);
    if (!rows) return std::nullopt;
    for (const ValueId value : operands) {
      const int lead = static_cast<int>(dims->size()) - rank_of(graph_, value);
      if (known || lead < 0 || lead > rows->begin || graph_.value(value).is_constant()) continue;
      const auto own = dims_of(value);
      if (!own) return std::nullopt;
      bool whole = true;
      for (int i = rows->begin; i < rows->end; ++i) whole = whole && (*own)[at(i - lead)] == (*dims)[at(i)];
      if (!whole) continue;
      const auto count = row_count(value, rows->begin - lead, rows->end - lead);
      if (!count) return std::nullopt;
      result = {*count, rows->begin, rows->end, {}};
      known = true;
    }
    if (!known) return std::nullopt;
  }
  if (result.row_begin < 0 || !fits(*dims, result.row_begin, result.row_end)) return std::nullopt;
  std::vector<std::vector<Column>> given;
  for (const ValueId value : operands) {
    if (value == kNoValue) return std::nullopt;
    auto columns = operand(value, *dims, result);
    if (!columns) return std::nullopt;
    given.push_back(std::move(*columns));
  }
  // The columns as they come, through one step after another.
  std::vector<std::pair<ColumnOp, std::optional<float>>> then;
  if (const Operator* unary = find(kUnary, node)) {
    then.emplace_back(unary->op, std::nullopt);
  } else if (is_op(node, "Relu")) {
    then.emplace_back(ColumnOp::kAtLeast, 0.0f);
  } else if (is_op(node, "Clip")) {
    for (std::size_t i = 1; i < 3; ++i) {
      if (!has_input(node, i)) continue;
      const auto limit = constant_scalar(graph_, node.inputs[i]);
      if (!limit || std::isnan(*limit)) return std::nullopt;
      then.emplace_back(i == 1 ? ColumnOp::kAtLeast : ColumnOp::kAtMost, static_cast<float>(*limit));
    }
  }
  std::int64_t power = 1;
  if (is_op(node, "Pow")) {
    const auto exponent = constant_scalar(graph_, input(node, 1));
    if (!exponent || (*exponent != 2 && *exponent != 3)) return std::nullopt;
    power = static_cast<std::int64_t>(*exponent);
  }
  const Operator* folded = find(kFolded, node);
  for (std::size_t k = 0; k < given[0].size(); ++k) {
    const Column first = given[0][k];
    Column column = first;
    for (std::size_t i = 1; i < given.size(); ++i) column = add_step(folded->op, {column, given[i][k]});
    for (const auto& [op, limit] : then) {
      column = limit ? add_step(op, {column, *limit}) : add_step(op, {column});
    }
    for (std::int64_t i = 1; i < power; ++i) column = add_step(ColumnOp::kMul, {column, first});
    result.columns.push_back(std::move(column));
  }
  return reading(NodeReading::Kind::kCompute, output, std::move(result));
}

std::optional<NodeReading> ColumnReader::read_view(const Node& node) {
  const auto from_dims = dims_of(node.inputs[0]);
  const auto dims = dims_of(node.outputs[0]);
  if (!from_dims || !dims) return std::nullopt;
  auto form = form_or_source(node.inputs[0], *from_dims);
  if (!form) return std::nullopt;
  const auto outer = product(*from_dims, 0, form->row_begin);
  const auto inner = product(*from_dims, form->row_end, static_cast<int>(from_dims->size()));
  if (!outer || !inner) return std::nullopt;
  const auto rows = find_rows(*dims, *outer, *inner);
  if (!rows || std::count(dims->begin() + rows->begin, dims->begin() + rows->end, kOpen) > 1) return std::nullopt;
  form->row_begin = rows->begin;
  form->row_end = rows->end;
  return reading(NodeReading::Kind::kView, node.outputs[0], std::move(*form));
}

std::optional<NodeReading> ColumnReader::read_transpose(const Node& node) {
  const auto from_dims = dims_of(node.inputs[0]);
  if (!from_dims) return std::nullopt;
  const auto from = form_or_source(node.inputs[0], *from_dims);
  if (!from) return std::nullopt;
  const auto rank = static_cast<int>(from_dims->size());
  Dims perm = node.attributes.get_ints("perm");
  if (perm.empty()) {
    perm = all_of(rank);
    std::ranges::reverse(perm);
  }
  if (std::cmp_not_equal(perm.size(), rank)) return std::nullopt;
  ColumnForm form{from->rows, rank, 0, {}};
  Dims dims;
  std::int64_t last_row = -1;
  for (int i = 0; i < rank; ++i) {
    const std::int64_t axis = perm[at(i)];
    if (axis < 0 || axis >= rank) return std::nullopt;
    dims.push_back((*from_dims)[static_cast<std::size_t>(axis)]);
    if (!is_row(*from, static_cast<int>(axis))) continue;
    if (axis < last_row) return std::nullopt;
    last_row = axis;
    form.row_begin = std::min(form.row_begin, i);
    form.row_end = i + 1;
  }
  if (form.row_end - form.row_begin != from->row_end - from->row_begin) return std::nullopt;
  if (!fits(dims, form.row_begin, form.row_end)) return std::nullopt;
  for_each_column(dims, form.row_begin, form.row_end, [&](const Dims& index) {
    Dims position(dims.size(), 0);
    for (std::size_t i = 0; i < dims.size(); ++i) position[static_cast<std::size_t>(perm[i])] = index[i];
    form.columns.push_back(from->columns[number_of(position, *from_dims, from->row_begin, from->row_end)]);
  });
  const bool rearranges = is_rearranged(*from, *from_dims, form, dims);
  return reading(NodeReading::Kind::kMove, node.outputs[0], std::move(form), rearranges);
}

// The columns at indices[i] along each axis i that is no row.
std::optional<ColumnForm> ColumnReader::picked(const ColumnForm& from, const Dims& dims,
                                               const std::vector<Dims>& indices) {
  Dims sizes;
  for (const Dims& list : indices) sizes.push_back(static_cast<std::int64_t>(list.size()));
  if (!fits(sizes, from.row_begin, from.row_end)) return std::nullopt;
  ColumnForm form{from.rows, from.row_begin, from.row_end, {}};
  for_each_column(sizes, form.row_begin, form.row_end, [&](const Dims& index) {
    Dims position(dims.size(), 0);
    for (std::size_t i = 0; i < dims.size(); ++i) {
      if (!is_row(from, static_cast<int>(i))) position[i] = indices[i][static_cast<std::size_t>(index[i])];
    }
    form.columns.push_back(from.columns[number_of(position, dims, from.row_begin, from.row_end)]);
  });
  return form;
}

std::optional<NodeReading> ColumnReader::read_split(const Node& node) {
  const auto dims = dims_of(node.inputs[0]);
  if (!dims) return std::nullopt;
  const auto axis = axis_of(node.attributes.get_int("axis", 0), dims->size());
  if (!axis || (*dims)[at(*axis)] == kOpen) return std::nullopt;
  std::optional<Dims> sizes;
  if (has_input(node, 1)) {
    sizes = constant_ints(graph_, node.inputs[1]);
    if (!sizes || sizes->size() != node.outputs.size()) return std::nullopt;
  } else {
    const auto parts = static_cast<std::int64_t>(node.outputs.size());
    if ((*dims)[at(*axis)] % parts != 0) return std::nullopt;
    sizes = Dims(node.outputs.size(), (*dims)[at(*axis)] / parts);
  }
  // Rows are those of the narrowest part.
  Dims narrowed = *dims;
  narrowed[at(*axis)] = *std::ranges::min_element(*sizes);
  if (narrowed[at(*axis)] < 1) return std::nullopt;
  const auto from = form_or_source(node.inputs[0], narrowed);
  if (!from || is_row(*from, *axis)) return std::nullopt;
  NodeReading result{NodeReading::Kind::kMove, node.outputs.size() > 1, from->rows, {}};
  std::vector<Dims> indices = whole_axes(*dims);
  std::int64_t first = 0;
  for (std::size_t k = 0; k < node.outputs.size(); ++k) {
    if ((*sizes)[k] > (*dims)[at(*axis)] - first) return std::nullopt;
    indices[at(*axis)] = all_of((*sizes)[k]);
    for (std::int64_t& index : indices[at(*axis)]) index += first;
    first += (*sizes)[k];
    if (node.outputs[k] == kNoValue) continue;
    if (auto form = picked(*from, *dims, indices)) result.outputs.emplace_back(node.outputs[k], std::move(*form));
  }
  if (result.outputs.empty()) return std::nullopt;
  return result;
}

std::optional<NodeReading> ColumnReader::read_slice(const Node& node) {
  const auto dims = dims_of(node.inputs[0]);
  const auto starts = constant_ints(graph_, input(node, 1));
  const auto ends = constant_ints(graph_, input(node, 2));
  if (!dims || !starts || !ends || starts->size() != ends->size()) return std::nullopt;
  std::optional<Dims> axes = all_of(static_cast<std::int64_t>(starts->size()));
  if (has_input(node, 3)) axes = constant_ints(graph_, node.inputs[3]);
  std::optional<Dims> steps = Dims(starts->size(), 1);
  if (has_input(node, 4)) steps = constant_ints(graph_, node.inputs[4]);
  if (!axes || !steps || axes->size() != starts->size() || steps->size() != starts->size()) return std::nullopt;
  std::vector<Dims> indices = whole_axes(*dims);
  Dims narrowed = *dims;
  std::vector<bool> cut(dims->size(), false);
  for (std::size_t i = 0; i < axes->size(); ++i) {
    const auto axis = axis_of((*axes)[i], dims->size());
    if (!axis || (*steps)[i] == 0) return std::nullopt;
    const std::int64_t size = (*dims)[at(*axis)];
    std::int64_t start = (*starts)[i];
    std::int64_t end = (*ends)[i];
    const std::int64_t step = (*steps)[i];
    const std::int64_t least_end = size == kOpen ? std::numeric_limits<std::int32_t>::max() : size;
    if (start == 0 && step == 1 && end >= least_end) continue;  // whole
    cut[at(*axis)] = true;
    if (size == kOpen || size > kMaxSourceColumns) continue;  // must be no row, and is too long to be anything else
    if (start < 0) start += size;
    if (end < 0) end += size;
    start = std::clamp<std::int64_t>(start, 0, step > 0 ? size : size - 1);
    end = std::clamp<std::int64_t>(end, step > 0 ? 0 : -1, size);
    Dims& list = indices[at(*axis)];
    list.clear();
    for (std::int64_t k = start; step > 0 ? k < end : k > end; k += step) {
      list.push_back(k);
      if (std::cmp_greater(list.size(), kMaxSourceColumns)) return std::nullopt;
    }
    narrowed[at(*axis)] = static_cast<std::int64_t>(list.size());
  }
  const auto from = form_or_source(node.inputs[0], narrowed);
  if (!from) return std::nullopt;
  for (int i = from->row_begin; i < from->row_end; ++i) {
    if (cut[at(i)]) return std::nullopt;
  }
  auto form = picked(*from, *dims, indices);
  if (!form) return std::nullopt;
  const bool rearranges = from->columns != form->columns;
  return reading(NodeReading::Kind::kMove, node.outputs[0], std::move(*form), rearranges);
}

std::optional<NodeReading> ColumnReader::read_gather(const Node& node) {
  const auto dims = dims_of(node.inputs[0]);
  const auto list = constant_ints(graph_, input(node, 1));
  if (!dims || !list) return std::nullopt;
  const auto axis = axis_of(node.attributes.get_int("axis", 0), dims->size());
  if (!axis || (*dims)[at(*axis)] == kOpen) return std::nullopt;
  Dims wanted;
  for (const std::int64_t index : *list) {
    const std::int64_t size = (*dims)[at(*axis)];
    if (index < -size || index >= size) return std::nullopt;
    wanted.push_back(index < 0 ? index + size : index);
  }
  Dims narrowed = *dims;
  narrowed[at(*axis)] = static_cast<std::int64_t>(wanted.size());
  const auto from = form_or_source(node.inputs[0], narrowed);
  if (!from || is_row(*from, *axis)) return std::nullopt;
  std::vector<Dims> indices = whole_axes(*dims);
  indices[at(*axis)] = std::move(wanted);
  auto form = picked(*from, *dims, indices);
  if (!form) return std::nullopt;
  const bool rearranges = from->columns != form->columns;
  // The axis gives way to those of the index.
  const int added = rank_of(graph_, node.inputs[1]) - 1;
  if (*axis < form->row_begin) {
    form->row_begin += added;
    form->row_end += added;
  }
  return reading(NodeReading::Kind::kMove, node.outputs[0], std::move(*form), rearranges);
}

std::optional<NodeReading> ColumnReader::read_concat(const Node& node) {
  const auto dims = dims_of(node.outputs[0]);
  if (!dims) return std::nullopt;
  const auto axis = axis_of(node.attributes.get_int("axis", 0), dims->size());
  if (!axis) return std::nullopt;
  std::vector<std::pair<ColumnForm, Dims>> parts;
  ColumnForm form;
  for (const ValueId value : node.inputs) {
    const auto own = dims_of(value);
    if (!own || own->size() != dims->size()) return std::nullopt;
    if (const ColumnForm* known = this->form(value)) form = {known->rows, known->row_begin, known->row_end, {}};
  }
  if (form.row_begin == form.row_end) {
    const auto rows = guess_rows(*dims_of(node.inputs[0]));
    if (!rows) return std::nullopt;
    const auto count = row_count(node.inputs[0], rows->begin, rows->end);
    if (!count) return std::nullopt;
    form = {*count, rows->begin, rows->end, {}};
  }
  if (is_row(form, *axis)) return std::nullopt;
  std::int64_t size = 0;
  for (const ValueId value : node.inputs) {
    const Dims own = *dims_of(value);
    const ColumnForm* known = this->form(value);
    const auto part = known != nullptr ? std::optional(*known) : source(value, form.row_begin, form.row_end);
    if (!part || part->rows != form.rows || part->row_begin != form.row_begin || part->row_end != form.row_end ||
        own[at(*axis)] == kOpen) {
      return std::nullopt;
    }
    size += own[at(*axis)];
    parts.emplace_back(std::move(*part), own);
  }
  Dims result = parts[0].second;
  result[at(*axis)] = size;
  if (!fits(result, form.row_begin, form.row_end)) return std::nullopt;
  for_each_column(result, form.row_begin, form.row_end, [&](const Dims& index) {
    Dims position = index;
    std::size_t k = 0;
    while (position[at(*axis)] >= parts[k].second[at(*axis)]) position[at(*axis)] -= parts[k++].second[at(*axis)];
    const auto& [part, own] = parts[k];
    form.columns.push_back(part.columns[number_of(position, own, part.row_begin, part.row_end)]);
  });
  return reading(NodeReading::Kind::kMove, node.outputs[0], std::move(form), node.inputs.size() > 1);
}

}  // namespace lanner::passes
