// The nodes that say which column is where.
#include <algorithm>
#include <limits>
#include <numeric>

#include "passes/column_axes.h"
#include "passes/column_reader.h"
#include "passes/match.h"

namespace lanner::passes {

namespace {

using Dims = AxisSizes;

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

// Whether the columns of `to`, which are those of `from`, lie otherwise in memory.
bool is_rearranged(const ColumnForm& from, const Dims& from_dims, const ColumnForm& to, const Dims& to_dims) {
  return from.columns != to.columns || product(from_dims, 0, from.row_begin) != product(to_dims, 0, to.row_begin);
}

}  // namespace

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
  if (!rows || std::count(dims->begin() + rows->begin, dims->begin() + rows->end, kOpenAxis) > 1) return std::nullopt;
  form->row_begin = rows->begin;
  form->row_end = rows->end;
  return NodeReading::of(NodeReading::Kind::kView, node.outputs[0], std::move(*form));
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
    form.columns.push_back(from->columns[column_number(position, *from_dims, from->row_begin, from->row_end)]);
  });
  const bool rearranges = is_rearranged(*from, *from_dims, form, dims);
  return NodeReading::of(NodeReading::Kind::kMove, node.outputs[0], std::move(form), rearranges);
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
    form.columns.push_back(from.columns[column_number(position, dims, from.row_begin, from.row_end)]);
  });
  return form;
}

std::optional<NodeReading> ColumnReader::read_split(const Node& node) {
  const auto dims = dims_of(node.inputs[0]);
  if (!dims) return std::nullopt;
  const auto axis = axis_of(node.attributes.get_int("axis", 0), dims->size());
  if (!axis || (*dims)[at(*axis)] == kOpenAxis) return std::nullopt;
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
    const std::int64_t least_end = size == kOpenAxis ? std::numeric_limits<std::int32_t>::max() : size;
    if (start == 0 && step == 1 && end >= least_end) continue;  // whole
    cut[at(*axis)] = true;
    if (size == kOpenAxis || size > kMaxSourceColumns) continue;  // must be no row, and is too long to be anything else
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
  return NodeReading::of(NodeReading::Kind::kMove, node.outputs[0], std::move(*form), rearranges);
}

std::optional<NodeReading> ColumnReader::read_gather(const Node& node) {
  const auto dims = dims_of(node.inputs[0]);
  const auto list = constant_ints(graph_, input(node, 1));
  if (!dims || !list) return std::nullopt;
  const auto axis = axis_of(node.attributes.get_int("axis", 0), dims->size());
  if (!axis || (*dims)[at(*axis)] == kOpenAxis) return std::nullopt;
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
  return NodeReading::of(NodeReading::Kind::kMove, node.outputs[0], std::move(*form), rearranges);
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
        own[at(*axis)] == kOpenAxis) {
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
    form.columns.push_back(part.columns[column_number(position, own, part.row_begin, part.row_end)]);
  });
  return NodeReading::of(NodeReading::Kind::kMove, node.outputs[0], std::move(form), node.inputs.size() > 1);
}

}  // namespace lanner::passes
