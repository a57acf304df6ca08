#include "fuzz/text_mutator.h"

#include <fmt/format.h>

#include <array>
#include <iterator>
#include <limits>
#include <vector>

#include "kernels/registry.h"
#include "program/program.h"

namespace lanner::fuzz {

namespace {

constexpr std::string_view kWords[] = {
#include "fuzz_words.inc"
};

constexpr std::string_view kFloats[] = {"0f", "1f", "-1f", "0.5f", "nanf", "inff", "-inff", "3e38f", "1e-40f", "-0f"};

enum class Kind : std::uint8_t { kName, kString, kNumber, kOther };

struct Token {
  Kind kind;
  std::size_t begin;
  std::size_t end;
};

bool in_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
}

std::vector<Token> tokens_of(std::string_view text) {
  std::vector<Token> tokens;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char c = text[at];
    if (c == ' ' || c == '\n') {
      ++at;
      continue;
    }
    Kind kind = Kind::kOther;
    if (c == '"') {
      kind = Kind::kString;
      for (++at; at < text.size() && text[at] != '"'; ++at) {
        if (text[at] == '\\') ++at;
      }
      at = std::min(at + 1, text.size());
    } else if (in_name(c) || c == '-') {
      kind = c == '-' || (c >= '0' && c <= '9') ? Kind::kNumber : Kind::kName;
      for (++at; at < text.size() && (in_name(text[at]) || text[at] == '-' || text[at] == '+'); ++at) {
      }
    } else {
      ++at;
    }
    tokens.push_back({kind, begin, at});
  }
  return tokens;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
    lines.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return lines;
}

ElementType any_type(Random& random) {
  return static_cast<ElementType>(1 + random.below(static_cast<std::size_t>(ElementType::kInt2)));
}

std::string any_tensor(Random& random) {
  const std::size_t count = random.below(5);
  std::string text = fmt::format("{}[{}]{{", element_type_name(any_type(random)), count);
  for (std::size_t i = 0; i < count; ++i) text += fmt::format("{}{}", i != 0 ? ", " : "", random.below(3));
  return text + "}";
}

std::string any_attribute(Random& random) {
  switch (random.below(8)) {
    case 0:
      return std::string(kFloats[random.below(std::size(kFloats))]);
    case 1:
      return fmt::format("\"{}\"", any_word(random));
    case 2:
      return any_tensor(random);
    case 3:
      return fmt::format("[f: {}]", 0.5);
    case 4:
    case 5: {
      std::string text = "[";
      for (std::size_t i = random.below(5); i > 0; --i) {
        text += fmt::format("{}{}", any_integer(random), i > 1 ? ", " : "");
      }
      return text + "]";
    }
    default:
      return fmt::format("{}", any_integer(random));
  }
}

// What may stand in the place of a token.
std::string instead_of(std::string_view token, Kind kind, std::string_view next, Random& random) {
  if (kind == Kind::kName) {
    if (element_type_from_name(token) != ElementType::kUndefined)
      return std::string(element_type_name(any_type(random)));
    if (next == "=") return std::string(any_word(random));  // an attribute's name
    if (next == "(") return std::string(any_operator(random));
    return random.one_in(2) ? std::string(any_word(random)) : std::string("?");
  }
  if (kind == Kind::kString) return fmt::format("\"{}\"", any_word(random));
  if (kind != Kind::kNumber)
    return next == "(" || random.one_in(2) ? "" : std::string(token) + " " + std::string(token);
  if (token.ends_with('f') && random.one_in(2)) return std::string(kFloats[random.below(std::size(kFloats))]);
  if (random.one_in(8)) return random.one_in(2) ? "?" : "_";
  return fmt::format("{}{}", any_integer(random), token.ends_with('f') ? "f" : "");
}

}  // namespace

std::string_view any_word(Random& random) {
  return kWords[random.below(std::size(kWords))];
}

std::string_view any_operator(Random& random) {
  constexpr std::array kOthers = {program::kIf, program::kLoop, program::kScan, program::kForEach, program::kSubgraph};
  if (random.one_in(32)) return kOthers[random.below(kOthers.size())];
  const std::span<const kernels::OperatorRow> rows = kernels::operators();
  return rows[random.below(rows.size())].name;
}

std::int64_t any_integer(Random& random) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  constexpr std::int64_t kLimits[] = {
      7,        8,        15,       16,       17,    31,        32,      33,         63,          64,
      65,       127,      128,      255,      256,   1023,      1 << 16, 1 << 20,    0x7fffffff,  0x80000000,
      1L << 32, 1L << 40, 1L << 61, 1L << 62, kMost, kMost - 1, -kMost,  -kMost - 1, -0x80000000L};
  if (random.one_in(4)) return kLimits[random.below(std::size(kLimits))];
  return static_cast<std::int64_t>(random.below(9)) - 2;
}

std::string mutate_text(std::string_view text, std::string_view other, Random& random) {
  const std::vector<Token> tokens = tokens_of(text);
  if (tokens.empty()) return std::string(text);
  const auto replaced = [&](std::size_t begin, std::size_t end, std::string_view with) {
    return fmt::format("{}{}{}", text.substr(0, begin), with, text.substr(end));
  };
  switch (random.below(8)) {
    case 0: {  // an attribute more
      std::size_t at = text.find(" with {");
      for (std::size_t next = at; next != std::string_view::npos && random.one_in(2);) {
        at = next;
        next = text.find(" with {", next + 1);
      }
      const std::string attribute = fmt::format("{}={}", any_word(random), any_attribute(random));
      if (at != std::string_view::npos && random.one_in(2)) return replaced(at + 7, at + 7, attribute + ", ");
      const std::size_t call = text.find(") name", random.below(text.size()));
      if (call == std::string_view::npos) break;
      return replaced(call + 1, call + 1, fmt::format(" with {{{}}}", attribute));
    }
    case 1: {  // a line twice, elsewhere, not at all, or of the other program
      std::vector<std::string_view> lines = lines_of(text);
      const std::vector<std::string_view> others = lines_of(other);
      const std::size_t at = random.below(lines.size());
      switch (random.below(4)) {
        case 0:
          lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(at), lines[random.below(lines.size())]);
          break;
        case 1:
          std::swap(lines[at], lines[random.below(lines.size())]);
          break;
        case 2:
          lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(at));
          break;
        default:
          if (!others.empty()) lines[at] = others[random.below(others.size())];
      }
      return fmt::format("{}", fmt::join(lines, ""));
    }
    case 2: {  // another operator
      std::vector<std::size_t> calls;
      for (std::size_t i = 1; i + 1 < tokens.size(); ++i) {
        if (text[tokens[i].end - 1] != '=' && text[tokens[i - 1].begin] == '=' && text[tokens[i + 1].begin] == '(') {
          calls.push_back(i);
        }
      }
      if (calls.empty()) break;
      const Token& call = tokens[calls[random.below(calls.size())]];
      return replaced(call.begin, call.end, any_operator(random));
    }
    case 3: {  // an attribute's value
      std::vector<std::size_t> values;
      for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
        if (text[tokens[i].begin] == '=' && tokens[i + 1].kind != Kind::kName) values.push_back(i + 1);
      }
      if (values.empty()) break;
      const Token& value = tokens[values[random.below(values.size())]];
      if (text[value.begin] != '[') return replaced(value.begin, value.end, any_attribute(random));
      const std::size_t end = text.find(']', value.begin);
      if (end == std::string_view::npos) break;
      return replaced(value.begin, end + 1, any_attribute(random));
    }
    case 4: {  // a word, string or number of this or the other program, in the place of another of its kind
      const std::vector<Token> donors = tokens_of(other.empty() ? text : other);
      if (donors.empty()) break;
      const Token& to = tokens[random.below(tokens.size())];
      const Token& from = donors[random.below(donors.size())];
      if (to.kind != from.kind) break;
      return replaced(to.begin, to.end, (other.empty() ? text : other).substr(from.begin, from.end - from.begin));
    }
    default:
      break;
  }
  const std::size_t i = random.below(tokens.size());
  const std::string_view next =
      i + 1 < tokens.size() ? text.substr(tokens[i + 1].begin, tokens[i + 1].end - tokens[i + 1].begin) : "";
  return replaced(
      tokens[i].begin, tokens[i].end,
      instead_of(text.substr(tokens[i].begin, tokens[i].end - tokens[i].begin), tokens[i].kind, next, random));
}

}  // namespace lanner::fuzz
