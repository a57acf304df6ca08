// Element type names, shape arithmetic and the memory of tensors.
#include "lanner/tensor.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include "base/fail.h"
#include "base/memory.h"

namespace lanner {

namespace {

struct ElementTypeRow {
  ElementType type;
  std::string_view name;
  int bits;
};

constexpr ElementTypeRow kElementTypes[] = {
    {ElementType::kFloat32, "float32", 32},
    {ElementType::kUint8, "uint8", 8},
    {ElementType::kInt8, "int8", 8},
    {ElementType::kUint16, "uint16", 16},
    {ElementType::kInt16, "int16", 16},
    {ElementType::kInt32, "int32", 32},
    {ElementType::kInt64, "int64", 64},
    {ElementType::kString, "string", 8 * sizeof(std::string)},
    {ElementType::kBool, "bool", 8},
    {ElementType::kFloat16, "float16", 16},
    {ElementType::kFloat64, "float64", 64},
    {ElementType::kUint32, "uint32", 32},
    {ElementType::kUint64, "uint64", 64},
    {ElementType::kComplex64, "complex64", 64},
    {ElementType::kComplex128, "complex128", 128},
    {ElementType::kBfloat16, "bfloat16", 16},
    {ElementType::kFloat8E4M3FN, "float8_e4m3fn", 8},
    {ElementType::kFloat8E4M3FNUZ, "float8_e4m3fnuz", 8},
    {ElementType::kFloat8E5M2, "float8_e5m2", 8},
    {ElementType::kFloat8E5M2FNUZ, "float8_e5m2fnuz", 8},
    {ElementType::kUint4, "uint4", 4},
    {ElementType::kInt4, "int4", 4},
    {ElementType::kFloat4E2M1, "float4_e2m1fn", 4},
    {ElementType::kFloat8E8M0, "float8_e8m0fnu", 8},
    {ElementType::kUint2, "uint2", 2},
    {ElementType::kInt2, "int2", 2},
};

// Bytes of `shape` elements of `type`; throws where the product does not fit. A tensor without elements is held to the
// same, with its zeros left out, so that the strides of every tensor there is can be computed.
std::size_t checked_byte_count(ElementType type, const Shape& shape) {
  std::int64_t bytes = element_bytes(type);
  bool empty = bytes == 0;
  bool overflow = false;
  for (const std::int64_t dim : shape) {
    if (dim < 0) base::invalid("op.shape", "a dimension must not be negative, but one is {}", dim);
    empty = empty || dim == 0;
    overflow = overflow || __builtin_mul_overflow(bytes, dim != 0 ? dim : 1, &bytes);
  }
  if (overflow || bytes > INT64_MAX / 8) {
    base::invalid("op.size", "a tensor {}{} is too large to address", element_type_name(type), shape.to_string());
  }
  return empty ? 0 : static_cast<std::size_t>(bytes);
}

[[noreturn]] void exhausted(std::size_t byte_count) {
  base::fail(ErrorCode::kResourceExhausted, "memory.exhausted", "cannot allocate {} bytes", byte_count);
}

class HeapAllocator final : public Allocator {
 public:
  std::shared_ptr<void> allocate(std::size_t byte_count) override { return base::allocate_shared_memory(byte_count); }
};

}  // namespace

int element_bits(ElementType type) {
  for (const ElementTypeRow& row : kElementTypes) {
    if (row.type == type) return row.bits;
  }
  return 0;
}

int element_bytes(ElementType type) {
  return (element_bits(type) + 7) / 8;
}

std::string_view element_type_name(ElementType type) {
  for (const ElementTypeRow& row : kElementTypes) {
    if (row.type == type) return row.name;
  }
  return "undefined";
}

ElementType element_type_from_name(std::string_view name) {
  for (const ElementTypeRow& row : kElementTypes) {
    if (row.name == name) return row.type;
  }
  return ElementType::kUndefined;
}

Shape::Shape(std::span<const std::int64_t> dims) {
  if (dims.size() > kMaxRank) {
    base::invalid("op.rank", "a tensor may have at most {} dimensions, but this one has {}", kMaxRank, dims.size());
  }
  for (const std::int64_t dim : dims) {
    if (dim < 0) base::invalid("op.shape", "a dimension must not be negative, but one is {}", dim);
    dims_[static_cast<std::size_t>(rank_++)] = dim;
  }
}

std::int64_t Shape::element_count(int first, int last) const {
  // A zero anywhere makes the product zero, even where the other dimensions alone would overflow.
  std::int64_t count = 1;
  bool overflow = false;
  for (int i = first; i < last; ++i) {
    if ((*this)[i] < 0) base::invalid("op.shape", "a dimension must not be negative, but one is {}", (*this)[i]);
    if ((*this)[i] == 0) return 0;
    overflow = overflow || __builtin_mul_overflow(count, (*this)[i], &count);
  }
  if (overflow) base::invalid("op.size", "shape {} has more elements than can be counted", to_string());
  return count;
}

void Shape::push_back(std::int64_t dim) {
  if (rank_ == kMaxRank) {
    base::invalid("op.rank", "a tensor may have at most {} dimensions", kMaxRank);
  }
  if (dim < 0) base::invalid("op.shape", "a dimension must not be negative, but one is {}", dim);
  dims_[static_cast<std::size_t>(rank_++)] = dim;
}

std::string Shape::to_string() const {
  return fmt::format("[{}]", fmt::join(dims().begin(), dims().end(), ","));
}

Allocator& heap_allocator() {
  static HeapAllocator allocator;
  return allocator;
}

Tensor Tensor::allocate(ElementType type, const Shape& shape, Allocator& allocator) {
  Tensor tensor;
  tensor.type_ = type;
  tensor.shape_ = shape;
  const std::size_t bytes = checked_byte_count(type, shape);
  if (type == ElementType::kString) {
    std::shared_ptr<std::vector<std::string>> strings;
    try {
      strings = std::make_shared<std::vector<std::string>>(static_cast<std::size_t>(shape.element_count()));
    } catch (const std::bad_alloc&) {
      exhausted(bytes);
    }
    tensor.data_ = strings->data();
    tensor.owner_ = std::move(strings);
  } else {
    tensor.owner_ = allocator.allocate(bytes);
    tensor.data_ = tensor.owner_.get();
  }
  return tensor;
}

Tensor Tensor::wrap(ElementType type, const Shape& shape, void* data, std::shared_ptr<void> owner) {
  checked_byte_count(type, shape);
  Tensor tensor;
  tensor.type_ = type;
  tensor.shape_ = shape;
  tensor.data_ = data;
  tensor.owner_ = std::move(owner);
  return tensor;
}

std::size_t Tensor::byte_count() const {
  return checked_byte_count(type_, shape_);
}

Tensor Tensor::reshaped(const Shape& shape) const {
  assert(shape.element_count() == element_count());
  checked_byte_count(type_, shape);
  Tensor result = *this;
  result.shape_ = shape;
  return result;
}

Tensor Tensor::clone(Allocator& allocator) const {
  if (!defined()) return {};
  Tensor copy = allocate(type_, shape_, allocator);
  if (type_ == ElementType::kString) {
    const std::span<const std::string> from = values<std::string>();
    std::copy(from.begin(), from.end(), copy.data<std::string>());
  } else if (byte_count() != 0) {
    std::memcpy(copy.data_, data_, byte_count());
  }
  return copy;
}

std::string Tensor::type_string() const {
  return std::string(element_type_name(type_)) + shape_.to_string();
}

}  // namespace lanner
