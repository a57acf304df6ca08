// Arithmetic on shapes and limits, and numbers that are repeated for each row.
#include <algorithm>

#include "lanner/error.h"
#include "passes/evaluate.h"
#include "passes/selection_reader.h"

namespace lanner::passes {

namespace {

constexpr std::size_t kMaxNumbers = 16;
// Whole numbers up to here are exact in float32, and a greater one does not round to less.
constexpr std::int64_t kMaxExact = 1 << 24;

}  // namespace

std::optional<std::vector<Number>> Reader::numbers(ValueId value) {
  if (value == kNoValue) return std::nullopt;
  const auto found = s_.meanings_.find(value);
  if (found != s_.meanings_.end() && found->second.kind == Kind::kNumbers) return found->second.numbers;
  value = scalar(value);
  const ValueType& type = type_of(graph_, value);
  if (type.element == ElementType::kFloat32) return whole_numbers(value);
  if (!is_int(type.element)) return std::nullopt;
  const std::optional<Shape> shape = type.static_shape();
  if (!shape || shape->rank() > 1 || shape->element_count() > static_cast<std::int64_t>(kMaxNumbers)) {
    return std::nullopt;
  }
  std::vector<Number> result;
  if (const auto constants = constant_ints(graph_, value)) {
    for (const std::int64_t constant : *constants) result.push_back(constant_number(constant));
  } else if (shape->element_count() == 1) {
    Number number;
    number.kind = Number::Kind::kValue;
    number.value = value;
    result.push_back(number);
  } else {
    result.resize(static_cast<std::size_t>(shape->element_count()));
  }
  return result;
}

std::optional<std::vector<Number>> Reader::whole_numbers(ValueId value) {
  const std::optional<double> constant = constant_scalar(graph_, value);
  if (!constant || !(*constant >= 0 && *constant <= kMaxExact)) return std::nullopt;
  const auto whole = static_cast<std::int64_t>(*constant);
  if (static_cast<double>(whole) != *constant) return std::nullopt;
  return std::vector<Number>{constant_number(whole)};
}

ValueId Reader::scalar(ValueId value) {
  const auto found = s_.meanings_.find(value);
  if (found == s_.meanings_.end() || found->second.kind != Kind::kData || found->second.rows != nullptr) return value;
  const ValueId base = found->second.layout.base;
  const std::optional<Shape> shape = type_of(graph_, base).static_shape();
  return shape && shape->element_count() == 1 ? base : value;
}

std::optional<Number> Reader::number(ValueId value) {
  const auto all = numbers(value);
  if (!all || all->size() != 1) return std::nullopt;
  return (*all)[0];
}

Meaning Reader::of_numbers(std::vector<Number> numbers, bool scalar) {
  Meaning meaning;
  meaning.kind = Kind::kNumbers;
  if (!scalar) meaning.layout = *layout_of({static_cast<std::int64_t>(numbers.size())});
  meaning.numbers = std::move(numbers);
  return meaning;
}

std::optional<Meaning> Reader::cast(const Node& node) {
  std::optional<Meaning> meaning = known(input(node, 0));
  if (!meaning) return std::nullopt;
  const auto to = static_cast<ElementType>(node.attributes.get_int("to", 0));
  const ElementType from = type_of(graph_, input(node, 0)).element;
  if (meaning->kind == Kind::kFill) return fill_arithmetic(node);
  if (meaning->kind == Kind::kMask) {
    // Only whether it is zero counts.
    return to == ElementType::kBool || to == ElementType::kFloat32 || is_int(to) ? meaning : std::nullopt;
  }
  if (from == to && from != ElementType::kUndefined) return meaning;
  if (meaning->kind == Kind::kNumbers && (to == ElementType::kFloat32 || from == ElementType::kFloat32)) {
    return float_cast(*meaning, to);
  }
  if (meaning->kind == Kind::kNumbers || (is_int(from) && is_int(to) && meaning->kind == Kind::kData)) {
    const auto elements = numbers(input(node, 0));
    if (!elements || !is_int(to)) return std::nullopt;
    // A length fits either type; another number may not.
    if (to == ElementType::kInt32 && std::ranges::any_of(*elements, [](const Number& number) {
          return number.kind == Number::Kind::kValue || number.kind == Number::Kind::kUnknown ||
                 (number.kind == Number::Kind::kConstant && number.constant > kForever);
        })) {
      return std::nullopt;
    }
    return of_numbers(*elements, meaning->layout.rank() == 0);
  }
  const bool index =
      meaning->kind == Kind::kIndex || (meaning->kind == Kind::kPadded && meaning->inner == Kind::kIndex);
  if (!index || !is_int(to)) return std::nullopt;
  return meaning;
}

std::optional<Meaning> Reader::float_cast(Meaning meaning, ElementType to) {
  if (to != ElementType::kFloat32 && !is_int(to)) return std::nullopt;
  for (Number& number : meaning.numbers) {
    const bool small = (number.kind == Number::Kind::kConstant || number.kind == Number::Kind::kCapped) &&
                       number.value == kNoValue && number.constant >= 0 && number.constant <= kMaxExact;
    if (small) continue;
    if (number.kind != Number::Kind::kLength || to != ElementType::kFloat32) return std::nullopt;
    number.rounded = true;
  }
  return meaning;
}

std::optional<Meaning> Reader::shape(const Node& node) {
  const std::optional<Meaning> meaning = known(input(node, 0));
  if (!meaning || meaning->kind == Kind::kNumbers || meaning->kind == Kind::kRest) return std::nullopt;
  const View& layout = meaning->layout;
  const auto bound = [&](std::int64_t axis) {
    return static_cast<int>(std::clamp<std::int64_t>(axis < 0 ? axis + layout.rank() : axis, 0, layout.rank()));
  };
  std::vector<Number> result;
  const int end = bound(node.attributes.get_int("end", layout.rank()));
  for (int axis = bound(node.attributes.get_int("start", 0)); axis < end; ++axis) {
    const std::int64_t size = layout.dims[at(axis)];
    Number number = constant_number(size);
    if (size == View::kOpen) {
      number.kind = meaning->rows == nullptr ? Number::Kind::kUnknown : Number::Kind::kLength;
      number.constant = 0;
      number.rows = meaning->rows;
    }
    result.push_back(std::move(number));
  }
  return of_numbers(std::move(result));
}

std::optional<Meaning> Reader::padded(const Node& node) {
  if (node.inputs.size() != 2 || node.attributes.get_int("axis", 0) != 0) return std::nullopt;
  const Meaning* list = s_.of(node.inputs[0]);
  const Meaning* rest = s_.of(node.inputs[1]);
  if (list == nullptr || rest == nullptr || rest->kind != Kind::kRest || list->layout.rank() != 1 ||
      (list->kind != Kind::kData && list->kind != Kind::kIndex) || !same_rows(graph_, list->rows, rest->rows)) {
    return std::nullopt;
  }
  Meaning meaning = *list;
  meaning.kind = Kind::kPadded;
  meaning.inner = list->kind;
  meaning.fill = rest->fill;
  meaning.padded_count = rest->padded_count;
  meaning.layout.dims[0] = rest->padded_count;
  return meaning;
}

std::optional<Meaning> Reader::concat(const Node& node) {
  if (std::optional<Meaning> list = padded(node)) return list;
  std::vector<Number> result;
  for (const ValueId part : node.inputs) {
    if (type_of(graph_, part).is_tensor() && !is_int(type_of(graph_, part).element)) return std::nullopt;
    const auto more = numbers(part);
    if (!more || rank_of(graph_, part) != 1) return std::nullopt;
    result.insert(result.end(), more->begin(), more->end());
    if (result.size() > kMaxNumbers) return std::nullopt;
  }
  return of_numbers(std::move(result));
}

std::optional<Number> Reader::capped(const Number& a, const Number& b) {
  using enum Number::Kind;
  if (a.kind == kLength && (b.kind == kConstant || b.kind == kValue)) return capped(b, a);
  if (b.kind != kLength || (a.kind != kConstant && a.kind != kValue)) return smaller(a, b);
  if (b.rounded && (a.kind != kConstant || a.constant > kMaxExact)) return std::nullopt;
  Number result = a;
  result.kind = kCapped;
  result.rows = b.rows;
  return result;
}

std::optional<Meaning> Reader::min(const Node& node) {
  if (node.inputs.size() != 2) return std::nullopt;
  const auto a = number(node.inputs[0]);
  const auto b = number(node.inputs[1]);
  const int rank = std::max(rank_of(graph_, node.inputs[0]), rank_of(graph_, node.inputs[1]));
  if (!a || !b) return std::nullopt;
  const std::optional<Number> result = capped(*a, *b);
  if (!result) return std::nullopt;
  return of_numbers({*result}, rank == 0);
}

std::optional<Meaning> Reader::rest(const Node& node) {
  const std::optional<Number> all = number(node.inputs[0]);
  const std::optional<Number> length = number(node.inputs[1]);
  if (!all || !length || all->kind != Number::Kind::kConstant || length->kind != Number::Kind::kLength) {
    return std::nullopt;
  }
  const Rows& rows = *length->rows;
  const bool fits = rows.kind != Rows::Kind::kAbove && rows.limit.kind == Number::Kind::kConstant &&
                    rows.limit.constant <= all->constant;
  if (!fits || length->rounded || all->constant < 0) return std::nullopt;
  Number result = *length;
  result.kind = Number::Kind::kRest;
  result.constant = all->constant;
  return of_numbers({result}, rank_of(graph_, node.inputs[0]) == 0 && rank_of(graph_, node.inputs[1]) == 0);
}

std::optional<Meaning> Reader::reduce_min(const Node& node) {
  const auto all = numbers(input(node, 0));
  if (!all || all->size() != 2) return std::nullopt;
  if (has_input(node, 1)) {
    const auto axes = constant_ints(graph_, node.inputs[1]);
    if (!axes || axes->size() != 1) return std::nullopt;
  }
  const std::optional<Number> result = capped((*all)[0], (*all)[1]);
  if (!result) return std::nullopt;
  return of_numbers({*result}, node.attributes.get_int("keepdims", 1) == 0);
}

std::optional<Meaning> Reader::fill_over(const std::vector<Number>& dims, Tensor element) {
  Meaning meaning;
  meaning.kind = Kind::kFill;
  if (dims.size() == 1 && dims[0].kind == Number::Kind::kRest) {
    meaning.kind = Kind::kRest;
    meaning.rows = dims[0].rows;
    meaning.padded_count = dims[0].constant;
    meaning.layout = *layout_of({View::kOpen});
    meaning.fill = std::move(element);
    return meaning;
  }
  std::vector<std::int64_t> layout;
  for (const Number& dim : dims) {
    if (dim.kind == Number::Kind::kLength && meaning.rows == nullptr) {
      meaning.rows = dim.rows;
      layout.push_back(View::kOpen);
    } else if (dim.is(1)) {
      layout.push_back(1);
    } else {
      return std::nullopt;
    }
  }
  if (meaning.rows == nullptr) return std::nullopt;
  meaning.layout = *layout_of(std::move(layout));
  meaning.fill = std::move(element);
  return meaning;
}

std::optional<Meaning> Reader::fill_shape(const Node& node) {
  const auto dims = numbers(input(node, 0));
  if (!dims) return std::nullopt;
  Tensor element = Tensor::scalar<float>(0);
  if (const tensor::Attribute* value = node.attributes.find("value")) {
    const Tensor* given = std::get_if<Tensor>(value);
    if (given == nullptr || given->element_count() != 1) return std::nullopt;
    element = given->reshaped({});
  }
  return fill_over(*dims, std::move(element));
}

std::optional<Meaning> Reader::expand(const Node& node) {
  const Tensor* element = constant_of(graph_, input(node, 0));
  const auto dims = numbers(input(node, 1));
  if (element == nullptr || element->element_count() != 1 || !dims ||
      element->rank() > static_cast<int>(dims->size())) {
    return std::nullopt;
  }
  return fill_over(*dims, element->reshaped({}));
}

std::optional<Meaning> Reader::fill_arithmetic(const Node& node) {
  static constexpr std::string_view kElementwise[] = {"Add", "Cast", "Div", "Max", "Min", "Mul", "Neg", "Sub"};
  if (std::ranges::find(kElementwise, node.op) == std::end(kElementwise)) return std::nullopt;
  std::optional<Meaning> result;
  std::vector<Value> elements;
  int rank = 0;
  for (const ValueId value : node.inputs) {
    const auto found = value == kNoValue ? s_.meanings_.end() : s_.meanings_.find(value);
    if (found != s_.meanings_.end() && found->second.kind == Kind::kFill) {
      const Meaning& fill = found->second;
      if (result && (!same_rows(graph_, result->rows, fill.rows) || result->layout.dims != fill.layout.dims)) {
        return std::nullopt;
      }
      result = fill;
      elements.emplace_back(fill.fill);
      continue;
    }
    const Tensor* constant = constant_of(graph_, value);
    if (constant == nullptr || constant->element_count() != 1) return std::nullopt;
    rank = std::max(rank, constant->rank());
    elements.emplace_back(constant->reshaped({}));
  }
  if (!result || rank > result->layout.rank()) return std::nullopt;
  std::vector<const Value*> inputs;
  for (const Value& element : elements) inputs.push_back(&element);
  try {
    result->fill = run_node(node, inputs, sizeof(double)).at(0).tensor();
  } catch (const Error&) {
    return std::nullopt;  // it fails when it runs, or never does
  }
  return result;
}

}  // namespace lanner::passes
