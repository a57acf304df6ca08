// Reading index tensors: short lists (axes, shapes, starts, pads) without allocating, and bounds of single indices.
#pragma once

#include <algorithm>
#include <array>
#include <cassert>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/fail.h"
#include "kernels/kernel.h"
#include "lanner/tensor.h"

namespace lanner::kernels {

// At most two numbers for each dimension of a tensor, held inline.
class IndexList {
 public:
  static constexpr int kMaxSize = 2 * Shape::kMaxRank;

  int size() const { return size_; }
  std::int64_t operator[](int index) const {
    assert(index >= 0 && index < size_);
    return values_[static_cast<std::size_t>(index)];
  }
  std::span<const std::int64_t> values() const { return {values_.data(), static_cast<std::size_t>(size_)}; }

  // The elements of an int64 or int32 tensor of rank 0 or 1; throws `op.type`, and `op.rank` also for too many.
  static IndexList read(const Tensor& tensor, std::string_view name) {
    if (tensor.rank() > 1) {
      base::invalid("op.rank", "input '{}' must have rank 0 or 1, but has {}", name, tensor.rank());
    }
    const std::int64_t count = tensor.element_count();
    if (count > kMaxSize) {
      base::invalid("op.rank", "input '{}' must have at most {} elements, but has {}", name, kMaxSize, count);
    }
    IndexList list;
    list.size_ = static_cast<int>(count);
    if (tensor.element_type() == ElementType::kInt64) {
      std::copy_n(tensor.data<std::int64_t>(), count, list.values_.begin());
    } else if (tensor.element_type() == ElementType::kInt32) {
      std::copy_n(tensor.data<std::int32_t>(), count, list.values_.begin());
    } else {
      base::invalid("op.type", "input '{}' must be int64 or int32, but is {}", name,
                    element_type_name(tensor.element_type()));
    }
    return list;
  }

 private:
  std::array<std::int64_t, kMaxSize> values_;
  int size_ = 0;
};

// Axis `index` of the input 'axes', or `index` itself where there is none; marks it in `seen`.
inline int listed_axis(const IndexList* axes, int index, int rank, std::uint32_t& seen) {
  const int axis = normalize_axis(axes != nullptr ? (*axes)[index] : index, rank);
  if ((seen >> axis & 1u) != 0) base::invalid("op.axis", "axis {} is given twice", axis);
  seen |= 1u << axis;
  return axis;
}

// The element of an int64 or int32 tensor that holds exactly one.
inline std::int64_t read_index(const Tensor& tensor, std::string_view name) {
  const IndexList list = IndexList::read(tensor, name);
  if (list.size() != 1) base::invalid("op.shape", "input '{}' must hold one element, but holds {}", name, list.size());
  return list[0];
}

[[noreturn, gnu::cold, gnu::noinline]] inline void fail_index(std::int64_t index, std::int64_t dim) {
  base::invalid("op.index", "an index must be in [{}, {}], but is {}", -dim, dim - 1, index);
}

// `index` counted from the end if negative; throws `op.index` unless it is in [-dim, dim).
inline std::int64_t checked_index(std::int64_t index, std::int64_t dim) {
  const std::int64_t position = index < 0 ? index + dim : index;
  if (position < 0 || position >= dim) [[unlikely]]
    fail_index(index, dim);
  return position;
}

}  // namespace lanner::kernels
