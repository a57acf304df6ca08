// Transpose, DepthToSpace, SpaceToDepth: the same elements in another order of dimensions.
#include <string>
#include <vector>

#include "base/fail.h"
#include "kernels/kernel.h"
#include "kernels/strided.h"

namespace lanner::kernels {

namespace {

// Writes `data`, seen as having the shape `view`, with its dimensions in the order `perm`, to `out`.
void permute(int threads, const Tensor& data, const Shape& view, std::span<const int> perm, Tensor& out) {
  if (out.element_count() == 0) {
    moved_bytes(data.element_type());
    return;
  }
  const auto strides = dense_strides(view);
  StridedBlock block;
  std::int64_t stride = out.element_count();
  for (const int axis : perm) {
    stride /= view[axis];
    block.add(view[axis], strides[static_cast<std::size_t>(axis)], stride);
  }
  copy_block(threads, block, data.element_type(), data.raw_data(), out.raw_data());
}

std::int64_t block_size(const KernelInfo& info) {
  const std::int64_t size = info.attributes.require_int("blocksize");
  if (size < 1 || size > INT32_MAX) base::invalid("op.attribute", "blocksize must be positive, but is {}", size);
  return size;
}

// Whether the channels are ordered column-row-depth instead of depth-column-row.
bool depth_last(const KernelInfo& info) {
  const std::string mode = info.attributes.get_string("mode", "DCR");
  if (mode != "DCR" && mode != "CRD") base::invalid("op.attribute", "mode must be DCR or CRD, but is '{}'", mode);
  return mode == "CRD";
}

void require_rank_4(const Tensor& data) {
  if (data.rank() != 4) base::invalid("op.rank", "the input must have rank 4, but has {}", data.rank());
}

}  // namespace

std::unique_ptr<Kernel> make_Transpose(const KernelInfo& info) {
  const std::vector<std::int64_t> wanted = info.attributes.get_ints("perm");
  if (wanted.size() > Shape::kMaxRank) {
    base::invalid("op.rank", "perm may have at most {} entries, but has {}", Shape::kMaxRank, wanted.size());
  }
  std::array<int, Shape::kMaxRank> perm{};
  std::uint32_t seen = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const std::int64_t axis = wanted[i];
    if (axis < 0 || axis >= static_cast<std::int64_t>(wanted.size()) || (seen >> axis & 1u) != 0) {
      base::invalid("op.attribute", "perm must be a permutation of 0 .. rank - 1, but is [{}]", fmt::join(wanted, ","));
    }
    seen |= 1u << axis;
    perm[i] = static_cast<int>(axis);
  }
  const int given = info.attributes.has("perm") ? static_cast<int>(wanted.size()) : -1;
  return make_kernel([perm, given](KernelContext& context) {
    const Tensor& data = context.input(0);
    const int rank = data.rank();
    if (given >= 0 && given != rank) {
      base::invalid("op.rank", "perm has {} entries, but the input has rank {}", given, rank);
    }
    std::array<int, Shape::kMaxRank> order = perm;
    if (given < 0) {
      for (int i = 0; i < rank; ++i) order[static_cast<std::size_t>(i)] = rank - 1 - i;
    }
    const std::span<const int> axes(order.data(), static_cast<std::size_t>(rank));
    Shape shape;
    for (const int axis : axes) shape.push_back(data.shape()[axis]);
    permute(context.threads(), data, data.shape(), axes, context.allocate_output(0, data.element_type(), shape));
  });
}

std::unique_ptr<Kernel> make_DepthToSpace(const KernelInfo& info) {
  return make_kernel([size = block_size(info), depth_last = depth_last(info)](KernelContext& context) {
    const Tensor& data = context.input(0);
    require_rank_4(data);
    const Shape& from = data.shape();
    const std::int64_t depth = from[1] / (size * size);
    if (from[1] % (size * size) != 0) {
      base::invalid("op.shape", "{} channels do not divide into blocks of {}x{}", from[1], size, size);
    }
    Shape shape{from[0], depth, 0, 0};
    for (const int axis : {2, 3}) {
      if (__builtin_mul_overflow(from[axis], size, &shape[axis])) {
        base::invalid("op.size", "dimension {} times blocksize {} is too large", from[axis], size);
      }
    }
    Tensor& out = context.allocate_output(0, data.element_type(), shape);
    if (depth_last) {
      const int order[] = {0, 1, 4, 2, 5, 3};
      permute(context.threads(), data, {from[0], depth, size, size, from[2], from[3]}, order, out);
    } else {
      const int order[] = {0, 3, 4, 1, 5, 2};
      permute(context.threads(), data, {from[0], size, size, depth, from[2], from[3]}, order, out);
    }
  });
}

std::unique_ptr<Kernel> make_SpaceToDepth(const KernelInfo& info) {
  return make_kernel([size = block_size(info), depth_last = depth_last(info)](KernelContext& context) {
    const Tensor& data = context.input(0);
    require_rank_4(data);
    const Shape& from = data.shape();
    if (from[2] % size != 0 || from[3] % size != 0) {
      base::invalid("op.shape", "shape {} does not divide into blocks of {}x{}", from.to_string(), size, size);
    }
    Shape shape{from[0], 0, from[2] / size, from[3] / size};
    if (__builtin_mul_overflow(from[1], size * size, &shape[1])) {
      base::invalid("op.size", "{} channels times blocksize {} squared are too many", from[1], size);
    }
    Tensor& out = context.allocate_output(0, data.element_type(), shape);
    const Shape view{from[0], from[1], shape[2], size, shape[3], size};
    if (depth_last) {
      const int order[] = {0, 1, 3, 5, 2, 4};
      permute(context.threads(), data, view, order, out);
    } else {
      const int order[] = {0, 3, 5, 1, 2, 4};
      permute(context.threads(), data, view, order, out);
    }
  });
}

}  // namespace lanner::kernels
