// Concat and Split: joining tensors along an axis and cutting one apart.
#include <algorithm>
#include <vector>

#include "base/fail.h"
#include "kernels/index_list.h"
#include "kernels/kernel.h"
#include "kernels/strided.h"

namespace lanner::kernels {

namespace {

// The output's shape; throws where the inputs differ in type, rank or a dimension other than `axis`.
Shape joined_shape(KernelContext& context, int axis) {
  const Tensor& first = context.input(0);
  Shape shape = first.shape();
  for (int i = 1; i < context.input_count(); ++i) {
    const Tensor& next = context.input(i);
    if (next.element_type() != first.element_type()) {
      base::invalid("op.type", "inputs 0 and {} differ in element type: {} and {}", i,
                    element_type_name(first.element_type()), element_type_name(next.element_type()));
    }
    if (next.rank() != first.rank()) {
      base::invalid("op.rank", "inputs 0 and {} differ in rank: {} and {}", i, first.rank(), next.rank());
    }
    for (int k = 0; k < shape.rank(); ++k) {
      if (k == axis) {
        if (__builtin_add_overflow(shape[k], next.shape()[k], &shape[k])) {
          base::invalid("op.size", "the joined dimension is too large");
        }
      } else if (next.shape()[k] != shape[k]) {
        base::invalid("op.shape", "shapes {} and {} of inputs 0 and {} differ in a dimension other than {}",
                      first.shape().to_string(), next.shape().to_string(), i, axis);
      }
    }
  }
  return shape;
}

// How many elements of a dimension of `dim` each of `count` outputs takes.
std::vector<std::int64_t> part_sizes(KernelContext& context, std::int64_t dim, std::int64_t count) {
  if (const Tensor* split = context.optional_input(1)) {
    std::vector<std::int64_t> sizes = read_indices(*split, "split");
    std::int64_t rest = dim;
    for (const std::int64_t size : sizes) {
      if (size < 0 || size > rest) {
        base::invalid("op.shape", "sizes [{}] do not split a dimension of {}", fmt::join(sizes, ","), dim);
      }
      rest -= size;
    }
    if (rest != 0 || static_cast<int>(sizes.size()) != context.output_count()) {
      base::invalid("op.shape", "sizes [{}] do not split a dimension of {} into {} outputs", fmt::join(sizes, ","), dim,
                    context.output_count());
    }
    return sizes;
  }
  const std::int64_t size = dim / count + (dim % count != 0 ? 1 : 0);
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(count));
  for (std::int64_t& part : sizes) {
    part = std::min(size, dim);
    dim -= part;
  }
  return sizes;
}

}  // namespace

std::unique_ptr<Kernel> make_Concat(const KernelInfo& info) {
  return make_kernel([wanted = info.attributes.require_int("axis")](KernelContext& context) {
    const ElementType type = context.input(0).element_type();
    const int axis = normalize_axis(wanted, context.input(0).rank());
    const Shape shape = joined_shape(context, axis);
    Tensor& out = context.allocate_output(0, type, shape);
    moved_bytes(type);
    if (out.element_count() == 0) return;
    const std::int64_t outer = shape.element_count(0, axis);
    const std::int64_t inner = shape.element_count(axis + 1, shape.rank());
    const std::int64_t row = shape[axis] * inner;
    std::int64_t offset = 0;
    for (int i = 0; i < context.input_count(); ++i) {
      const Tensor& part = context.input(i);
      const std::int64_t length = part.shape()[axis] * inner;
      StridedBlock block;
      block.add(outer, length, row);
      block.add(length, 1, 1);
      copy_block(context.threads(), block, type, part.raw_data(), element_at(type, out.raw_data(), offset));
      offset += length;
    }
  });
}

std::unique_ptr<Kernel> make_Split(const KernelInfo& info) {
  const std::int64_t wanted = info.attributes.get_int("axis", 0);
  const std::int64_t count = info.attributes.get_int("num_outputs", info.output_count);
  if (count < 1 || count != info.output_count) {
    base::invalid("op.attribute", "num_outputs is {}, but there are {} outputs", count, info.output_count);
  }
  return make_kernel([wanted, count](KernelContext& context) {
    const Tensor& data = context.input(0);
    const ElementType type = data.element_type();
    const int axis = normalize_axis(wanted, data.rank());
    const std::vector<std::int64_t> sizes = part_sizes(context, data.shape()[axis], count);
    moved_bytes(type);
    const bool empty = data.element_count() == 0;
    const std::int64_t outer = empty ? 0 : data.shape().element_count(0, axis);
    const std::int64_t inner = empty ? 0 : data.shape().element_count(axis + 1, data.rank());
    const std::int64_t row = data.shape()[axis] * inner;
    std::int64_t offset = 0;
    for (int i = 0; i < context.output_count(); ++i) {
      const std::int64_t length = sizes[static_cast<std::size_t>(i)] * inner;
      if (context.wants_output(i)) {
        Shape shape = data.shape();
        shape[axis] = sizes[static_cast<std::size_t>(i)];
        Tensor& part = context.allocate_output(i, type, shape);
        StridedBlock block;
        block.add(outer, row, length);
        block.add(length, 1, 1);
        copy_block(context.threads(), block, type, element_at(type, data.raw_data(), offset), part.raw_data());
      }
      offset += length;
    }
  });
}

}  // namespace lanner::kernels
