// What Pad does to the dimensions of a shape. Nothing here touches elements.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/fail.h"
#include "kernels/index_list.h"
#include "lanner/tensor.h"

namespace lanner::kernels {

// One dimension of a Pad: `kept` elements of the input from `first` on lie at `before` in the output.
struct Padded {
  std::int64_t first = 0;
  std::int64_t kept = 0;
  std::int64_t before = 0;
  std::int64_t size = 0;
};

inline Padded pad_dimension(std::int64_t begin, std::int64_t end, std::int64_t dim) {
  std::int64_t size = dim;
  if (__builtin_add_overflow(size, begin, &size) || __builtin_add_overflow(size, end, &size) || size < 0) {
    base::invalid("op.shape", "pads {} and {} leave no valid size of a dimension of {}", begin, end, dim);
  }
  // A negative pad below -dim leaves nothing of the input, also where the other pad makes the size positive again.
  const std::int64_t first = begin < 0 ? std::min(-(begin + 1), dim - 1) + 1 : 0;
  const std::int64_t last = end < 0 ? std::max(dim + end, first) : dim;
  const std::int64_t before = std::min(std::max<std::int64_t>(begin, 0), size);
  return {std::min(first, last), std::min(last - std::min(first, last), size - before), before, size};
}

// Of every dimension of `shape`, by Pad's inputs 'pads' and 'axes' (null if absent).
inline std::array<Padded, Shape::kMaxRank> padded_dimensions(const Shape& shape, const Tensor& pad_input,
                                                             const Tensor* axes_input) {
  const IndexList pads = IndexList::read(pad_input, "pads");
  const int rank = shape.rank();
  IndexList axes;
  if (axes_input != nullptr) axes = IndexList::read(*axes_input, "axes");
  const int count = axes_input != nullptr ? axes.size() : rank;
  if (pads.size() != 2 * count) {
    base::invalid("op.shape", "input 'pads' must hold 2 numbers for each of {} axes, but holds {}", count, pads.size());
  }
  std::array<Padded, Shape::kMaxRank> dims;
  for (int i = 0; i < rank; ++i) dims[static_cast<std::size_t>(i)] = pad_dimension(0, 0, shape[i]);
  std::uint32_t seen = 0;
  for (int i = 0; i < count; ++i) {
    const int axis = listed_axis(axes_input != nullptr ? &axes : nullptr, i, rank, seen);
    dims[static_cast<std::size_t>(axis)] = pad_dimension(pads[i], pads[i + count], shape[axis]);
  }
  return dims;
}

}  // namespace lanner::kernels
