// Concat and Split. Where what is joined lies one after another in memory, as the channels of one image do, the inputs
// of a Concat are computed in their places right away, and the outputs of a Split are pieces of its input; else copies.
#include <algorithm>
#include <numeric>

#include "backends/onednn/operators.h"
#include "base/fail.h"
#include "kernels/kernel.h"

namespace lanner::backends::onednn {

namespace {

constexpr std::size_t kAlignment = 64;

// Whether pieces along `axis` are contiguous: nothing lies around that axis.
bool is_outermost(const Shape& shape, int axis) {
  return shape.element_count(0, axis) == 1;
}

std::int64_t channel_block() {
  return has_avx512() ? 16 : 8;
}

bool is_blocked(const Desc& desc) {
  return !is_plain(desc) && desc == blocked_desc(desc.dims(), desc.data_type());
}

// Blocks of channels, unless a seam would fall inside one or nothing is blocked yet.
class JoinedLayout {
 public:
  JoinedLayout(bool any_blocked, Number number, int axis, const std::vector<std::int64_t>& sizes)
      : blocked_(any_blocked &&
                 (axis != 1 || std::ranges::all_of(sizes, [](auto size) { return size % channel_block() == 0; }))),
        number_(number) {}

  Desc operator()(const Dims& dims) const { return blocked_ ? blocked_desc(dims, number_) : plain_desc(dims, number_); }

 private:
  bool blocked_;
  Number number_;
};

// Puts the inputs, which lie as they must, one after another into `whole`.
class InPlaceConcat {
 public:
  InPlaceConcat(OperatorBuilder& builder, const Stored& whole) : builder_(builder), whole_(whole) {}

  void add(std::span<const Stored> inputs) {
    std::size_t offset = 0;
    for (std::size_t i = 0; i < inputs.size();) {
      std::size_t count = 1;
      if (builder_.may_place(inputs[i])) {
        builder_.place_inside(inputs[i], whole_, offset);
      } else if (const std::size_t pieces = pieces_of_one(inputs.subspan(i)); pieces != 0) {
        builder_.place_inside({builder_.piece(inputs[i]).first, {}}, whole_, offset);
        count = pieces;
      } else {
        builder_.reorder(inputs[i], builder_.part_of(whole_, inputs[i].desc, offset));
      }
      for (; count > 0; --count) offset += inputs[i++].desc.get_size();
    }
  }

 private:
  // How many of the inputs, from the first on, are all pieces of one buffer that may be placed, in their order.
  std::size_t pieces_of_one(std::span<const Stored> inputs) const {
    const int root = builder_.piece(inputs[0]).first;
    if (!builder_.may_place({root, {}})) return 0;
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (builder_.piece(inputs[i]) != std::pair(root, bytes)) return 0;
      bytes += inputs[i].desc.get_size();
      if (bytes == builder_.bytes_of(root)) return i + 1;
    }
    return 0;
  }

  OperatorBuilder& builder_;
  const Stored& whole_;
};

// Whether every input, brought to its place's layout, starts where a cache line does; of plain layouts any place will
// do.
bool may_be_placed(OperatorBuilder& builder, const std::vector<int>& inputs, const JoinedLayout& layout) {
  return std::ranges::all_of(inputs, [&](int input) {
    const Desc desc = layout(dims_of(builder.shape(input)));
    return is_plain(desc) || desc.get_size() % kAlignment == 0;
  });
}

bool all_lie_as(OperatorBuilder& builder, const std::vector<int>& inputs, const JoinedLayout& layout) {
  return std::ranges::all_of(
      inputs, [&](int input) { return builder.input(input).desc == layout(dims_of(builder.shape(input))); });
}

// The sizes of a Split's parts.
std::vector<std::int64_t> part_sizes(OperatorBuilder& builder, std::int64_t size) {
  const auto count = static_cast<std::int64_t>(builder.instruction().outputs.size());
  std::vector<std::int64_t> sizes;
  if (const Tensor* given = builder.constant(1)) {
    sizes = kernels::read_indices(*given, "split");
  } else {
    const std::int64_t each = (size + count - 1) / count;
    for (std::int64_t i = 0; i < count; ++i) sizes.push_back(std::clamp<std::int64_t>(size - i * each, 0, each));
  }
  if (static_cast<std::int64_t>(sizes.size()) != count || std::ranges::any_of(sizes, [](auto s) { return s < 0; }) ||
      std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0}) != size) {
    base::invalid("op.value", "{} elements cannot be split into {} parts as 'split' says", size, count);
  }
  return sizes;
}

}  // namespace

void build_concat(OperatorBuilder& builder) {
  Shape shape = builder.shape(0);
  const int axis = kernels::normalize_axis(builder.attributes().require_int("axis"), shape.rank());
  for (int i = 1; i < builder.input_count(); ++i) {
    const Shape& other = builder.shape(i);
    for (int d = 0; d < std::max(shape.rank(), other.rank()); ++d) {
      if (shape.rank() != other.rank() || (d != axis && shape[d] != other[d])) {
        base::invalid("op.shape", "inputs of shapes {} and {} cannot be joined along axis {}",
                      builder.shape(0).to_string(), other.to_string(), axis);
      }
    }
    shape[axis] += other[axis];
  }
  if (define_if_empty(builder, shape)) return;

  std::vector<int> inputs;
  std::vector<std::int64_t> sizes;
  bool blocked = false;
  Number number = Number::f32;
  for (int i = 0; i < builder.input_count(); ++i) {
    if (builder.shape(i).element_count() == 0) continue;
    inputs.push_back(i);
    sizes.push_back(builder.shape(i)[axis]);
    const Desc given = builder.input(i).desc;
    blocked = blocked || is_blocked(given);
    if (given.data_type() == Number::bf16) number = Number::bf16;
  }
  // What only leaves the block leaves it plain.
  const JoinedLayout layout(blocked && builder.is_read_inside(0), number, axis, sizes);
  const Stored to = builder.new_buffer(layout(dims_of(shape)));
  const bool in_order = is_outermost(shape, axis);
  if (in_order && may_be_placed(builder, inputs, layout)) {
    std::vector<Stored> sources;
    for (const int input : inputs) sources.push_back(builder.input(input, layout(dims_of(builder.shape(input)))));
    InPlaceConcat(builder, to).add(sources);
  } else if (all_lie_as(builder, inputs, layout)) {
    std::vector<Desc> descs;
    std::vector<Argument> arguments;
    for (const int input : inputs) {
      arguments.push_back({DNNL_ARG_MULTIPLE_SRC + static_cast<int>(descs.size()), builder.input(input)});
      descs.push_back(builder.input(input).desc);
    }
    const dnnl::concat::primitive_desc primitive(to.desc, axis, descs, engine(), user_scratchpad());
    arguments.push_back({DNNL_ARG_DST, to});
    builder.emit(dnnl::concat(primitive), std::move(arguments), primitive.scratchpad_desc());
  } else {
    Dims offsets(static_cast<std::size_t>(shape.rank()), 0);
    for (const int input : inputs) {
      const Shape& part = builder.shape(input);
      builder.reorder(builder.input(input), {to.buffer, to.desc.submemory_desc(dims_of(part), offsets)});
      offsets[static_cast<std::size_t>(axis)] += part[axis];
    }
  }
  builder.define(shape, to);
}

void build_split(OperatorBuilder& builder) {
  const Shape shape = builder.shape(0);
  const int axis = kernels::normalize_axis(builder.attributes().get_int("axis", 0), shape.rank());
  const std::vector<std::int64_t> sizes = part_sizes(builder, shape[axis]);
  const Desc given = builder.input(0).desc;
  const JoinedLayout layout(!is_plain(given), given.data_type(), axis, sizes);
  const Stored from = builder.input(0, layout(dims_of(shape)));
  Dims offsets(static_cast<std::size_t>(shape.rank()), 0);
  std::size_t offset = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    Shape part_shape = shape;
    part_shape[axis] = sizes[i];
    const Dims dims = dims_of(part_shape);
    const Desc desc = layout(dims);
    Stored part;
    if (part_shape.element_count() == 0) {
      part = builder.new_buffer(plain_desc(dims));
    } else if (is_outermost(shape, axis) && offset % kAlignment == 0 && builder.may_have_parts(from)) {
      part = builder.part_of(from, desc, offset);
    } else {
      part = builder.new_buffer(desc);
      builder.reorder({from.buffer, from.desc.submemory_desc(dims, offsets)}, part);
    }
    builder.define(part_shape, part, static_cast<int>(i));
    offset += desc.get_size();
    offsets[static_cast<std::size_t>(axis)] += sizes[i];
  }
}

}  // namespace lanner::backends::onednn
