#include "passes/view.h"

#include <algorithm>

#include "passes/match.h"

namespace lanner::passes {

namespace {

std::size_t at(int axis) {
  return static_cast<std::size_t>(axis);
}

// Product, or nothing when it does not fit.
std::optional<std::int64_t> product(std::span<const std::int64_t> factors) {
  std::int64_t result = 1;
  for (const std::int64_t factor : factors) {
    if (factor < 0 || __builtin_mul_overflow(result, factor, &result)) return std::nullopt;
  }
  return result;
}

// Appends to `strides` those that walk the axes `dims`, `from` under the strides `from_strides`, when cut up as `to`,
// which has as many elements. False when no strides do.
bool cut_up(std::span<const std::int64_t> dims, std::span<const std::int64_t> old_strides,
            std::span<const std::int64_t> to, std::vector<std::int64_t>& strides) {
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < dims.size() || j < to.size()) {
    // Axes of size 1 have any stride.
    if (j < to.size() && to[j] == 1) {
      strides.push_back(1);
      ++j;
      continue;
    }
    if (i < dims.size() && dims[i] == 1) {
      ++i;
      continue;
    }
    if (i == dims.size() || j == to.size()) return false;
    // The shortest groups of axes that hold as many elements on both sides.
    const std::size_t first = i;
    const std::size_t target = j;
    std::int64_t count = dims[i++];
    std::int64_t wanted = to[j++];
    while (count != wanted) {
      if (count < wanted) {
        if (i == dims.size()) return false;
        count *= dims[i++];
      } else {
        if (j == to.size()) return false;
        wanted *= to[j++];
      }
    }
    // Within a group each old axis must continue the one after it.
    std::int64_t stride = 0;
    std::int64_t run = 0;
    for (std::size_t k = i; k-- > first;) {
      if (dims[k] == 1) continue;
      if (run == 0) {
        stride = old_strides[k];
      } else if (old_strides[k] != run) {
        return false;
      }
      run = old_strides[k] * dims[k];
    }
    std::vector<std::int64_t> made(j - target);
    for (std::size_t k = j; k-- > target;) {
      made[k - target] = stride;
      stride *= to[k];
    }
    strides.insert(strides.end(), made.begin(), made.end());
  }
  return true;
}

}  // namespace

int View::open_axis() const {
  const auto found = std::ranges::find(dims, kOpen);
  return found == dims.end() ? -1 : static_cast<int>(found - dims.begin());
}

std::optional<View> layout_of(std::vector<std::int64_t> dims) {
  View view;
  view.strides.resize(dims.size());
  std::int64_t stride = 1;
  for (std::size_t i = dims.size(); i-- > 0;) {
    view.strides[i] = stride;
    // Strides above an open axis are not known; axes of size 1 need none.
    if (dims[i] == View::kOpen) {
      if (std::any_of(dims.begin(), dims.begin() + static_cast<std::ptrdiff_t>(i), [](auto dim) { return dim != 1; })) {
        return std::nullopt;
      }
    } else if (__builtin_mul_overflow(stride, dims[i], &stride)) {
      return std::nullopt;
    }
  }
  view.dims = std::move(dims);
  return view;
}

std::optional<View> view_of(const Graph& graph, ValueId value) {
  const ValueType& type = graph.value(value).type;
  if (!type.is_tensor() || !type.ranked) return std::nullopt;
  std::vector<std::int64_t> dims;
  for (const tensor::Dim& dim : type.dims) dims.push_back(dim.known() ? dim.size : View::kOpen);
  std::optional<View> view = layout_of(std::move(dims));
  if (view) view->base = view->whole = value;
  return view;
}

View without_axis(View view, int axis) {
  view.dims.erase(view.dims.begin() + axis);
  view.strides.erase(view.strides.begin() + axis);
  return view;
}

View with_axis(View view, int axis) {
  view.dims.insert(view.dims.begin() + axis, 1);
  view.strides.insert(view.strides.begin() + axis, 1);
  return view;
}

std::optional<View> transposed(View view, std::span<const std::int64_t> perm) {
  if (perm.size() != view.dims.size()) return std::nullopt;
  View result = view;
  std::int64_t last = -1;
  for (std::size_t i = 0; i < perm.size(); ++i) {
    const std::int64_t from = perm[i];
    if (from < 0 || from >= view.rank()) return std::nullopt;
    result.dims[i] = view.dims[static_cast<std::size_t>(from)];
    result.strides[i] = view.strides[static_cast<std::size_t>(from)];
    if (result.dims[i] == 1) continue;
    if (from < last) result.whole = kNoValue;
    last = from;
  }
  return result;
}

std::optional<View> reshaped(View view, std::span<const std::int64_t> dims) {
  const int open = view.open_axis();
  std::vector<std::int64_t> strides;
  const std::span<const std::int64_t> old_dims = view.dims;
  const std::span<const std::int64_t> old_strides = view.strides;
  if (open < 0) {
    const auto count = product(dims);
    if (!count || count != product(old_dims) || *count == 0) return std::nullopt;
    if (!cut_up(old_dims, old_strides, dims, strides)) return std::nullopt;
  } else {
    const auto found = std::ranges::find(dims, View::kOpen);
    if (found == dims.end()) return std::nullopt;
    const auto target = static_cast<std::size_t>(found - dims.begin());
    const auto before = product(dims.first(target));
    const auto after = product(dims.subspan(target + 1));
    if (!before || !after || *before == 0 || *after == 0 || before != product(old_dims.first(at(open))) ||
        after != product(old_dims.subspan(at(open) + 1))) {
      return std::nullopt;
    }
    if (!cut_up(old_dims.first(at(open)), old_strides.first(at(open)), dims.first(target), strides)) {
      return std::nullopt;
    }
    strides.push_back(old_strides[at(open)]);
    if (!cut_up(old_dims.subspan(at(open) + 1), old_strides.subspan(at(open) + 1), dims.subspan(target + 1), strides)) {
      return std::nullopt;
    }
  }
  View result = view;
  result.dims.assign(dims.begin(), dims.end());
  result.strides = std::move(strides);
  return result;
}

std::optional<View> sliced(View view, int axis, std::int64_t start, std::int64_t step, std::int64_t count) {
  const std::int64_t size = view.dims[at(axis)];
  if (size == View::kOpen) return std::nullopt;
  if (count != size || (step != 1 && count > 1) || start != 0) view.whole = kNoValue;
  view.offset += start * view.strides[at(axis)];
  view.strides[at(axis)] *= step;
  view.dims[at(axis)] = count;
  return view;
}

View squeezed(const View& view) {
  View result = view;
  result.dims.clear();
  result.strides.clear();
  for (std::size_t i = 0; i < view.dims.size(); ++i) {
    if (view.dims[i] == 1) continue;
    result.dims.push_back(view.dims[i]);
    result.strides.push_back(view.strides[i]);
  }
  return result;
}

bool is_dense(const View& view) {
  const View present = squeezed(view);
  if (present.open_axis() >= 0) return false;
  const std::optional<View> dense = layout_of(present.dims);
  return dense && dense->strides == present.strides;
}

bool same_but_offset(const View& a, const View& b) {
  const View x = squeezed(a);
  const View y = squeezed(b);
  return x.base == y.base && x.dims == y.dims && x.strides == y.strides;
}

}  // namespace lanner::passes
