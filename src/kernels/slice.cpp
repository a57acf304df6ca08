// Slice and Pad: a strided part of a tensor, and a tensor with borders added or (for negative pads) cut off.
#include <algorithm>
#include <string>

#include "base/fail.h"
#include "kernels/index_list.h"
#include "kernels/kernel.h"
#include "kernels/padding.h"
#include "kernels/strided.h"

namespace lanner::kernels {

namespace {

// The part of one dimension that a Slice takes.
struct Taken {
  std::int64_t start = 0;
  std::int64_t step = 1;
  std::int64_t count = 0;
};

Taken take(std::int64_t start, std::int64_t end, std::int64_t step, std::int64_t dim) {
  if (step == 0) base::invalid("op.value", "a slice's step must not be 0");
  if (dim == 0) return {};
  if (start < 0) start += dim;
  if (end < 0) end += dim;
  if (step > 0) {
    start = std::clamp<std::int64_t>(start, 0, dim);
    end = std::clamp<std::int64_t>(end, 0, dim);
    return {start, step, end > start ? (end - start - 1) / step + 1 : 0};
  }
  start = std::clamp<std::int64_t>(start, 0, dim - 1);
  end = std::clamp<std::int64_t>(end, -1, dim - 1);
  // -(step + 1) fits where -step may not.
  const std::int64_t less = -(step + 1);
  if (start <= end) return {};
  return {start, step, less == INT64_MAX ? 1 : (start - end - 1) / (less + 1) + 1};
}

enum class PadMode : std::uint8_t { kConstant, kReflect, kEdge, kWrap };

PadMode pad_mode(const std::string& name) {
  if (name == "constant") return PadMode::kConstant;
  if (name == "reflect") return PadMode::kReflect;
  if (name == "edge") return PadMode::kEdge;
  if (name == "wrap") return PadMode::kWrap;
  base::invalid("op.attribute", "mode must be constant, reflect, edge or wrap, but is '{}'", name);
}

// Where a position outside [0, dim) takes its element from.
std::int64_t mirrored(PadMode mode, std::int64_t position, std::int64_t dim) {
  const auto modulo = [](std::int64_t value, std::int64_t period) {
    const std::int64_t rest = value % period;
    return rest < 0 ? rest + period : rest;
  };
  if (mode == PadMode::kEdge) return std::clamp<std::int64_t>(position, 0, dim - 1);
  if (mode == PadMode::kWrap) return modulo(position, dim);
  if (dim == 1) return 0;
  const std::int64_t phase = modulo(position, 2 * (dim - 1));
  return phase < dim ? phase : 2 * (dim - 1) - phase;
}

// Copies a part of the output's border: all dimensions before `axis` over what comes from the input, positions
// [begin, begin + length) of `axis`, all of the dimensions after it. Every element is `value`, or, where that is null,
// the one at position `source` of `axis`.
void write_border(int threads, std::span<const Padded> dims, std::span<const std::int64_t> strides, int axis,
                  std::int64_t begin, std::int64_t length, const void* value, std::int64_t source, Tensor& out) {
  StridedBlock block;
  std::int64_t offset = 0;
  for (int i = 0; i < static_cast<int>(dims.size()); ++i) {
    const auto k = static_cast<std::size_t>(i);
    if (i < axis) offset += dims[k].before * strides[k];
    const std::int64_t dim = i < axis ? dims[k].kept : i == axis ? length : dims[k].size;
    block.add(dim, value != nullptr || i == axis ? 0 : strides[k], strides[k]);
  }
  const std::int64_t stride = strides[static_cast<std::size_t>(axis)];
  const ElementType type = out.element_type();
  const void* from = value != nullptr ? value : element_at(type, out.raw_data(), offset + source * stride);
  copy_block(threads, block, type, from, element_at(type, out.raw_data(), offset + begin * stride));
}

void pad(int threads, PadMode mode, const Tensor& data, std::span<const Padded> dims, const void* value, Tensor& out) {
  const ElementType type = data.element_type();
  const auto to = dense_strides(out.shape());
  if (data.element_count() != 0) {
    const auto from = dense_strides(data.shape());
    StridedBlock block;
    std::int64_t first = 0;
    std::int64_t before = 0;
    for (std::size_t i = 0; i < dims.size(); ++i) {
      block.add(dims[i].kept, from[i], to[i]);
      first += dims[i].first * from[i];
      before += dims[i].before * to[i];
    }
    if (block.count != 0) {
      copy_block(threads, block, type, element_at(type, data.raw_data(), first),
                 element_at(type, out.raw_data(), before));
    }
  }
  // From the innermost axis outwards each border is made once, from what is complete already.
  for (int axis = static_cast<int>(dims.size()) - 1; axis >= 0; --axis) {
    const Padded& dim = dims[static_cast<std::size_t>(axis)];
    const std::int64_t after = dim.before + dim.kept;
    if (mode == PadMode::kConstant) {
      if (dim.before > 0) write_border(threads, dims, to, axis, 0, dim.before, value, 0, out);
      if (after < dim.size) write_border(threads, dims, to, axis, after, dim.size - after, value, 0, out);
    } else {
      const auto mirror = [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t i = first; i < last; ++i) {
          const std::int64_t source = dim.before + mirrored(mode, i - dim.before, dim.kept);
          write_border(threads, dims, to, axis, i, 1, nullptr, source, out);
        }
      };
      mirror(0, dim.before);
      mirror(after, dim.size);
    }
  }
}

}  // namespace

std::unique_ptr<Kernel> make_Slice(const KernelInfo&) {
  return make_kernel([](KernelContext& context) {
    const Tensor& data = context.input(0);
    const IndexList starts = IndexList::read(context.input(1), "starts");
    const IndexList ends = IndexList::read(context.input(2), "ends");
    IndexList axes;
    IndexList steps;
    const bool has_axes = context.has_input(3);
    const bool has_steps = context.has_input(4);
    if (has_axes) axes = IndexList::read(context.input(3), "axes");
    if (has_steps) steps = IndexList::read(context.input(4), "steps");
    const int count = starts.size();
    if (ends.size() != count || (has_axes && axes.size() != count) || (has_steps && steps.size() != count)) {
      base::invalid("op.shape", "starts, ends, axes and steps must have the same number of elements");
    }
    Shape shape = data.shape();
    std::array<Taken, Shape::kMaxRank> taken;
    for (int i = 0; i < shape.rank(); ++i) taken[static_cast<std::size_t>(i)].count = shape[i];
    std::uint32_t seen = 0;
    for (int i = 0; i < count; ++i) {
      const int axis = listed_axis(has_axes ? &axes : nullptr, i, shape.rank(), seen);
      Taken& part = taken[static_cast<std::size_t>(axis)];
      part = take(starts[i], ends[i], has_steps ? steps[i] : 1, shape[axis]);
      shape[axis] = part.count;
    }
    const ElementType type = data.element_type();
    moved_bytes(type);
    Tensor& out = context.allocate_output(0, type, shape);
    if (out.element_count() == 0) return;
    const auto from = dense_strides(data.shape());
    const auto to = dense_strides(shape);
    StridedBlock block;
    std::int64_t offset = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(shape.rank()); ++i) {
      offset += taken[i].start * from[i];
      block.add(taken[i].count, taken[i].count > 1 ? taken[i].step * from[i] : 0, to[i]);
    }
    copy_block(context.threads(), block, type, element_at(type, data.raw_data(), offset), out.raw_data());
  });
}

std::unique_ptr<Kernel> make_Pad(const KernelInfo& info) {
  return make_kernel([mode = pad_mode(info.attributes.get_string("mode", "constant"))](KernelContext& context) {
    const Tensor& data = context.input(0);
    const int rank = data.rank();
    const std::array<Padded, Shape::kMaxRank> dims =
        padded_dimensions(data.shape(), context.input(1), context.optional_input(3));
    Shape shape;
    for (int i = 0; i < rank; ++i) {
      const Padded& dim = dims[static_cast<std::size_t>(i)];
      if (mode != PadMode::kConstant && dim.kept == 0 && dim.size > 0) {
        base::invalid("op.shape", "axis {} has nothing to fill its pads from", i);
      }
      shape.push_back(dim.size);
    }
    const ElementType type = data.element_type();
    static const std::string kEmpty;
    static constexpr Bytes16 kZero{};
    const void* value = type == ElementType::kString ? static_cast<const void*>(&kEmpty) : &kZero;
    if (const Tensor* given = context.optional_input(2)) {
      if (given->element_type() != type) {
        base::invalid("op.type", "input 'constant_value' must be {}, but is {}", element_type_name(type),
                      element_type_name(given->element_type()));
      }
      if (given->element_count() != 1) {
        base::invalid("op.shape", "input 'constant_value' must hold one element, but holds {}", given->element_count());
      }
      value = given->raw_data();
    }
    moved_bytes(type);
    Tensor& out = context.allocate_output(0, type, shape);
    if (out.element_count() == 0) return;
    pad(context.threads(), mode, data, {dims.data(), static_cast<std::size_t>(rank)}, value, out);
  });
}

}  // namespace lanner::kernels
