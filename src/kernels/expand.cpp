// Expand and Tile: repeating a tensor along its dimensions.
#include <string>

#include "base/fail.h"
#include "kernels/broadcast.h"
#include "kernels/index_list.h"
#include "kernels/kernel.h"
#include "kernels/strided.h"

namespace lanner::kernels {

std::unique_ptr<Kernel> make_Expand(const KernelInfo&) {
  return make_kernel([](KernelContext& context) {
    const Tensor& data = context.input(0);
    const ElementType type = data.element_type();
    const Shape shape = broadcast_shape(data.shape(), Shape(IndexList::read(context.input(1), "shape").values()));
    moved_bytes(type);
    Tensor& out = context.allocate_output(0, type, shape);
    if (out.element_count() == 0) return;
    const auto from = dense_strides(data.shape());
    const auto to = dense_strides(shape);
    const int lead = shape.rank() - data.rank();
    StridedBlock block;
    for (int i = 0; i < shape.rank(); ++i) {
      const bool repeats = i < lead || data.shape()[i - lead] != shape[i];
      block.add(shape[i], repeats ? 0 : from[static_cast<std::size_t>(i - lead)], to[static_cast<std::size_t>(i)]);
    }
    copy_block(context.threads(), block, type, data.raw_data(), out.raw_data());
  });
}

std::unique_ptr<Kernel> make_Tile(const KernelInfo&) {
  return make_kernel([](KernelContext& context) {
    const Tensor& data = context.input(0);
    const ElementType type = data.element_type();
    const IndexList repeats = IndexList::read(context.input(1), "repeats");
    const int rank = data.rank();
    if (repeats.size() != rank) {
      base::invalid("op.shape", "input 'repeats' must hold {} numbers, but holds {}", rank, repeats.size());
    }
    Shape shape = data.shape();
    for (int i = 0; i < rank; ++i) {
      if (repeats[i] < 0) base::invalid("op.shape", "repeats must not be negative, but one is {}", repeats[i]);
      if (__builtin_mul_overflow(shape[i], repeats[i], &shape[i])) {
        base::invalid("op.size", "{} repeats of a dimension of {} are too many", repeats[i], data.shape()[i]);
      }
    }
    moved_bytes(type);
    Tensor& out = context.allocate_output(0, type, shape);
    if (out.element_count() == 0) return;
    const auto from = dense_strides(data.shape());
    const auto to = dense_strides(shape);
    StridedBlock block;
    for (int i = 0; i < rank; ++i) {
      const auto k = static_cast<std::size_t>(i);
      block.add(repeats[i], 0, data.shape()[i] * to[k]);
      block.add(data.shape()[i], from[k], to[k]);
    }
    copy_block(context.threads(), block, type, data.raw_data(), out.raw_data());
  });
}

}  // namespace lanner::kernels
