#include "tensor/value_type.h"

#include <fmt/format.h>

#include <algorithm>

#include "lanner/error.h"
#include "tensor/text.h"

namespace lanner::tensor {

ValueType ValueType::tensor(ElementType element, const Shape& shape) {
  ValueType type = unranked(element);
  type.ranked = true;
  for (const std::int64_t dim : shape) type.dims.push_back({dim, {}});
  return type;
}

ValueType ValueType::unranked(ElementType element) {
  ValueType type;
  type.kind = Kind::kTensor;
  type.element = element;
  return type;
}

std::optional<Shape> ValueType::static_shape() const {
  if (!is_tensor() || !ranked || dims.size() > Shape::kMaxRank) return std::nullopt;
  Shape shape;
  std::int64_t count = 1;
  for (const Dim& dim : dims) {
    if (!dim.known() || (dim.size != 0 && __builtin_mul_overflow(count, dim.size, &count))) return std::nullopt;
    shape.push_back(dim.size);
  }
  return shape;
}

bool ValueType::compatible_with(const ValueType& other) const {
  if (kind == Kind::kUnknown || other.kind == Kind::kUnknown) return true;
  if (kind != other.kind) return false;
  if (element != ElementType::kUndefined && other.element != ElementType::kUndefined && element != other.element) {
    return false;
  }
  if (!ranked || !other.ranked) return true;
  return std::ranges::equal(dims, other.dims,
                            [](const Dim& a, const Dim& b) { return !a.known() || !b.known() || a.size == b.size; });
}

void ValueType::refine(const ValueType& other) {
  if (kind == Kind::kUnknown) {
    *this = other;
    return;
  }
  if (kind != other.kind) return;
  if (element == ElementType::kUndefined) element = other.element;
  if (!ranked) {
    ranked = other.ranked;
    dims = other.dims;
    return;
  }
  if (!other.ranked || dims.size() != other.dims.size()) return;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if (dims[i].known()) continue;
    if (other.dims[i].known())
      dims[i] = other.dims[i];
    else if (dims[i].symbol.empty())
      dims[i].symbol = other.dims[i].symbol;
  }
}

bool ValueType::accepts(const Tensor& tensor) const {
  return kind == Kind::kUnknown || (is_tensor() && compatible_with(of(tensor)));
}

std::string ValueType::to_string() const {
  if (kind == Kind::kUnknown) return "unknown";
  std::string text(element_type_name(element));
  if (ranked) {
    text += '[';
    for (std::size_t i = 0; i < dims.size(); ++i) {
      if (i != 0) text += ',';
      const std::string& symbol = dims[i].symbol;
      if (dims[i].known())
        text += fmt::to_string(dims[i].size);
      else if (symbol.empty())
        text += '?';
      else
        text += is_identifier(symbol) ? symbol : quoted(symbol);
    }
    text += ']';
  }
  if (kind == Kind::kSequence) return "sequence(" + text + ")";
  if (kind == Kind::kOptional) return "optional(" + text + ")";
  if (kind == Kind::kOptionalSequence) return "optional(sequence(" + text + "))";
  return text;
}

std::optional<ValueType> ValueType::parse(std::string_view text) {
  try {
    Scanner scanner(text);
    ValueType type = scanner.value_type();
    if (!scanner.at_end()) return std::nullopt;
    return type;
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace lanner::tensor
