#include "passes/column_reader.h"

#include <algorithm>
#include <cmath>

#include "passes/column_axes.h"
#include "passes/match.h"

namespace lanner::passes {

namespace {

using kernels::ColumnOp;
using Dims = AxisSizes;

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

std::string layout_of(std::size_t rank, int begin, int end) {
  std::string layout(rank, 'c');
  std::fill(layout.begin() + begin, layout.begin() + end, 'r');
  return layout;
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
  for (const tensor::Dim& dim : type.dims) dims.push_back(dim.known() ? dim.size : kOpenAxis);
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
      if ((*own)[at(i - lead)] != dims[at(i)] && (*own)[at(i - lead)] != kOpenAxis && dims[at(i)] != kOpenAxis) {
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
    columns.push_back(from->columns[column_number(position, *own, from->row_begin, from->row_end)]);
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
  if (std::ranges::find(operands, kNoValue) != operands.end()) return std::nullopt;
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
  return NodeReading::of(NodeReading::Kind::kCompute, output, std::move(result));
}

}  // namespace lanner::passes
