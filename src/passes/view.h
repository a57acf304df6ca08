// Which elements of a value another value shows: the index arithmetic of Slice, Gather, Split, Squeeze, Transpose,
// Reshape and the like, so that rules can compare what nodes read instead of how an exporter spelled it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "passes/rule.h"

namespace lanner::passes {

// Element (i0, i1, ...) of a view is element `offset + i0 * strides[0] + i1 * strides[1] + ...` of `base` in row-major
// order. At most one axis is open (size kOpen): its size is not known, or the rows along it were picked, which the
// owner of the view keeps track of.
struct View {
  static constexpr std::int64_t kOpen = -1;

  ValueId base = kNoValue;
  std::int64_t offset = 0;
  std::vector<std::int64_t> dims;
  std::vector<std::int64_t> strides;
  // A value whose elements in row-major order are those of the view (of all rows, before any were picked), or kNoValue.
  ValueId whole = kNoValue;

  int rank() const { return static_cast<int>(dims.size()); }
  int open_axis() const;  // -1: none
};

// The whole of a value; nothing when its type leaves more than the size of its first real axis open.
std::optional<View> view_of(const Graph& graph, ValueId value);
// A view of nothing in particular with this layout; the strides are those of a dense array.
std::optional<View> layout_of(std::vector<std::int64_t> dims);

// The operators. Axes count from 0 and exist. Nothing where the result is no view, and where an operator would divide
// or cut the open axis.
View without_axis(View view, int axis);  // of size 1
View with_axis(View view, int axis);     // of size 1, before the present one of that number
std::optional<View> transposed(View view, std::span<const std::int64_t> perm);
std::optional<View> reshaped(View view, std::span<const std::int64_t> dims);
// `count` elements from `start`, `step` apart, all within the axis.
std::optional<View> sliced(View view, int axis, std::int64_t start, std::int64_t step, std::int64_t count);

// The view without its axes of size 1.
View squeezed(const View& view);
// Whether all is known of the layout, and the elements lie one after another in the base.
bool is_dense(const View& view);
// Whether both show the same elements, apart from where they begin; `whole` does not count.
bool same_but_offset(const View& a, const View& b);
inline bool same_view(const View& a, const View& b) {
  return a.offset == b.offset && same_but_offset(a, b);
}

}  // namespace lanner::passes
