// Gather, GatherElements, GatherND: reading elements or runs of them at given indices.
#include "kernels/gather.h"

#include <algorithm>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/index_list.h"
#include "kernels/kernel.h"
#include "kernels/strided.h"

namespace lanner::kernels {

namespace {

// Calls function(const int64_t*) or function(const int32_t*) with the elements of 'indices'.
template <typename Function>
void dispatch_indices(const Tensor& indices, Function&& function) {
  if (indices.element_type() == ElementType::kInt64) return function(indices.data<std::int64_t>());
  if (indices.element_type() == ElementType::kInt32) return function(indices.data<std::int32_t>());
  base::invalid("op.type", "input 'indices' must be int64 or int32, but is {}",
                element_type_name(indices.element_type()));
}

// Parallel items that each move `run` elements.
std::int64_t grain(std::int64_t run) {
  return std::max<std::int64_t>(1, kMoveGrain / std::max<std::int64_t>(1, run));
}

template <typename T, typename I>
void gather_typed(int threads, const T* data, std::int64_t outer, std::int64_t dim, std::int64_t run, const I* indices,
                  std::int64_t count, T* out) {
  base::parallel_for(threads, outer * count, grain(run), [=](std::int64_t begin, std::int64_t end) {
    std::int64_t k = begin % count;
    const T* base = data + begin / count * dim * run;
    T* target = out + begin * run;
    for (std::int64_t item = begin; item < end;) {
      const std::int64_t stop = std::min(count, k + end - item);
      item += stop - k;
      if (run == 1) {
        for (; k < stop; ++k) *target++ = base[checked_index(indices[k], dim)];
      } else {
        for (; k < stop; ++k) target = std::copy_n(base + checked_index(indices[k], dim) * run, run, target);
      }
      k = 0;
      base += dim * run;
    }
  });
}

template <typename I>
void gather_any(int threads, ElementType type, const void* data, std::int64_t outer, std::int64_t dim, std::int64_t run,
                const I* indices, std::int64_t count, void* out) {
  if (outer * count * run == 0) return;
  dispatch_runs(type, run, data, out, [&]<typename T>(std::int64_t units) {
    gather_typed(threads, static_cast<const T*>(data), outer, dim, units, indices, count, static_cast<T*>(out));
  });
}

}  // namespace

void gather_runs(int threads, ElementType type, const void* data, std::int64_t outer, std::int64_t dim,
                 std::int64_t run, std::span<const std::int64_t> indices, void* out) {
  gather_any(threads, type, data, outer, dim, run, indices.data(), static_cast<std::int64_t>(indices.size()), out);
}

std::unique_ptr<Kernel> make_Gather(const KernelInfo& info) {
  return make_kernel([wanted = info.attributes.get_int("axis", 0)](KernelContext& context) {
    const Tensor& data = context.input(0);
    const Tensor& indices = context.input(1);
    const ElementType type = data.element_type();
    const Shape& from = data.shape();
    const int axis = normalize_axis(wanted, from.rank());
    moved_bytes(type);
    Shape shape;
    for (int i = 0; i < axis; ++i) shape.push_back(from[i]);
    for (const std::int64_t dim : indices.shape()) shape.push_back(dim);
    for (int i = axis + 1; i < from.rank(); ++i) shape.push_back(from[i]);
    dispatch_indices(indices, [&](const auto* values) {
      Tensor& out = context.allocate_output(0, type, shape);
      if (out.element_count() == 0) return;
      gather_any(context.threads(), type, data.raw_data(), from.element_count(0, axis), from[axis],
                 from.element_count(axis + 1, from.rank()), values, indices.element_count(), out.raw_data());
    });
  });
}

std::unique_ptr<Kernel> make_GatherElements(const KernelInfo& info) {
  return make_kernel([wanted = info.attributes.get_int("axis", 0)](KernelContext& context) {
    const Tensor& data = context.input(0);
    const Tensor& indices = context.input(1);
    const Shape& from = data.shape();
    const Shape& shape = indices.shape();
    const int axis = normalize_axis(wanted, from.rank());
    if (shape.rank() != from.rank()) {
      base::invalid("op.rank", "data has rank {}, but indices have rank {}", from.rank(), shape.rank());
    }
    for (int i = 0; i < shape.rank(); ++i) {
      if (i != axis && shape[i] > from[i]) {
        base::invalid("op.shape", "indices of shape {} reach beyond data of shape {}", shape.to_string(),
                      from.to_string());
      }
    }
    dispatch_indices(indices, [&](const auto* values) {
      Tensor& out = context.allocate_output(0, data.element_type(), shape);
      if (out.element_count() == 0) {
        moved_bytes(data.element_type());
        return;
      }
      if (from[axis] == 0) fail_index(values[0], 0);
      const auto strides = dense_strides(from);
      const auto dense = dense_strides(shape);
      StridedBlock block;
      for (int i = 0; i < shape.rank(); ++i) {
        const auto k = static_cast<std::size_t>(i);
        block.add(shape[i], i == axis ? 0 : strides[k], dense[k]);
      }
      const std::int64_t dim = from[axis];
      const std::int64_t stride = strides[static_cast<std::size_t>(axis)];
      const std::int64_t step = block.from_step();
      dispatch_moved(data.element_type(), [&]<typename T>() {
        const T* source = static_cast<const T*>(data.raw_data());
        T* target = static_cast<T*>(out.raw_data());
        base::parallel_for(context.threads(), block.count, kMoveGrain, [&](std::int64_t begin, std::int64_t end) {
          for_each_row(block, begin, end, [&](std::int64_t offset, std::int64_t to, std::int64_t length) {
            const T* row = source + offset;
            for (std::int64_t i = 0; i < length; ++i) {
              target[to + i] = row[i * step + checked_index(values[to + i], dim) * stride];
            }
          });
        });
      });
    });
  });
}

std::unique_ptr<Kernel> make_GatherND(const KernelInfo& info) {
  const std::int64_t wanted = info.attributes.get_int("batch_dims", 0);
  if (wanted < 0 || wanted >= Shape::kMaxRank) base::invalid("op.attribute", "batch_dims is {}", wanted);
  return make_kernel([batch_dims = static_cast<int>(wanted)](KernelContext& context) {
    const Tensor& data = context.input(0);
    const Tensor& indices = context.input(1);
    const ElementType type = data.element_type();
    const Shape& from = data.shape();
    const int q = indices.rank();
    if (batch_dims >= std::min(q, from.rank())) {
      base::invalid("op.rank", "batch_dims is {}, but data has rank {} and indices have rank {}", batch_dims,
                    from.rank(), q);
    }
    const std::int64_t tuple = indices.shape()[q - 1];
    if (tuple < 1 || tuple > from.rank() - batch_dims) {
      base::invalid("op.shape", "the last dimension of the indices must be in [1, {}], but is {}",
                    from.rank() - batch_dims, tuple);
    }
    const int used = batch_dims + static_cast<int>(tuple);
    Shape shape;
    for (int i = 0; i < q - 1; ++i) {
      if (i < batch_dims && indices.shape()[i] != from[i]) {
        base::invalid("op.shape", "shapes {} and {} of data and indices differ in batch dimension {}", from.to_string(),
                      indices.shape().to_string(), i);
      }
      shape.push_back(indices.shape()[i]);
    }
    for (int i = used; i < from.rank(); ++i) shape.push_back(from[i]);
    moved_bytes(type);
    dispatch_indices(indices, [&](const auto* values) {
      Tensor& out = context.allocate_output(0, type, shape);
      if (out.element_count() == 0) return;
      const std::int64_t run = from.element_count(used, from.rank());
      const std::int64_t count = indices.shape().element_count(0, q - 1);
      const std::int64_t per_batch = indices.shape().element_count(batch_dims, q - 1);
      const std::int64_t batch_runs = from.element_count(batch_dims, used);
      dispatch_runs(type, run, data.raw_data(), out.raw_data(), [&]<typename T>(std::int64_t units) {
        const T* source = static_cast<const T*>(data.raw_data());
        T* target = static_cast<T*>(out.raw_data());
        base::parallel_for(context.threads(), count, grain(units), [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t i = begin; i < end; ++i) {
            std::int64_t at = 0;
            for (int k = 0; k < static_cast<int>(tuple); ++k) {
              const std::int64_t dim = from[batch_dims + k];
              at = at * dim + checked_index(values[i * tuple + k], dim);
            }
            if (batch_dims > 0) at += i / per_batch * batch_runs;
            if (units == 1) {
              target[i] = source[at];
            } else {
              std::copy_n(source + at * units, units, target + i * units);
            }
          }
        });
      });
    });
  });
}

}  // namespace lanner::kernels
