// Strings: StringConcat, StringSplit, StringNormalizer and RegexFullMatch. Strings are UTF-8; what is no UTF-8 passes
// through as it is.
#include <re2/re2.h>

#include <algorithm>
#include <clocale>
#include <cwctype>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/fail.h"
#include "kernels/elementwise.h"
#include "kernels/kernel.h"

namespace lanner::kernels {

namespace {

constexpr std::string_view kSpaces = " \t\n\r\f\v";

const Tensor& string_input(KernelContext& context, int index) {
  const Tensor& tensor = context.input(index);
  if (tensor.element_type() != ElementType::kString) {
    base::invalid("op.type", "input {} must hold strings, but has {}", index, element_type_name(tensor.element_type()));
  }
  return tensor;
}

// The pieces of `text` between delimiters, or between runs of white space where the delimiter is empty. After `limit`
// cuts the rest is the last piece.
std::vector<std::string_view> split(std::string_view text, std::string_view delimiter, std::int64_t limit) {
  std::vector<std::string_view> pieces;
  const bool spaces = delimiter.empty();
  while (true) {
    if (spaces) {
      text.remove_prefix(std::min(text.find_first_not_of(kSpaces), text.size()));
      if (text.empty()) return pieces;
    }
    const bool ended = static_cast<std::int64_t>(pieces.size()) == limit;
    const std::size_t end = ended ? text.npos : spaces ? text.find_first_of(kSpaces) : text.find(delimiter);
    if (end == text.npos) {
      pieces.push_back(text);
      return pieces;
    }
    pieces.push_back(text.substr(0, end));
    text.remove_prefix(end + (spaces ? 1 : delimiter.size()));
  }
}

// Reads a character of UTF-8 and moves past it; -1, and past one byte, for what is none.
std::int32_t take_character(std::string_view& text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const int length = byte(0) < 0x80   ? 1
                     : byte(0) < 0xC2 ? 0
                     : byte(0) < 0xE0 ? 2
                     : byte(0) < 0xF0 ? 3
                     : byte(0) < 0xF5 ? 4
                                      : 0;
  std::int32_t code = length == 1 ? byte(0) : byte(0) & (0xFF >> (length + 1));
  bool valid = length != 0 && text.size() >= static_cast<std::size_t>(length);
  for (std::size_t i = 1; valid && i < static_cast<std::size_t>(length); ++i) {
    valid = (byte(i) & 0xC0) == 0x80;
    code = code << 6 | (byte(i) & 0x3F);
  }
  text.remove_prefix(valid ? static_cast<std::size_t>(length) : 1);
  return valid ? code : -1;
}

void put_character(std::string& text, std::uint32_t code) {
  const auto put = [&](std::uint32_t byte) { text += static_cast<char>(byte); };
  const auto tail = [&](int shift) { put(0x80 | (code >> shift & 0x3F)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0 | code >> 6);
  } else {
    if (code < 0x10000) {
      put(0xE0 | code >> 12);
    } else {
      put(0xF0 | code >> 18);
      tail(12);
    }
    tail(6);
  }
  tail(0);
}

enum class Case { kKeep, kLower, kUpper };

Case parse_case(const std::string& name) {
  if (name == "NONE") return Case::kKeep;
  if (name == "LOWER") return Case::kLower;
  if (name == "UPPER") return Case::kUpper;
  base::invalid("op.attribute", "case_change_action must be NONE, LOWER or UPPER, but is '{}'", name);
}

// The case mappings of Unicode, whatever the process's locale is; of ASCII alone where the C library has none.
std::string in_case(std::string_view text, Case wanted) {
  static const locale_t locale = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  std::string result;
  while (!text.empty()) {
    const char first = text.front();
    const std::int32_t code = take_character(text);
    const bool ascii = code >= 0 && code < 0x80;
    if (wanted == Case::kKeep || code < 0 || (!ascii && locale == nullptr)) {
      if (code < 0 || ascii)
        result += first;
      else
        put_character(result, static_cast<std::uint32_t>(code));
    } else if (ascii) {
      const bool changes = wanted == Case::kLower ? first >= 'A' && first <= 'Z' : first >= 'a' && first <= 'z';
      result += changes ? static_cast<char>(first ^ 0x20) : first;
    } else {
      const auto c = static_cast<std::wint_t>(code);
      put_character(result, wanted == Case::kLower ? ::towlower_l(c, locale) : ::towupper_l(c, locale));
    }
  }
  return result;
}

}  // namespace

std::unique_ptr<Kernel> make_StringConcat(const KernelInfo&) {
  return make_kernel([](KernelContext& context) {
    const Tensor& a = string_input(context, 0);
    const Tensor& b = string_input(context, 1);
    run_binary<tensor::TypeList<std::string>>(context, "StringConcat", a, b, ElementType::kString, ElementType::kString,
                                              [](const std::string& x, const std::string& y) { return x + y; });
  });
}

std::unique_ptr<Kernel> make_StringSplit(const KernelInfo& info) {
  const std::string delimiter = info.attributes.get_string("delimiter", "");
  const std::int64_t limit = info.attributes.get_int("maxsplit", -1);
  return make_kernel([delimiter, limit](KernelContext& context) {
    const Tensor& input = string_input(context, 0);
    std::vector<std::vector<std::string_view>> all;
    std::size_t most = 0;
    for (const std::string& text : input.values<std::string>()) {
      all.push_back(split(text, delimiter, limit));
      most = std::max(most, all.back().size());
    }
    Shape shape = input.shape();
    shape.push_back(static_cast<std::int64_t>(most));
    std::string* out = context.allocate_output(0, ElementType::kString, shape).data<std::string>();
    std::int64_t* count = context.allocate_output(1, ElementType::kInt64, input.shape()).data<std::int64_t>();
    for (const std::vector<std::string_view>& pieces : all) {
      std::ranges::copy(pieces, out);
      std::fill(out + pieces.size(), out + most, std::string());
      out += most;
      *count++ = static_cast<std::int64_t>(pieces.size());
    }
  });
}

// Takes out stop words and changes the case of what stays. Without case sensitivity words are compared in lower case.
std::unique_ptr<Kernel> make_StringNormalizer(const KernelInfo& info) {
  const Case wanted = parse_case(info.attributes.get_string("case_change_action", "NONE"));
  const bool sensitive = info.attributes.get_int("is_case_sensitive", 0) != 0;
  const auto compared = [sensitive](const std::string& text) {
    return in_case(text, sensitive ? Case::kKeep : Case::kLower);
  };
  std::unordered_set<std::string> stop_words;
  for (const std::string& word : info.attributes.get_strings("stopwords")) stop_words.insert(compared(word));
  return make_kernel([wanted, compared, stop_words](KernelContext& context) {
    const Tensor& input = string_input(context, 0);
    const bool matrix = input.rank() == 2;
    if ((!matrix && input.rank() != 1) || (matrix && input.shape()[0] != 1)) {
      base::invalid("op.shape", "the input must have shape [C] or [1,C], but has {}", input.shape().to_string());
    }
    std::vector<std::string> kept;
    for (const std::string& text : input.values<std::string>()) {
      if (!stop_words.contains(compared(text))) kept.push_back(in_case(text, wanted));
    }
    if (kept.empty()) kept.emplace_back();
    const auto count = static_cast<std::int64_t>(kept.size());
    Tensor& output = context.allocate_output(0, ElementType::kString, matrix ? Shape{1, count} : Shape{count});
    std::ranges::move(kept, output.data<std::string>());
  });
}

// RE2's time is linear in the text, and its memory bounded, whatever the pattern is.
std::unique_ptr<Kernel> make_RegexFullMatch(const KernelInfo& info) {
  const std::string pattern = info.attributes.get_string("pattern", "");
  const auto regex = std::make_shared<const RE2>(pattern, RE2::Quiet);
  if (!regex->ok()) base::invalid("op.attribute", "'{}' is no pattern of RE2: {}", pattern, regex->error());
  return make_kernel([regex](KernelContext& context) {
    const Tensor& input = string_input(context, 0);
    Tensor& output = context.allocate_output(0, ElementType::kBool, input.shape());
    map_elements(context.threads(), input.element_count(), input.data<std::string>(), output.data<bool>(),
                 [&](const std::string& text) { return RE2::FullMatch(text, *regex); });
  });
}

}  // namespace lanner::kernels
