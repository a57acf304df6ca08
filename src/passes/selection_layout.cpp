// Operators that move elements between axes, or take some of them: the same rows, seen otherwise.
#include <algorithm>

#include "passes/selection_reader.h"

namespace lanner::passes {

std::optional<Meaning> Reader::with_layout(Meaning meaning, std::optional<View> layout) {
  if (!layout || meaning.kind == Kind::kRest || meaning.kind == Kind::kPadded) return std::nullopt;
  if (meaning.kind == Kind::kNumbers && layout->rank() > 1) return std::nullopt;
  meaning.layout = std::move(*layout);
  return normal(std::move(meaning));
}

std::optional<Meaning> Reader::normal(Meaning meaning) {
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

std::optional<Meaning> Reader::squeeze(const Node& node) {
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

std::optional<Meaning> Reader::unsqueeze(const Node& node) {
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

std::optional<Meaning> Reader::reshape(const Node& node) {
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

std::optional<Meaning> Reader::flatten(const Node& node) {
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

std::optional<Meaning> Reader::transpose(const Node& node) {
  std::optional<Meaning> meaning = known(input(node, 0));
  if (!meaning || meaning->kind == Kind::kNumbers) return std::nullopt;
  std::vector<std::int64_t> perm = node.attributes.get_ints("perm");
  if (perm.empty()) {
    for (int axis = meaning->layout.rank(); axis-- > 0;) perm.push_back(axis);
  }
  return with_layout(*meaning, transposed(meaning->layout, perm));
}

std::optional<Meaning> Reader::cut(Meaning meaning, std::int64_t end) {
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

std::optional<Meaning> Reader::pick(Meaning meaning, int axis, std::int64_t start, std::int64_t step,
                                    std::int64_t count) {
  if (meaning.kind == Kind::kNumbers) {
    std::vector<Number> picked;
    for (std::int64_t i = 0; i < count; ++i) {
      picked.push_back(meaning.numbers[static_cast<std::size_t>(start + i * step)]);
    }
    return of_numbers(std::move(picked));
  }
  return with_layout(meaning, sliced(meaning.layout, axis, start, step, count));
}

std::optional<Meaning> Reader::slice(const Node& node) {
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

void Reader::split(const Node& node) {
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

}  // namespace lanner::passes
