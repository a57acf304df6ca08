// What is known of a value before it exists: element type, and dimensions that may be unknown or named.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lanner/tensor.h"

namespace lanner::tensor {

struct Dim {
  std::int64_t size = -1;  // -1: not known
  std::string symbol;      // the model's name for an unknown dimension, such as "batch"; may be empty

  bool known() const { return size >= 0; }
  friend bool operator==(const Dim&, const Dim&) = default;
};

struct ValueType {
  enum class Kind : std::uint8_t { kUnknown, kTensor, kSequence, kOptional, kOptionalSequence };

  Kind kind = Kind::kUnknown;
  ElementType element = ElementType::kUndefined;  // of the tensor, or of the tensors in it
  bool ranked = false;                            // whether `dims` means anything
  std::vector<Dim> dims;

  static ValueType tensor(ElementType element, const Shape& shape);
  static ValueType unranked(ElementType element);
  static ValueType of(const Tensor& tensor) { return ValueType::tensor(tensor.element_type(), tensor.shape()); }

  bool is_tensor() const { return kind == Kind::kTensor; }
  // The shape when every dimension is known, there are at most Shape::kMaxRank, and the elements can be counted.
  std::optional<Shape> static_shape() const;
  // Whether a value could have both types: unknown parts agree with anything.
  bool compatible_with(const ValueType& other) const;
  // Takes over from `other` what is unknown here.
  void refine(const ValueType& other);
  // Whether `tensor` is of this type.
  bool accepts(const Tensor& tensor) const;

  // "float32[1,3,height,?]", "float32" without known rank, "sequence(float32[?])", "optional(...)",
  // "optional(sequence(...))", "unknown". A dimension's name that is no identifier is quoted: float32["2*height + 1"].
  std::string to_string() const;
  // The inverse of to_string(); nothing for text that is no type.
  static std::optional<ValueType> parse(std::string_view text);

  friend bool operator==(const ValueType&, const ValueType&) = default;
};

}  // namespace lanner::tensor
