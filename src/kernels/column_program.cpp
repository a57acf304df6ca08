#include "kernels/column_program.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "base/fail.h"

namespace lanner::kernels {

namespace {

struct OpRow {
  std::string_view name;
  int operands;
};

constexpr std::array<OpRow, kColumnOpCount> kOps{{
    {"Add", 2},
    {"Sub", 2},
    {"Mul", 2},
    {"Div", 2},
    {"Min", 2},
    {"Max", 2},
    {"AtLeast", 2},
    {"AtMost", 2},
    {"Neg", 1},
    {"Abs", 1},
    {"Sqrt", 1},
    {"Reciprocal", 1},
    {"Exp", 1},
    {"Sigmoid", 1},
}};

std::string operand_text(const ColumnOperand& operand) {
  if (const auto* column = std::get_if<InputColumn>(&operand))
    return fmt::format("x{}.{}", column->input, column->column);
  if (const auto* result = std::get_if<StepResult>(&operand)) return fmt::format("t{}", result->step);
  return fmt::format("{}", std::get<float>(operand));
}

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> result;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    if (end > 0) result.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return result;
}

// The whole text as a number, or nothing.
template <typename T>
std::optional<T> number(std::string_view text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

class Reader {
 public:
  explicit Reader(ColumnProgram& program) : program_(program) {}

  void step(std::string_view text) {
    const std::vector<std::string_view> parts = words(text);
    const auto row = parts.empty() ? kOps.end() : std::ranges::find(kOps, parts[0], &OpRow::name);
    if (row == kOps.end()) base::invalid("op.attribute", "step '{}' has no known operator", text);
    if (parts.size() != static_cast<std::size_t>(row->operands) + 1) {
      base::invalid("op.attribute", "step '{}' needs {} operands", text, row->operands);
    }
    ColumnStep step{static_cast<ColumnOp>(row - kOps.begin()), {}};
    for (const std::string_view part : std::span(parts).subspan(1)) step.operands.push_back(operand(part, text));
    if (std::ranges::all_of(step.operands, [&](const auto& operand) { return program_.is_repeated(operand); })) {
      base::invalid("op.attribute", "step '{}' has no operand with rows", text);
    }
    program_.steps.push_back(std::move(step));
  }

  void result(std::string_view text) {
    const std::vector<std::string_view> parts = words(text);
    const auto equals = std::ranges::find(parts, "=");
    if (equals == parts.end()) base::invalid("op.attribute", "result '{}' has no '='", text);
    ColumnResult result;
    std::int64_t columns = 1;
    int open = 0;
    int groups = 0;
    bool in_rows = false;
    for (auto part = parts.begin(); part != equals; ++part) {
      ColumnResult::Axis axis{ColumnResult::kOpen, part->ends_with('r')};
      const std::string_view digits = part->substr(0, part->size() - (axis.is_row ? 1 : 0));
      if (digits.empty()) {
        ++open;
      } else {
        const auto size = number<std::int64_t>(digits);
        if (!size || *size < 0) base::invalid("op.attribute", "result '{}' has no axis '{}'", text, *part);
        axis.size = *size;
      }
      if (!axis.is_row &&
          (__builtin_mul_overflow(columns, axis.size, &columns) || columns > ColumnProgram::kMaxColumns)) {
        base::invalid("op.attribute", "result '{}' has more than {} columns", text, ColumnProgram::kMaxColumns);
      }
      if (axis.is_row && !in_rows) ++groups;
      in_rows = axis.is_row;
      result.axes.push_back(axis);
    }
    if (groups != 1 || open > 1 || result.axes.size() > static_cast<std::size_t>(Shape::kMaxRank)) {
      base::invalid("op.attribute", "result '{}' must have its rows together, of at most one axis without a size",
                    text);
    }
    for (auto part = equals + 1; part != parts.end(); ++part) result.columns.push_back(operand(*part, text));
    if (std::cmp_not_equal(result.columns.size(), columns)) {
      base::invalid("op.attribute", "result '{}' needs {} columns, but has {}", text, columns, result.columns.size());
    }
    program_.results.push_back(std::move(result));
  }

 private:
  ColumnOperand operand(std::string_view text, std::string_view where) const {
    if (text.starts_with('x')) {
      const std::size_t dot = std::min(text.find('.'), text.size());
      const auto input = number<std::uint32_t>(text.substr(1, dot - 1));
      const auto column = number<std::uint32_t>(text.substr(std::min(dot + 1, text.size())));
      if (input && column && *input < program_.layouts.size()) return InputColumn{*input, *column};
    } else if (text.starts_with('t')) {
      const auto step = number<std::uint32_t>(text.substr(1));
      if (step && *step < program_.steps.size()) return StepResult{*step};
    } else if (const auto value = number<float>(text)) {
      return *value;
    }
    base::invalid("op.attribute", "'{}' has no operand '{}'", where, text);
  }

  ColumnProgram& program_;
};

// One run of `r` at most, nothing but `r` and `c`.
bool is_layout(std::string_view layout) {
  if (layout.size() > static_cast<std::size_t>(Shape::kMaxRank)) return false;
  if (layout.find_first_not_of("rc") != std::string_view::npos) return false;
  const std::size_t first = layout.find('r');
  const std::size_t last = layout.rfind('r');
  return first == std::string_view::npos || layout.substr(first, last - first).find('c') == std::string_view::npos;
}

}  // namespace

std::string_view column_op_name(ColumnOp op) {
  return kOps[static_cast<std::size_t>(op)].name;
}

int operand_count(ColumnOp op) {
  return kOps[static_cast<std::size_t>(op)].operands;
}

std::int64_t ColumnResult::inner_columns() const {
  std::int64_t count = 1;
  for (std::size_t i = axes.size(); i-- > 0 && !axes[i].is_row;) count *= axes[i].size;
  return count;
}

bool ColumnProgram::is_repeated(const ColumnOperand& operand) const {
  if (const auto* column = std::get_if<InputColumn>(&operand)) return !has_rows(column->input);
  return std::holds_alternative<float>(operand);
}

tensor::Attributes column_attributes(const ColumnProgram& program) {
  std::vector<std::string> steps;
  for (const ColumnStep& step : program.steps) {
    std::string text(column_op_name(step.op));
    for (const ColumnOperand& operand : step.operands) text.append(" ").append(operand_text(operand));
    steps.push_back(std::move(text));
  }
  std::vector<std::string> results;
  for (const ColumnResult& result : program.results) {
    std::string text;
    for (const ColumnResult::Axis& axis : result.axes) {
      if (axis.size != ColumnResult::kOpen) text += fmt::format("{}", axis.size);
      text += axis.is_row ? "r " : " ";
    }
    text += "=";
    for (const ColumnOperand& column : result.columns) text.append(" ").append(operand_text(column));
    results.push_back(std::move(text));
  }
  tensor::Attributes attributes;
  attributes.set("layouts", program.layouts);
  attributes.set("steps", std::move(steps));
  attributes.set("results", std::move(results));
  return attributes;
}

ColumnProgram read_column_program(const tensor::Attributes& attributes, int input_count, int output_count) {
  ColumnProgram program;
  program.layouts = attributes.get_strings("layouts");
  if (std::cmp_not_equal(program.layouts.size(), input_count)) {
    base::invalid("op.attribute", "there are {} layouts for {} inputs", program.layouts.size(), input_count);
  }
  for (const std::string& layout : program.layouts) {
    if (!is_layout(layout)) base::invalid("op.attribute", "'{}' is no layout", layout);
  }
  if (std::ranges::none_of(program.layouts,
                           [](const std::string& layout) { return layout.find('r') != std::string::npos; })) {
    base::invalid("op.attribute", "no input has rows");
  }
  Reader reader(program);
  for (const std::string& step : attributes.get_strings("steps")) reader.step(step);
  for (const std::string& result : attributes.get_strings("results")) reader.result(result);
  if (std::cmp_not_equal(program.results.size(), output_count)) {
    base::invalid("op.attribute", "there are {} results for {} outputs", program.results.size(), output_count);
  }
  return program;
}

}  // namespace lanner::kernels
