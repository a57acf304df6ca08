// ScatterElements, ScatterND and TensorScatter: a copy of a tensor with some elements replaced by, or combined with,
// updates. Updates apply in their order, so that with repeated indices the last one wins and sums do not depend on
// threads.
#include <algorithm>
#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

#include "base/fail.h"
#include "kernels/index_list.h"
#include "kernels/kernel.h"
#include "kernels/strided.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

enum class Reduction : std::uint8_t { kNone, kAdd, kMul, kMax, kMin };

Reduction reduction_of(const KernelInfo& info) {
  const std::string name = info.attributes.get_string("reduction", "none");
  if (name == "none") return Reduction::kNone;
  if (name == "add") return Reduction::kAdd;
  if (name == "mul") return Reduction::kMul;
  if (name == "max") return Reduction::kMax;
  if (name == "min") return Reduction::kMin;
  base::invalid("op.attribute", "reduction must be none, add, mul, max or min, but is '{}'", name);
}

// Integers wrap, sums and products of bool are "or" and "and", and NaN is both the largest and the smallest number.
template <Reduction kReduction, typename T>
T combine(T old, T update) {
  if constexpr (kReduction == Reduction::kAdd) {
    if constexpr (std::is_same_v<T, bool>) return old || update;
    if constexpr (std::is_floating_point_v<T>) return old + update;
    return static_cast<T>(static_cast<std::uint64_t>(old) + static_cast<std::uint64_t>(update));
  } else if constexpr (kReduction == Reduction::kMul) {
    if constexpr (std::is_same_v<T, bool>) return old && update;
    if constexpr (std::is_floating_point_v<T>) return old * update;
    return static_cast<T>(static_cast<std::uint64_t>(old) * static_cast<std::uint64_t>(update));
  } else {
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(old)) return old;
      if (std::isnan(update)) return update;
    }
    return kReduction == Reduction::kMax ? std::max(old, update) : std::min(old, update);
  }
}

// Calls function.operator()<T>(apply) with apply(T& element, const T& update); without a reduction T is any type as
// wide as the element.
template <typename Function>
void dispatch_reduction(Reduction reduction, ElementType type, Function&& function) {
  if (reduction == Reduction::kNone) {
    return dispatch_moved(type, [&]<typename T>() {
      function.template operator()<T>([](T& element, const T& update) { element = update; });
    });
  }
  tensor::dispatch(tensor::NumericAndBoolTypes{}, type, "a reduction", [&]<typename T>() {
    const auto with = [&]<Reduction kReduction>() {
      function.template operator()<T>(
          [](T& element, const T& update) { element = combine<kReduction, T>(element, update); });
    };
    switch (reduction) {
      case Reduction::kAdd:
        return with.template operator()<Reduction::kAdd>();
      case Reduction::kMul:
        return with.template operator()<Reduction::kMul>();
      case Reduction::kMax:
        return with.template operator()<Reduction::kMax>();
      default:
        return with.template operator()<Reduction::kMin>();
    }
  });
}

// 'indices' as int64, converted in scratch memory if need be.
Tensor wide_indices(KernelContext& context, const Tensor& indices) {
  if (indices.element_type() == ElementType::kInt64) return indices;
  if (indices.element_type() != ElementType::kInt32) {
    base::invalid("op.type", "input 'indices' must be int64 or int32, but is {}",
                  element_type_name(indices.element_type()));
  }
  Tensor wide = context.allocate_scratch(ElementType::kInt64, indices.shape());
  std::ranges::copy(indices.values<std::int32_t>(), wide.data<std::int64_t>());
  return wide;
}

void require_same_type(const Tensor& data, const Tensor& updates) {
  if (updates.element_type() != data.element_type()) {
    base::invalid("op.type", "data is {}, but updates are {}", element_type_name(data.element_type()),
                  element_type_name(updates.element_type()));
  }
}

}  // namespace

std::unique_ptr<Kernel> make_ScatterElements(const KernelInfo& info) {
  const std::int64_t wanted = info.attributes.get_int("axis", 0);
  return make_kernel([wanted, reduction = reduction_of(info)](KernelContext& context) {
    const Tensor& data = context.input(0);
    const Tensor& updates = context.input(2);
    const Tensor indices = wide_indices(context, context.input(1));
    require_same_type(data, updates);
    const Shape& to = data.shape();
    const Shape& shape = indices.shape();
    const int axis = normalize_axis(wanted, to.rank());
    if (shape.rank() != to.rank()) {
      base::invalid("op.rank", "data has rank {}, but indices have rank {}", to.rank(), shape.rank());
    }
    if (!(updates.shape() == shape)) {
      base::invalid("op.shape", "updates of shape {} do not match indices of shape {}", updates.shape().to_string(),
                    shape.to_string());
    }
    for (int i = 0; i < shape.rank(); ++i) {
      if (i != axis && shape[i] > to[i]) {
        base::invalid("op.shape", "indices of shape {} reach beyond data of shape {}", shape.to_string(),
                      to.to_string());
      }
    }
    Tensor& out = context.take_first_input();
    if (indices.element_count() == 0) return;
    const std::int64_t* at = indices.data<std::int64_t>();
    if (to[axis] == 0) fail_index(at[0], 0);
    const auto strides = dense_strides(to);
    const auto dense = dense_strides(shape);
    StridedBlock block;
    for (int i = 0; i < shape.rank(); ++i) {
      const auto k = static_cast<std::size_t>(i);
      block.add(shape[i], dense[k], i == axis ? 0 : strides[k]);
    }
    const std::int64_t dim = to[axis];
    const std::int64_t stride = strides[static_cast<std::size_t>(axis)];
    const std::int64_t step = block.to_step();
    dispatch_reduction(reduction, data.element_type(), [&]<typename T>(auto apply) {
      const T* source = static_cast<const T*>(updates.raw_data());
      T* target = static_cast<T*>(out.raw_data());
      for_each_row(block, 0, block.count, [&](std::int64_t from, std::int64_t offset, std::int64_t length) {
        T* row = target + offset;
        for (std::int64_t i = 0; i < length; ++i) {
          apply(row[i * step + checked_index(at[from + i], dim) * stride], source[from + i]);
        }
      });
    });
  });
}

std::unique_ptr<Kernel> make_ScatterND(const KernelInfo& info) {
  return make_kernel([reduction = reduction_of(info)](KernelContext& context) {
    const Tensor& data = context.input(0);
    const Tensor& updates = context.input(2);
    const Tensor indices = wide_indices(context, context.input(1));
    require_same_type(data, updates);
    const Shape& to = data.shape();
    const int q = indices.rank();
    if (q < 1 || to.rank() < 1) base::invalid("op.rank", "data and indices must have rank 1 or more");
    const std::int64_t tuple = indices.shape()[q - 1];
    if (tuple > to.rank()) {
      base::invalid("op.shape", "the last dimension of the indices must be at most {}, but is {}", to.rank(), tuple);
    }
    const int used = static_cast<int>(tuple);
    Shape expected;
    for (int i = 0; i < q - 1; ++i) expected.push_back(indices.shape()[i]);
    for (int i = used; i < to.rank(); ++i) expected.push_back(to[i]);
    if (!(updates.shape() == expected)) {
      base::invalid("op.shape", "updates must have shape {}, but have {}", expected.to_string(),
                    updates.shape().to_string());
    }
    Tensor& out = context.take_first_input();
    if (updates.element_count() == 0) return;
    const std::int64_t run = to.element_count(used, to.rank());
    const std::int64_t count = indices.shape().element_count(0, q - 1);
    const std::int64_t* at = indices.data<std::int64_t>();
    dispatch_reduction(reduction, data.element_type(), [&]<typename T>(auto apply) {
      const T* source = static_cast<const T*>(updates.raw_data());
      T* target = static_cast<T*>(out.raw_data());
      for (std::int64_t i = 0; i < count; ++i) {
        std::int64_t offset = 0;
        for (int k = 0; k < used; ++k) offset = offset * to[k] + checked_index(at[i * tuple + k], to[k]);
        T* row = target + offset * run;
        for (std::int64_t j = 0; j < run; ++j) apply(row[j], source[i * run + j]);
      }
    });
  });
}

// A cache with an update written along one axis of each item of the batch, from the item's own index on.
std::unique_ptr<Kernel> make_TensorScatter(const KernelInfo& info) {
  const std::int64_t wanted = info.attributes.get_int("axis", -2);
  const std::string mode = info.attributes.get_string("mode", "linear");
  if (mode != "linear" && mode != "circular") {
    base::invalid("op.attribute", "attribute 'mode' must be linear or circular, but is '{}'", mode);
  }
  return make_kernel([wanted, circular = mode == "circular"](KernelContext& context) {
    const Tensor& cache = context.input(0);
    const Tensor& update = context.input(1);
    require_same_type(cache, update);
    const Shape to = cache.shape();
    const int axis = normalize_axis(wanted, to.rank());
    if (axis == 0) base::invalid("op.axis", "the axis of TensorScatter must not be that of the batch");
    Shape expected = to;
    if (update.rank() == to.rank()) expected[axis] = std::min(to[axis], update.shape()[axis]);
    if (!(update.shape() == expected)) {
      base::invalid("op.shape", "an update of shape {} does not fit a cache of shape {} along axis {}",
                    update.shape().to_string(), to.to_string(), axis);
    }
    const std::int64_t length = expected[axis];
    std::vector<std::int64_t> starts(static_cast<std::size_t>(to[0]), 0);
    if (const Tensor* indices = context.optional_input(2)) {
      starts = read_indices(*indices, "write_indices");
      if (indices->shape() != Shape{to[0]}) {
        base::invalid("op.shape", "input 'write_indices' must have shape [{}], but has {}", to[0],
                      indices->shape().to_string());
      }
    }
    for (std::int64_t& start : starts) {
      if (circular && to[axis] != 0) {
        start %= to[axis];
        if (start < 0) start += to[axis];
      } else if (start < 0 || start > to[axis] - length) {
        base::invalid("op.index", "{} elements do not fit at index {} of {}", length, start, to[axis]);
      }
    }
    Tensor& out = context.take_first_input();
    if (update.element_count() == 0) return;
    const std::int64_t planes = to.element_count(1, axis);  // of an item
    const std::int64_t inner = to.element_count(axis + 1, to.rank());
    dispatch_moved(cache.element_type(), [&]<typename T>() {
      const T* from = static_cast<const T*>(update.raw_data());
      T* target = static_cast<T*>(out.raw_data());
      for (std::int64_t plane = 0; plane < to[0] * planes;
           ++plane, from += length * inner, target += to[axis] * inner) {
        const std::int64_t start = starts[static_cast<std::size_t>(plane / planes)];
        const std::int64_t first = std::min(length, to[axis] - start);  // before it wraps
        std::copy_n(from, first * inner, target + start * inner);
        std::copy_n(from + first * inner, (length - first) * inner, target);
      }
    });
  });
}

}  // namespace lanner::kernels
