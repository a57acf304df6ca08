// Arithmetic on the axes of values that ColumnReader reads: which are rows, and what the number of a column is.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace lanner::passes {

using AxisSizes = std::vector<std::int64_t>;

// A size that is not known.
inline constexpr std::int64_t kOpenAxis = -1;
// Of one value; wider ones are no boxes, points or sizes.
inline constexpr std::int64_t kMaxFormColumns = 16;
// Of a value of which a few columns are read; the bound keeps the lists short.
inline constexpr std::int64_t kMaxSourceColumns = 1024;

inline std::size_t at(int axis) {
  return static_cast<std::size_t>(axis);
}

struct RowAxes {
  int begin;
  int end;
};

// Product of the sizes [begin, end), nothing where one is open or the product large.
std::optional<std::int64_t> product(const AxisSizes& dims, int begin, int end);
// How many columns remain where [begin, end) are rows.
std::optional<std::int64_t> column_count(const AxisSizes& dims, int begin, int end);

// Which axes are rows, where nothing else tells: the open one or else the longest, and as many of its neighbours as it
// takes to leave few columns. Nothing where there are no more rows than columns could be, so that what is taken for
// rows does not depend on a few elements more or less.
std::optional<RowAxes> guess_rows(const AxisSizes& dims);
// Axes that hold the rows when `outer` columns are before them and `inner` behind.
std::optional<RowAxes> find_rows(const AxisSizes& dims, std::int64_t outer, std::int64_t inner);

// The number of a column.
std::size_t column_number(const AxisSizes& index, const AxisSizes& dims, int begin, int end);

// Calls visit(index) for each multi-index of the axes that are no rows, row-major; those of rows are 0. No such axis
// may be empty.
template <typename Visit>
void for_each_column(const AxisSizes& dims, int begin, int end, Visit visit) {
  AxisSizes index(dims.size(), 0);
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

}  // namespace lanner::passes
