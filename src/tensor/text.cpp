#include "tensor/text.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/fail.h"
#include "tensor/dispatch.h"

namespace lanner::tensor {

namespace {

// Types whose elements have a literal form; the others are written as the bytes of their elements.
using PrintedTypes = AllNumericTypes;

bool is_printed(ElementType type) {
  bool printed = type == ElementType::kString;
  [&]<typename... Ts>(TypeList<Ts...>) {
    printed = printed || ((type == element_type_of<Ts>()) || ...);
  }(PrintedTypes{});
  return printed;
}

template <typename T>
std::string element_text(const T& value) {
  if constexpr (std::is_same_v<T, bool>)
    return value ? "1" : "0";
  else if constexpr (std::is_same_v<T, std::string>)
    return quoted(value);
  else if constexpr (std::is_arithmetic_v<T>)
    return fmt::format("{}", value);
  else if constexpr (std::is_convertible_v<T, int> && std::is_same_v<decltype(+value), int>)
    return fmt::format("{}", static_cast<int>(value));
  else
    return fmt::format("{}", static_cast<float>(value));
}

template <typename T>
std::string list_text(std::span<const T> values, std::size_t max_elements) {
  std::string text;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i != 0) text += ", ";
    if (i == max_elements) return text + "...";
    text += element_text(values[i]);
  }
  return text;
}

struct AttributeText {
  std::size_t max_elements;

  std::string operator()(std::int64_t value) const { return element_text(value); }
  // The suffix tells a float from an int of the same digits.
  std::string operator()(float value) const { return element_text(value) + "f"; }
  std::string operator()(const std::string& value) const { return quoted(value); }
  std::string operator()(const Tensor& value) const { return tensor_text(value, max_elements); }
  std::string operator()(const std::vector<std::int64_t>& values) const {
    return fmt::format("[{}]", list_text<std::int64_t>(values, max_elements));
  }
  std::string operator()(const std::vector<float>& values) const {
    return fmt::format("[f: {}]", list_text<float>(values, max_elements));
  }
  std::string operator()(const std::vector<std::string>& values) const {
    return fmt::format("[s: {}]", list_text<std::string>(values, max_elements));
  }
};

}  // namespace

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      result += c;
    }
  }
  return result + '"';
}

std::string tensor_text(const Tensor& tensor, std::size_t max_elements) {
  std::string text = tensor.type_string() + "{";
  if (tensor.element_type() == ElementType::kString) {
    text += list_text<std::string>(tensor.values<std::string>(), max_elements);
  } else if (is_printed(tensor.element_type())) {
    dispatch(PrintedTypes{}, tensor.element_type(), "the text form",
             [&]<typename T>() { text += list_text<T>(tensor.values<T>(), max_elements); });
  } else {
    text += list_text<std::uint8_t>({static_cast<const std::uint8_t*>(tensor.raw_data()), tensor.byte_count()},
                                    max_elements);
  }
  return text + "}";
}

std::string attributes_text(const Attributes& attributes, std::size_t max_elements) {
  std::string text = "{";
  for (const auto& [name, value] : attributes.entries()) {
    if (text.size() > 1) text += ", ";
    text += name + "=" + std::visit(AttributeText{max_elements}, value);
  }
  return text + "}";
}

void Scanner::fail(std::string_view needed) {
  const std::string_view before = text_.substr(0, at_);
  const auto line = 1 + std::ranges::count(before, '\n');
  const std::size_t column = at_ - (before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1) + 1;
  const std::string found =
      at_ >= text_.size() ? "the end" : quoted(text_.substr(at_, std::min<std::size_t>(20, text_.size() - at_)));
  base::fail(ErrorCode::kInvalidArgument, "program.syntax", "line {}, column {}: needed {}, but found {}", line, column,
             needed, found);
}

void Scanner::skip_space() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c == '#') {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
      ++at_;
    } else {
      return;
    }
  }
}

bool Scanner::at_end() {
  skip_space();
  return at_ == text_.size();
}

namespace {
bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool starts_name(char c) {
  return is_word(c) && !(c >= '0' && c <= '9');
}

bool continues_name(char c) {
  return is_word(c) || c == '.' || c == '-';
}
}  // namespace

bool is_identifier(std::string_view text) {
  return !text.empty() && starts_name(text[0]) && std::ranges::all_of(text, continues_name);
}

bool Scanner::take(std::string_view word) {
  skip_space();
  if (!text_.substr(at_).starts_with(word)) return false;
  const std::size_t end = at_ + word.size();
  if (is_word(word.back()) && end < text_.size() && is_word(text_[end])) return false;
  at_ = end;
  return true;
}

void Scanner::expect(std::string_view word) {
  if (!take(word)) fail(quoted(word));
}

std::string_view Scanner::identifier() {
  skip_space();
  const std::size_t begin = at_;
  while (at_ < text_.size() && continues_name(text_[at_])) ++at_;
  const std::string_view word = text_.substr(begin, at_ - begin);
  if (word.empty() || !starts_name(word[0])) {
    at_ = begin;
    fail("a name");
  }
  return word;
}

std::string Scanner::string_literal() {
  skip_space();
  const std::size_t begin = at_;
  if (at_ >= text_.size() || text_[at_] != '"') fail("a string in quotes");
  ++at_;
  std::string result;
  while (at_ < text_.size() && text_[at_] != '"') {
    if (text_[at_] != '\\') {
      result += text_[at_++];
      continue;
    }
    ++at_;
    if (at_ < text_.size() && text_[at_] == 'x') {
      unsigned code = 0;
      if (text_.size() - at_ < 3) {
        at_ = text_.size();
        break;
      }
      const auto [end, error] = std::from_chars(text_.data() + at_ + 1, text_.data() + at_ + 3, code, 16);
      if (error != std::errc{} || end != text_.data() + at_ + 3) fail("two hexadecimal digits");
      result += static_cast<char>(code);
      at_ += 3;
    } else if (at_ < text_.size()) {
      result += text_[at_++];
    }
  }
  if (at_ >= text_.size()) {
    at_ = begin;
    fail("a string that ends");
  }
  ++at_;
  return result;
}

std::string_view Scanner::number_token() {
  skip_space();
  std::size_t end = at_;
  while (end < text_.size() && (is_word(text_[end]) || text_[end] == '.' || text_[end] == '-' || text_[end] == '+')) {
    ++end;
  }
  return text_.substr(at_, end - at_);
}

template <typename T>
T Scanner::number() {
  if constexpr (std::is_same_v<T, bool>) {
    return count(1) != 0;
  } else if constexpr (std::is_same_v<T, std::string>) {
    return string_literal();
  } else if constexpr (!std::is_arithmetic_v<T>) {
    // Every element of these types is a float, or an int, without loss.
    const std::size_t begin = at_;
    const auto value = number<decltype(+T{})>();
    const T element(value);
    if (!std::isnan(static_cast<float>(value)) && +element != value) {
      at_ = begin;
      fail(fmt::format("a number of type {}", element_type_name(element_type_of<T>())));
    }
    return element;
  } else {
    const std::string_view token = number_token();
    T value{};
    const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), value);
    if (error != std::errc{} || end != token.data() + token.size()) {
      fail(fmt::format("a number of type {}", element_type_name(element_type_of<T>())));
    }
    at_ += token.size();
    return value;
  }
}

std::int64_t Scanner::integer() {
  return number<std::int64_t>();
}

std::uint32_t Scanner::count(std::uint32_t limit) {
  skip_space();
  const std::size_t begin = at_;
  const std::int64_t value = integer();
  if (value < 0 || value > limit) {
    at_ = begin;
    fail(fmt::format("a count of at most {}", limit));
  }
  return static_cast<std::uint32_t>(value);
}

ValueType Scanner::value_type() {
  ValueType type;
  if (take("unknown")) return type;
  const bool optional = take("optional");
  if (optional) expect("(");
  const bool sequence = take("sequence");
  if (sequence) expect("(");
  type.kind = optional   ? sequence ? ValueType::Kind::kOptionalSequence : ValueType::Kind::kOptional
              : sequence ? ValueType::Kind::kSequence
                         : ValueType::Kind::kTensor;
  skip_space();
  const auto word_end = std::find_if_not(text_.begin() + static_cast<std::ptrdiff_t>(at_), text_.end(), is_word);
  const std::string_view name(text_.begin() + static_cast<std::ptrdiff_t>(at_), word_end);
  type.element = element_type_from_name(name);
  if (type.element == ElementType::kUndefined && name != element_type_name(ElementType::kUndefined)) {
    fail("a type such as float32[1,3,?]");
  }
  at_ += name.size();
  if (take("[")) {
    type.ranked = true;
    while (!take("]")) {
      if (!type.dims.empty()) expect(",");
      type.dims.push_back(dim());
    }
  }
  if (sequence) expect(")");
  if (optional) expect(")");
  return type;
}

Dim Scanner::dim() {
  if (take("?")) return {};
  skip_space();
  if (at_ < text_.size() && text_[at_] == '"') return {-1, string_literal()};
  if (at_ < text_.size() && starts_name(text_[at_])) return {-1, std::string(identifier())};
  const std::size_t begin = at_;
  const std::int64_t size = integer();
  if (size < 0) {
    at_ = begin;
    fail("a dimension that is not negative");
  }
  return {size, {}};
}

Tensor Scanner::tensor_elements(ElementType type, const Shape& shape) {
  const bool as_bytes = type != ElementType::kString && !is_printed(type);
  const auto needed =
      as_bytes ? static_cast<std::int64_t>(Tensor::wrap(type, shape, nullptr).byte_count()) : shape.element_count();
  // Each takes at least two characters, so a shape the text cannot fill is refused before it is allocated.
  const auto room = static_cast<std::int64_t>(text_.size() - at_);
  if (needed > room) fail(fmt::format("{} {}", needed, as_bytes ? "bytes" : "elements"));
  Tensor result = Tensor::allocate(type, shape);
  const auto read = [&]<typename T>(std::span<T> values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i != 0) expect(",");
      values[i] = number<T>();
    }
  };
  if (type == ElementType::kString) {
    read(result.values<std::string>());
  } else if (as_bytes) {
    read(std::span<std::uint8_t>(static_cast<std::uint8_t*>(result.raw_data()), result.byte_count()));
  } else {
    dispatch(PrintedTypes{}, type, "the text form", [&]<typename T>() { read(result.values<T>()); });
  }
  return result;
}

Tensor Scanner::tensor() {
  const ValueType type = value_type();
  const std::optional<Shape> shape = type.static_shape();
  if (!shape && type.is_tensor() && type.ranked && type.dims.size() <= Shape::kMaxRank &&
      std::ranges::all_of(type.dims, &Dim::known)) {
    base::invalid("op.size", "a tensor of type {} has more elements than can be counted", type.to_string());
  }
  if (!shape || type.element == ElementType::kUndefined) fail("a tensor type with every dimension known");
  expect("{");
  Tensor result = tensor_elements(type.element, *shape);
  expect("}");
  return result;
}

Attribute Scanner::attribute() {
  skip_space();
  if (at_ < text_.size() && text_[at_] == '"') return string_literal();
  if (take("[")) {
    const auto list = [&]<typename T>(std::vector<T> values) -> Attribute {
      while (!take("]")) {
        if (!values.empty()) expect(",");
        values.push_back(number<T>());
      }
      return values;
    };
    if (take("f:")) return list(std::vector<float>{});
    if (take("s:")) return list(std::vector<std::string>{});
    return list(std::vector<std::int64_t>{});
  }
  std::string_view token = number_token();
  const bool numeric =
      !token.empty() && (token[0] == '-' || (token[0] >= '0' && token[0] <= '9') || token == "inff" || token == "nanf");
  if (!numeric) return tensor();
  if (token.ends_with('f')) {
    float value = 0;
    const char* last = token.data() + token.size() - 1;
    const auto [end, error] = std::from_chars(token.data(), last, value);
    if (error != std::errc{} || end != last) fail("a float");
    at_ += token.size();
    return value;
  }
  return integer();
}

Attributes Scanner::attributes() {
  Attributes result;
  expect("{");
  while (!take("}")) {
    if (!result.empty()) expect(",");
    std::string name(identifier());
    if (result.has(name)) fail(fmt::format("attribute '{}' only once", name));
    expect("=");
    result.set(std::move(name), attribute());
  }
  return result;
}

}  // namespace lanner::tensor
