#include "passes/column_axes.h"

#include <algorithm>

namespace lanner::passes {

std::optional<std::int64_t> product(const AxisSizes& dims, int begin, int end) {
  std::int64_t result = 1;
  for (int i = begin; i < end; ++i) {
    if (dims[at(i)] < 0 || __builtin_mul_overflow(result, dims[at(i)], &result)) return std::nullopt;
  }
  return result;
}

std::optional<std::int64_t> column_count(const AxisSizes& dims, int begin, int end) {
  const auto outer = product(dims, 0, begin);
  const auto inner = product(dims, end, static_cast<int>(dims.size()));
  std::int64_t count = 0;
  if (!outer || !inner || __builtin_mul_overflow(*outer, *inner, &count)) return std::nullopt;
  return count;
}

std::optional<RowAxes> guess_rows(const AxisSizes& dims) {
  if (dims.empty() || std::ranges::count(dims, kOpenAxis) > 1) return std::nullopt;
  auto longest = std::ranges::find(dims, kOpenAxis);
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

std::optional<RowAxes> find_rows(const AxisSizes& dims, std::int64_t outer, std::int64_t inner) {
  RowAxes rows{0, static_cast<int>(dims.size())};
  std::int64_t count = 1;
  while (rows.begin < rows.end && (count < outer || dims[at(rows.begin)] == 1)) {
    if (dims[at(rows.begin)] < 1 || dims[at(rows.begin)] > outer) return std::nullopt;
    count *= dims[at(rows.begin++)];
  }
  if (count != outer) return std::nullopt;
  count = 1;
  while (rows.end > rows.begin && (count < inner || dims[at(rows.end - 1)] == 1)) {
    if (dims[at(rows.end - 1)] < 1 || dims[at(rows.end - 1)] > inner) return std::nullopt;
    count *= dims[at(--rows.end)];
  }
  if (count != inner || rows.begin == rows.end) return std::nullopt;
  return rows;
}

std::size_t column_number(const AxisSizes& index, const AxisSizes& dims, int begin, int end) {
  std::int64_t number = 0;
  for (int i = 0; i < static_cast<int>(dims.size()); ++i) {
    if (i < begin || i >= end) number = number * dims[at(i)] + index[at(i)];
  }
  return static_cast<std::size_t>(number);
}

}  // namespace lanner::passes
