// The text form of tensors and attributes, and the scanner that reads it back: shared by the printed graph and the
// program's text form. Numbers are written as short as they read back exactly; of a NaN only the sign is kept.
//
//   {axis=1, mode="linear", pads=[0, 1], scale=1.0f, value=float32[2]{0.5, nan}, names=["a", "b"]}
#pragma once

#include <cstddef>
#include <limits>
#include <string>
#include <string_view>

#include "lanner/tensor.h"
#include "tensor/attributes.h"
#include "tensor/value_type.h"

namespace lanner::tensor {

inline constexpr std::size_t kAllElements = std::numeric_limits<std::size_t>::max();

// Whether `text` is what Scanner::identifier() takes: [A-Za-z_][A-Za-z0-9_.-]*
bool is_identifier(std::string_view text);
// A JSON-like string literal: quotes, backslashes and control characters are escaped.
std::string quoted(std::string_view text);
// "float32[2]{0.5, 1}"; past `max_elements` it ends in "...", which does not read back.
std::string tensor_text(const Tensor& tensor, std::size_t max_elements = kAllElements);
std::string attributes_text(const Attributes& attributes, std::size_t max_elements = kAllElements);

// Reads text token by token. Every take/expect skips white space and `#` comments first. Wrong input throws
// `program.syntax` with line and column; the text must outlive the scanner.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool at_end();
  // Takes `word` if it comes next. A word of letters does not match the beginning of a longer one.
  bool take(std::string_view word);
  void expect(std::string_view word);
  // A name as is_identifier() has it.
  std::string_view identifier();
  std::string string_literal();
  std::int64_t integer();
  // Not negative and at most `limit`.
  std::uint32_t count(std::uint32_t limit = std::numeric_limits<std::uint32_t>::max());
  ValueType value_type();
  Tensor tensor();
  Attributes attributes();

  [[noreturn]] void fail(std::string_view needed);

 private:
  void skip_space();
  std::string_view number_token();
  Tensor tensor_elements(ElementType type, const Shape& shape);
  Attribute attribute();
  Dim dim();
  template <typename T>
  T number();

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace lanner::tensor
