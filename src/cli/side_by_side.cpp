#include "cli/side_by_side.h"

#include <fmt/format.h>

#include <algorithm>

namespace lanner::cli {

namespace {

constexpr std::size_t kMostNameColumns = 32;

bool begins_character(char c) {
  return (c & 0xc0) != 0x80;
}

// Display width: continuation bytes of UTF-8 take no column.
std::size_t columns(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, begins_character));
}

// Cut or padded to `width` columns.
std::string fitted(std::string_view text, std::size_t width) {
  const std::size_t have = columns(text);
  if (have <= width) return std::string(text) + std::string(width - have, ' ');
  std::size_t bytes = 0;
  for (std::size_t left = width; bytes < text.size(); ++bytes) {
    if (begins_character(text[bytes]) && left-- == 1) break;
  }
  return std::string(text.substr(0, bytes)) + "…";
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

}  // namespace

std::string short_table(const std::vector<ProfileRow>& rows) {
  std::string text = fmt::format("{} {:>12} {:>11} {:>10}\n", fitted("#OpName", kMostNameColumns), "#InvokeCount",
                                 "#Sum(us)", "#Mean(us)");
  for (const ProfileRow& row : rows) {
    text += fmt::format("{} {:>12} {:>11.1f} {:>10.1f}\n", fitted(row.op, kMostNameColumns), row.count, row.sum_us,
                        row.mean_us);
  }
  return text;
}

std::string side_by_side(std::string_view left, std::string_view right) {
  const std::vector<std::string_view> left_lines = lines_of(left), right_lines = lines_of(right);
  std::size_t width = 0;
  for (const std::string_view line : left_lines) width = std::max(width, columns(line));
  std::string text;
  for (std::size_t i = 0; i < std::max(left_lines.size(), right_lines.size()); ++i) {
    std::string line(i < left_lines.size() ? left_lines[i] : std::string_view());
    if (i < right_lines.size() && !right_lines[i].empty()) {
      line = fitted(line, width) + "    ";
      line += right_lines[i];
    }
    text += line + "\n";
  }
  return text;
}

}  // namespace lanner::cli
