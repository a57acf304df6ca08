// Sequences and optionals: SequenceConstruct, SequenceEmpty, SequenceInsert, SequenceErase, SequenceAt, SequenceLength,
// ConcatFromSequence, SplitToSequence, Optional, OptionalGetElement, OptionalHasElement.
//
// Tensors in a sequence own their memory, so that sequences share them: what lies in memory of the run's (a planned
// place, an array of the caller's) is copied when it is put into one.
#include <algorithm>
#include <ranges>
#include <vector>

#include "base/fail.h"
#include "kernels/kernel.h"
#include "kernels/strided.h"

namespace lanner::kernels {

namespace {

// A tensor without elements may claim any dimension; it is cut into so many parts at most.
constexpr std::int64_t kMostEmptyParts = 1 << 16;

const Sequence& sequence_input(KernelContext& context, int index) {
  const Value& value = context.input_value(index);
  if (!value.is_sequence()) base::invalid("op.input", "input {} must be a sequence, but is a tensor", index);
  return value.sequence();
}

void require_type(const Tensor& tensor, ElementType type) {
  if (tensor.element_type() != type) {
    base::invalid("op.type", "the tensors of a sequence must be of one element type, but are {} and {}",
                  element_type_name(type), element_type_name(tensor.element_type()));
  }
}

Tensor owned(const Tensor& tensor) {
  return tensor.owner() != nullptr ? tensor : tensor.clone();
}

// Input `index` as a position counted from the end if negative, in [0, last]; `otherwise` where there is none.
std::size_t position(KernelContext& context, int index, std::size_t count, std::size_t last, std::size_t otherwise) {
  if (!context.has_input(index)) return otherwise;
  const std::vector<std::int64_t> given = read_indices(context.input(index), "position");
  if (given.size() != 1) base::invalid("op.shape", "input 'position' must hold one number, but holds {}", given.size());
  const auto size = static_cast<std::int64_t>(count);
  const std::int64_t at = given[0] < 0 ? given[0] + size : given[0];
  if (given[0] < -size || at > static_cast<std::int64_t>(last)) {
    base::invalid("op.index", "position {} is outside a sequence of {} tensors", given[0], count);
  }
  return static_cast<std::size_t>(at);
}

// The part [begin, begin + size) of `axis`, as a tensor of its own.
Tensor part_of(int threads, const Tensor& data, int axis, std::int64_t begin, std::int64_t size) {
  Shape shape = data.shape();
  shape[axis] = size;
  Tensor part = Tensor::allocate(data.element_type(), shape);
  if (part.element_count() == 0) return part;
  const std::int64_t outer = shape.element_count(0, axis);
  const std::int64_t inner = shape.element_count(axis + 1, shape.rank());
  StridedBlock block;
  block.add(outer, data.shape()[axis] * inner, size * inner);
  block.add(size * inner, 1, 1);
  copy_block(threads, block, data.element_type(), element_at(data.element_type(), data.raw_data(), begin * inner),
             part.raw_data());
  return part;
}

Tensor without_axis(const Tensor& tensor, int axis) {
  Shape shape;
  for (int i = 0; i < tensor.rank(); ++i) {
    if (i != axis) shape.push_back(tensor.shape()[i]);
  }
  return tensor.reshaped(shape);
}

// The sizes of a SplitToSequence's parts.
std::vector<std::int64_t> split_sizes(const Tensor& data, const Tensor* split, std::int64_t dim) {
  std::vector<std::int64_t> sizes = split != nullptr ? read_indices(*split, "split") : std::vector<std::int64_t>{1};
  if (split == nullptr || split->rank() == 0) {
    const std::int64_t size = sizes[0];
    if (size <= 0) base::invalid("op.value", "the size of parts must be positive, but is {}", size);
    if (data.element_count() == 0 && dim / size > kMostEmptyParts) {
      base::invalid("op.size", "a tensor of shape {} cannot be split into parts of {}", data.shape().to_string(), size);
    }
    sizes.assign(static_cast<std::size_t>(dim / size), size);
    if (dim % size != 0) sizes.push_back(dim % size);
    return sizes;
  }
  std::int64_t rest = dim;
  for (const std::int64_t size : sizes) {
    if (size < 0 || size > rest) rest = -1;
    if (rest < 0) break;
    rest -= size;
  }
  if (rest != 0) {
    base::invalid("op.shape", "sizes [{}] do not split a dimension of {}", fmt::join(sizes, ","), dim);
  }
  return sizes;
}

void concat_sequence(KernelContext& context, std::int64_t wanted_axis, bool new_axis) {
  const Sequence& parts = sequence_input(context, 0);
  if (parts.empty())
    base::invalid("op.value", "ConcatFromSequence needs at least one tensor, but the sequence is empty");
  const Tensor& first = parts.front();
  const int rank = first.rank() + (new_axis ? 1 : 0);
  const int axis = normalize_axis(wanted_axis, rank);
  Shape shape;
  for (int i = 0; i < rank; ++i) {
    shape.push_back(new_axis && i == axis ? 1 : first.shape()[new_axis && i > axis ? i - 1 : i]);
  }
  std::int64_t joined = 0;
  for (const Tensor& part : parts) {
    require_type(part, first.element_type());
    const bool alike = part.rank() == first.rank() && std::ranges::all_of(std::views::iota(0, part.rank()), [&](int i) {
                         return part.shape()[i] == first.shape()[i] || (!new_axis && i == axis);
                       });
    if (!alike) {
      base::invalid("op.shape", "tensors of shapes {} and {} cannot be joined along axis {}", first.shape().to_string(),
                    part.shape().to_string(), axis);
    }
    if (__builtin_add_overflow(joined, new_axis ? 1 : part.shape()[axis], &joined)) {
      base::invalid("op.size", "the joined dimension is too large");
    }
  }
  shape[axis] = joined;
  const ElementType type = first.element_type();
  Tensor& out = context.allocate_output(0, type, shape);
  if (out.element_count() == 0) return;
  const std::int64_t outer = shape.element_count(0, axis);
  const std::int64_t inner = shape.element_count(axis + 1, rank);
  std::int64_t offset = 0;
  for (const Tensor& part : parts) {
    const std::int64_t length = (new_axis ? 1 : part.shape()[axis]) * inner;
    StridedBlock block;
    block.add(outer, length, joined * inner);
    block.add(length, 1, 1);
    copy_block(context.threads(), block, type, part.raw_data(), element_at(type, out.raw_data(), offset));
    offset += length;
  }
}

}  // namespace

std::unique_ptr<Kernel> make_SequenceConstruct(const KernelInfo&) {
  return make_kernel([](KernelContext& context) {
    Sequence sequence;
    for (int i = 0; i < context.input_count(); ++i) {
      require_type(context.input(i), context.input(0).element_type());
      sequence.push_back(owned(context.input(i)));
    }
    context.set_output(0, std::move(sequence));
  });
}

std::unique_ptr<Kernel> make_SequenceEmpty(const KernelInfo&) {
  return make_kernel([](KernelContext& context) { context.set_output(0, Sequence()); });
}

std::unique_ptr<Kernel> make_SequenceInsert(const KernelInfo&) {
  return make_kernel([](KernelContext& context) {
    Sequence sequence = sequence_input(context, 0);
    const Tensor& tensor = context.input(1);
    if (!sequence.empty()) require_type(tensor, sequence.front().element_type());
    const std::size_t at = position(context, 2, sequence.size(), sequence.size(), sequence.size());
    sequence.insert(sequence.begin() + static_cast<std::ptrdiff_t>(at), owned(tensor));
    context.set_output(0, std::move(sequence));
  });
}

std::unique_ptr<Kernel> make_SequenceErase(const KernelInfo&) {
  return make_kernel([](KernelContext& context) {
    Sequence sequence = sequence_input(context, 0);
    if (sequence.empty()) base::invalid("op.index", "there is nothing to erase from an empty sequence");
    const std::size_t last = sequence.size() - 1;
    const std::size_t at = position(context, 1, sequence.size(), last, last);
    sequence.erase(sequence.begin() + static_cast<std::ptrdiff_t>(at));
    context.set_output(0, std::move(sequence));
  });
}

std::unique_ptr<Kernel> make_SequenceAt(const KernelInfo&) {
  return make_kernel([](KernelContext& context) {
    const Sequence& sequence = sequence_input(context, 0);
    if (sequence.empty()) base::invalid("op.index", "an empty sequence has no tensors");
    const std::size_t at = position(context, 1, sequence.size(), sequence.size() - 1, 0);
    context.set_output(0, owned(sequence[at]));
  });
}

std::unique_ptr<Kernel> make_SequenceLength(const KernelInfo&) {
  return make_kernel([](KernelContext& context) {
    const auto count = static_cast<std::int64_t>(sequence_input(context, 0).size());
    *context.allocate_output(0, ElementType::kInt64, {}).data<std::int64_t>() = count;
  });
}

std::unique_ptr<Kernel> make_ConcatFromSequence(const KernelInfo& info) {
  const std::int64_t axis = info.attributes.require_int("axis");
  const bool new_axis = info.attributes.get_int("new_axis", 0) != 0;
  return make_kernel([axis, new_axis](KernelContext& context) { concat_sequence(context, axis, new_axis); });
}

std::unique_ptr<Kernel> make_SplitToSequence(const KernelInfo& info) {
  const std::int64_t wanted = info.attributes.get_int("axis", 0);
  const bool keep_dims = info.attributes.get_int("keepdims", 1) != 0;
  return make_kernel([wanted, keep_dims](KernelContext& context) {
    const Tensor& data = context.input(0);
    const Tensor* split = context.optional_input(1);
    const int axis = normalize_axis(wanted, data.rank());
    Sequence sequence;
    std::int64_t begin = 0;
    for (const std::int64_t size : split_sizes(data, split, data.shape()[axis])) {
      Tensor part = part_of(context.threads(), data, axis, begin, size);
      sequence.push_back(split == nullptr && !keep_dims ? without_axis(part, axis) : std::move(part));
      begin += size;
    }
    context.set_output(0, std::move(sequence));
  });
}

std::unique_ptr<Kernel> make_Optional(const KernelInfo&) {
  return make_kernel([](KernelContext& context) {
    if (!context.has_input(0)) return context.set_output(0, Value());
    const Value& value = context.input_value(0);
    context.set_output(0, value.is_tensor() ? Value(owned(value.tensor())) : value);
  });
}

std::unique_ptr<Kernel> make_OptionalGetElement(const KernelInfo&) {
  return make_kernel([](KernelContext& context) {
    if (!context.has_input(0)) base::invalid("op.value", "the optional is empty");
    const Value& value = context.input_value(0);
    context.set_output(0, value.is_tensor() ? Value(owned(value.tensor())) : value);
  });
}

std::unique_ptr<Kernel> make_OptionalHasElement(const KernelInfo&) {
  return make_kernel([](KernelContext& context) {
    *context.allocate_output(0, ElementType::kBool, {}).data<bool>() = context.has_input(0);
  });
}

}  // namespace lanner::kernels
