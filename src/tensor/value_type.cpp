#include "tensor/value_type.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

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
  for (const Dim& dim : dims) {
    if (!dim.known()) return std::nullopt;
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
      if (dims[i].known())
        text += fmt::to_string(dims[i].size);
      else
        text += dims[i].symbol.empty() ? "?" : dims[i].symbol;
    }
    text += ']';
  }
  if (kind == Kind::kSequence) return "sequence(" + text + ")";
  if (kind == Kind::kOptional) return "optional(" + text + ")";
  return text;
}

std::optional<ValueType> ValueType::parse(std::string_view text) {
  if (text == "unknown") return ValueType{};
  for (const auto& [prefix, kind] : {std::pair<std::string_view, Kind>{"sequence(", Kind::kSequence},
                                     std::pair<std::string_view, Kind>{"optional(", Kind::kOptional}}) {
    if (!text.starts_with(prefix)) continue;
    if (!text.ends_with(")")) return std::nullopt;
    std::optional<ValueType> inner = parse(text.substr(prefix.size(), text.size() - prefix.size() - 1));
    if (!inner || inner->kind != Kind::kTensor) return std::nullopt;
    inner->kind = kind;
    return inner;
  }
  const std::size_t bracket = text.find('[');
  ValueType type = unranked(element_type_from_name(text.substr(0, bracket)));
  if (type.element == ElementType::kUndefined && text.substr(0, bracket) != "undefined") return std::nullopt;
  if (bracket == std::string_view::npos) return type;
  if (!text.ends_with("]")) return std::nullopt;
  type.ranked = true;
  std::string_view rest = text.substr(bracket + 1, text.size() - bracket - 2);
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    const std::string_view word = rest.substr(0, comma);
    if (word.empty()) return std::nullopt;
    Dim dim;
    if (word[0] == '-' || (word[0] >= '0' && word[0] <= '9')) {
      const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), dim.size);
      if (error != std::errc{} || end != word.data() + word.size() || dim.size < 0) return std::nullopt;
    } else if (word != "?") {
      dim.symbol = word;
    }
    type.dims.push_back(std::move(dim));
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
    if (rest.empty()) return std::nullopt;
  }
  return type;
}

}  // namespace lanner::tensor
