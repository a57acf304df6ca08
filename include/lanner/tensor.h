// Element types, shapes, tensors and values: what goes into a session and comes out of it.
// A Tensor is a dense, row-major array; copying one shares its memory.
#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "lanner/export.h"

namespace lanner {

// ONNX's tensor element types; the numbers are those of TensorProto.DataType.
enum class ElementType : std::uint8_t {
  kUndefined = 0,
  kFloat32 = 1,
  kUint8 = 2,
  kInt8 = 3,
  kUint16 = 4,
  kInt16 = 5,
  kInt32 = 6,
  kInt64 = 7,
  kString = 8,
  kBool = 9,
  kFloat16 = 10,
  kFloat64 = 11,
  kUint32 = 12,
  kUint64 = 13,
  kComplex64 = 14,
  kComplex128 = 15,
  kBfloat16 = 16,
  kFloat8E4M3FN = 17,
  kFloat8E4M3FNUZ = 18,
  kFloat8E5M2 = 19,
  kFloat8E5M2FNUZ = 20,
  kUint4 = 21,
  kInt4 = 22,
  kFloat4E2M1 = 23,
  kFloat8E8M0 = 24,
  kUint2 = 25,
  kInt2 = 26,
};

// Bits per element: 32 for kFloat32, 8 for kBool, 4 for kInt4. Strings have the size of a std::string; 0 for
// kUndefined.
LANNER_EXPORT int element_bits(ElementType type);
// Bytes of an element in memory. Types below 8 bits take one: the low bits count, the others are written as 0.
LANNER_EXPORT int element_bytes(ElementType type);
// NumPy's name for the type: "float32", "int64", "bool", "string"; "undefined" for anything unknown.
LANNER_EXPORT std::string_view element_type_name(ElementType type);
// The inverse of element_type_name; kUndefined for a name that is none.
LANNER_EXPORT ElementType element_type_from_name(std::string_view name);

// The element type that holds C++ type T: bool, the fixed-size integers, float, double, std::string, or a type that
// names its own as T::kElementType.
template <typename T>
constexpr ElementType element_type_of() {
  using U = std::remove_cv_t<T>;
  if constexpr (std::is_same_v<U, float>)
    return ElementType::kFloat32;
  else if constexpr (std::is_same_v<U, double>)
    return ElementType::kFloat64;
  else if constexpr (std::is_same_v<U, bool>)
    return ElementType::kBool;
  else if constexpr (std::is_same_v<U, std::int8_t>)
    return ElementType::kInt8;
  else if constexpr (std::is_same_v<U, std::int16_t>)
    return ElementType::kInt16;
  else if constexpr (std::is_same_v<U, std::int32_t>)
    return ElementType::kInt32;
  else if constexpr (std::is_same_v<U, std::int64_t>)
    return ElementType::kInt64;
  else if constexpr (std::is_same_v<U, std::uint8_t>)
    return ElementType::kUint8;
  else if constexpr (std::is_same_v<U, std::uint16_t>)
    return ElementType::kUint16;
  else if constexpr (std::is_same_v<U, std::uint32_t>)
    return ElementType::kUint32;
  else if constexpr (std::is_same_v<U, std::uint64_t>)
    return ElementType::kUint64;
  else if constexpr (std::is_same_v<U, std::string>)
    return ElementType::kString;
  else if constexpr (requires { U::kElementType; })
    return U::kElementType;
  else
    static_assert(!sizeof(U), "no ONNX element type for this C++ type");
}

// Dimensions of a tensor, outermost first; rank 0 is a scalar. At most kMaxRank dimensions, held inline.
class LANNER_EXPORT Shape {
 public:
  static constexpr int kMaxRank = 8;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims) : Shape(std::span<const std::int64_t>(dims.begin(), dims.size())) {}
  // Throws `op.rank` for more than kMaxRank dimensions and `op.shape` for a negative one.
  explicit Shape(std::span<const std::int64_t> dims);

  int rank() const { return rank_; }
  std::int64_t operator[](int axis) const {
    assert(axis >= 0 && axis < rank_);
    return dims_[static_cast<std::size_t>(axis)];
  }
  std::int64_t& operator[](int axis) {
    assert(axis >= 0 && axis < rank_);
    return dims_[static_cast<std::size_t>(axis)];
  }
  std::span<const std::int64_t> dims() const { return {dims_.data(), static_cast<std::size_t>(rank_)}; }
  auto begin() const { return dims().begin(); }
  auto end() const { return dims().end(); }

  // Product of all dimensions, 1 for a scalar. Throws `op.size` when it does not fit 63 bits.
  std::int64_t element_count() const { return element_count(0, rank_); }
  // Product of the dimensions first .. last-1, 1 when there are none.
  std::int64_t element_count(int first, int last) const;
  // Throws `op.rank` when full.
  void push_back(std::int64_t dim);

  friend bool operator==(const Shape& a, const Shape& b) {
    if (a.rank_ != b.rank_) return false;
    for (int i = 0; i < a.rank_; ++i) {
      if (a[i] != b[i]) return false;
    }
    return true;
  }

  // "[1,3,300,300]"
  std::string to_string() const;

 private:
  std::array<std::int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

// Memory for tensors. Implementations state their own thread safety.
class LANNER_EXPORT Allocator {
 public:
  virtual ~Allocator() = default;
  // At least `byte_count` bytes aligned to 64, released when the last owner goes. Throws `memory.exhausted`.
  virtual std::shared_ptr<void> allocate(std::size_t byte_count) = 0;
};

// The general heap. Thread-safe.
LANNER_EXPORT Allocator& heap_allocator();

// A dense, row-major array with shared memory. A default-constructed one is "no tensor": kUndefined, rank 0, no data.
// Distinct Tensor objects may be used from several threads; writing elements needs the caller's own order.
class LANNER_EXPORT Tensor {
 public:
  Tensor() = default;
  // Uninitialised memory (constructed empty strings for kString). Throws `op.size` on overflow, `memory.exhausted`.
  static Tensor allocate(ElementType type, const Shape& shape, Allocator& allocator = heap_allocator());
  // A tensor over memory that somebody else owns; with `owner` set, it is kept alive by this tensor and its copies.
  static Tensor wrap(ElementType type, const Shape& shape, void* data, std::shared_ptr<void> owner = nullptr);
  // Copies `values`; their number must be the shape's.
  template <typename T>
  static Tensor of(const Shape& shape, std::span<const T> values);
  template <typename T>
  static Tensor of(const Shape& shape, std::initializer_list<T> values) {
    return of<T>(shape, std::span<const T>(values.begin(), values.size()));
  }
  // A tensor of rank 0.
  template <typename T>
  static Tensor scalar(T value) {
    Tensor tensor = allocate(element_type_of<T>(), {});
    *tensor.data<T>() = std::move(value);
    return tensor;
  }

  bool defined() const { return type_ != ElementType::kUndefined; }
  ElementType element_type() const { return type_; }
  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  std::int64_t element_count() const { return shape_.element_count(); }
  // Bytes of the elements in memory.
  std::size_t byte_count() const;

  const void* raw_data() const { return data_; }
  void* raw_data() { return data_; }
  // T must be the C++ type of the element type.
  template <typename T>
  const T* data() const {
    assert(element_type_of<T>() == type_);
    return static_cast<const T*>(data_);
  }
  template <typename T>
  T* data() {
    assert(element_type_of<T>() == type_);
    return static_cast<T*>(data_);
  }
  template <typename T>
  std::span<const T> values() const {
    return {data<T>(), static_cast<std::size_t>(element_count())};
  }
  template <typename T>
  std::span<T> values() {
    return {data<T>(), static_cast<std::size_t>(element_count())};
  }

  const std::shared_ptr<void>& owner() const { return owner_; }
  // The same elements under another shape of as many elements; shares the memory.
  Tensor reshaped(const Shape& shape) const;
  // A deep copy on its own memory.
  Tensor clone(Allocator& allocator = heap_allocator()) const;
  // "float32[1,3,300,300]"
  std::string type_string() const;

 private:
  ElementType type_ = ElementType::kUndefined;
  Shape shape_;
  void* data_ = nullptr;
  std::shared_ptr<void> owner_;
};

using Sequence = std::vector<Tensor>;

// What a slot holds: nothing (an empty optional), a tensor, or a sequence of tensors.
class Value {
 public:
  Value() = default;
  Value(Tensor tensor) : held_(std::move(tensor)) {}        // NOLINT: a tensor is a value
  Value(Sequence sequence) : held_(std::move(sequence)) {}  // NOLINT: a sequence is a value

  bool is_none() const { return std::holds_alternative<std::monostate>(held_); }
  bool is_tensor() const { return std::holds_alternative<Tensor>(held_); }
  bool is_sequence() const { return std::holds_alternative<Sequence>(held_); }
  const Tensor& tensor() const { return std::get<Tensor>(held_); }
  Tensor& tensor() { return std::get<Tensor>(held_); }
  const Sequence& sequence() const { return std::get<Sequence>(held_); }
  Sequence& sequence() { return std::get<Sequence>(held_); }
  void reset() { held_ = std::monostate{}; }

 private:
  std::variant<std::monostate, Tensor, Sequence> held_;
};

template <typename T>
Tensor Tensor::of(const Shape& shape, std::span<const T> values) {
  assert(static_cast<std::int64_t>(values.size()) == shape.element_count());
  Tensor tensor = allocate(element_type_of<T>(), shape);
  T* out = tensor.data<T>();
  for (const T& value : values) *out++ = value;
  return tensor;
}

}  // namespace lanner
