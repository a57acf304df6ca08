// Moving elements without looking at them: the copy that Transpose, Concat, Slice, Expand, ... are made of. A block is
// an n-dimensional range of elements walked in two arrays by two sets of strides; it merges its dimensions as it is
// built, so that what is contiguous in both arrays is copied row by row.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "lanner/tensor.h"

namespace lanner::kernels {

// Elements that one thread moves at least.
inline constexpr std::int64_t kMoveGrain = 16384;

struct Bytes16 {
  std::uint64_t low;
  std::uint64_t high;
};

// Bytes of an element that moves as plain bytes, 0 for a string; throws `op.type` for undefined types.
int moved_bytes(ElementType type);

namespace internal {

template <typename Function>
void dispatch_bytes(int bytes, Function&& function) {
  switch (bytes) {
    case 1:
      return function.template operator()<std::uint8_t>();
    case 2:
      return function.template operator()<std::uint16_t>();
    case 4:
      return function.template operator()<std::uint32_t>();
    case 8:
      return function.template operator()<std::uint64_t>();
    case 16:
      return function.template operator()<Bytes16>();
    default:
      return function.template operator()<std::string>();
  }
}

// Whether `bytes` is a width above that of `element_bytes` that both addresses may be read by.
inline bool widens(std::int64_t bytes, const void* a, const void* b) {
  if (bytes != 2 && bytes != 4 && bytes != 8 && bytes != 16) return false;
  const auto mask = static_cast<std::uintptr_t>(std::min<std::int64_t>(bytes, 8) - 1);
  return ((reinterpret_cast<std::uintptr_t>(a) | reinterpret_cast<std::uintptr_t>(b)) & mask) == 0;
}

}  // namespace internal

// Calls function.operator()<T>() with a type that is as wide as an element of `type`, or std::string.
template <typename Function>
void dispatch_moved(ElementType type, Function&& function) {
  internal::dispatch_bytes(moved_bytes(type), function);
}

// The same for runs of `length` elements that move together between the arrays at `a` and `b`: calls
// function.operator()<T>(units), where T may be so wide that a run is one unit (a box of four floats).
template <typename Function>
void dispatch_runs(ElementType type, std::int64_t length, const void* a, const void* b, Function&& function) {
  int bytes = moved_bytes(type);
  if (length > 1 && length <= 16 && bytes != 0 && internal::widens(bytes * length, a, b)) {
    bytes *= static_cast<int>(length);
    length = 1;
  }
  internal::dispatch_bytes(bytes, [&]<typename T>() { function.template operator()<T>(length); });
}

// Dimensions are added outermost first; strides count elements and may be 0 or negative.
struct StridedBlock {
  static constexpr int kMaxRank = 2 * Shape::kMaxRank;

  int rank = 0;
  std::int64_t count = 1;
  std::array<std::int64_t, kMaxRank> dims;
  std::array<std::int64_t, kMaxRank> from;
  std::array<std::int64_t, kMaxRank> to;

  void add(std::int64_t dim, std::int64_t from_stride, std::int64_t to_stride) {
    count *= dim;
    if (dim == 1) return;
    if (rank > 0) {
      const auto outer = static_cast<std::size_t>(rank - 1);
      if (from[outer] == from_stride * dim && to[outer] == to_stride * dim) {
        dims[outer] *= dim;
        from[outer] = from_stride;
        to[outer] = to_stride;
        return;
      }
    }
    const auto level = static_cast<std::size_t>(rank++);
    dims[level] = dim;
    from[level] = from_stride;
    to[level] = to_stride;
  }
  // Steps of the innermost dimension.
  std::int64_t from_step() const { return rank > 0 ? from[static_cast<std::size_t>(rank - 1)] : 1; }
  std::int64_t to_step() const { return rank > 0 ? to[static_cast<std::size_t>(rank - 1)] : 1; }
};

// Strides of a dense array; the shape must have a countable number of elements, at least one.
std::array<std::int64_t, Shape::kMaxRank> dense_strides(const Shape& shape);

// Calls row(from offset, to offset, length) for each innermost piece of the block's elements [begin, end), in order.
template <typename Row>
void for_each_row(const StridedBlock& block, std::int64_t begin, std::int64_t end, Row&& row) {
  if (begin >= end) return;
  if (block.rank == 0) return row(std::int64_t{0}, std::int64_t{0}, std::int64_t{1});
  const auto inner = static_cast<std::size_t>(block.rank - 1);
  std::array<std::int64_t, StridedBlock::kMaxRank> index;
  std::int64_t from = 0;
  std::int64_t to = 0;
  std::int64_t rest = begin;
  for (std::size_t i = inner + 1; i-- > 0;) {
    index[i] = rest == 0 ? 0 : rest % block.dims[i];
    rest = rest == 0 ? 0 : rest / block.dims[i];
    from += index[i] * block.from[i];
    to += index[i] * block.to[i];
  }
  std::int64_t position = begin;
  while (true) {
    const std::int64_t length = std::min(block.dims[inner] - index[inner], end - position);
    row(from, to, length);
    position += length;
    if (position >= end) return;
    from -= index[inner] * block.from[inner];
    to -= index[inner] * block.to[inner];
    index[inner] = 0;
    for (std::size_t i = inner - 1;; --i) {
      from += block.from[i];
      to += block.to[i];
      if (++index[i] < block.dims[i]) break;
      index[i] = 0;
      from -= block.dims[i] * block.from[i];
      to -= block.dims[i] * block.to[i];
    }
  }
}

// Copies a block of elements of `type` between two arrays, or within one where source and target do not overlap.
void copy_block(int threads, const StridedBlock& block, ElementType type, const void* from, void* to);

// Copies `count` neighbouring elements.
inline void copy_elements(int threads, ElementType type, std::int64_t count, const void* from, void* to) {
  StridedBlock block;
  block.add(count, 1, 1);
  copy_block(threads, block, type, from, to);
}

// Sets `count` neighbouring elements to the one at `value`.
inline void fill_elements(int threads, ElementType type, std::int64_t count, const void* value, void* to) {
  StridedBlock block;
  block.add(count, 0, 1);
  copy_block(threads, block, type, value, to);
}

// The address of element `index`.
inline const void* element_at(ElementType type, const void* data, std::int64_t index) {
  const int bytes = moved_bytes(type);
  return static_cast<const char*>(data) + index * (bytes != 0 ? bytes : static_cast<int>(sizeof(std::string)));
}
inline void* element_at(ElementType type, void* data, std::int64_t index) {
  return const_cast<void*>(element_at(type, static_cast<const void*>(data), index));
}

}  // namespace lanner::kernels
