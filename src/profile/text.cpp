// The tables for people.
#include <fmt/format.h>

#include <algorithm>

#include "profile/profile.h"

namespace lanner {

namespace profile {

namespace {

constexpr std::size_t kMostNameColumns = 60;
constexpr std::size_t kMostPathRows = 5;

// Display width: continuation bytes of UTF-8 take no column.
std::size_t columns(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string padded(std::string text, std::size_t width) {
  const std::size_t have = columns(text);
  return have < width ? text.append(width - have, ' ') : text;
}

std::size_t width_of(const std::vector<ProfileRow>& rows, std::string ProfileRow::*field, std::string_view title) {
  std::size_t width = columns(title);
  for (const ProfileRow& row : rows) width = std::max(width, columns(row.*field));
  return std::min(width, kMostNameColumns);
}

std::string durations(const ProfileRow& row) {
  return fmt::format("{:.1f}/{:.1f}/{:.1f}/{:.1f}", row.sum_us, row.mean_us, row.min_us, row.max_us);
}

std::string rows_text(const std::vector<ProfileRow>& rows) {
  const std::size_t width = width_of(rows, &ProfileRow::op, "#OpName");
  std::string text = fmt::format("{}  {:<8}  {:>12}  {}\n", padded("#OpName", width), "#Backend", "#InvokeCount",
                                 "#Duration(us): Sum/Mean/Min/Max");
  for (const ProfileRow& row : rows) {
    text += fmt::format("{}  {:<8}  {:>12}  {}\n", padded(row.op, width), row.backend, row.count, durations(row));
  }
  return text;
}

// Rows by one of their fields, with their share of all instructions' time.
std::string shares_text(const std::vector<ProfileRow>& rows, std::string ProfileRow::*field, std::string_view title,
                        double total_us) {
  const std::size_t width = width_of(rows, field, title);
  std::string text = fmt::format("{}  {:>6}  {:>12}  {}\n", padded(std::string(title), width), "#Share", "#InvokeCount",
                                 "#Duration(us): Sum/Mean/Min/Max");
  for (const ProfileRow& row : rows) {
    text += fmt::format("{}  {:>5.1f}%  {:>12}  {}\n", padded(row.*field, width),
                        total_us > 0 ? 100 * row.sum_us / total_us : 0, row.count, durations(row));
  }
  return text;
}

std::string lanes_text(const std::vector<ProfileLane>& lanes) {
  std::string text = "Lanes, busy time by wall-clock time: ";
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    text += fmt::format("{}lane {} {:.1f}%", i == 0 ? "" : ", ", i, 100 * lanes[i].occupancy);
  }
  return text + "\n";
}

std::string path_text(const CriticalPath& path) {
  std::string text = fmt::format(
      "Critical path of the median run: {:.1f} us through {} instruction{}; serial sum {:.1f} us; the run took {:.1f} "
      "us\n",
      path.length_us, path.instruction_count, path.instruction_count == 1 ? "" : "s", path.serial_us, path.wall_us);
  for (std::size_t i = 0; i < std::min(path.rows.size(), kMostPathRows); ++i) {
    const ProfileRow& row = path.rows[i];
    text += fmt::format("  {:>5.1f}%  {}{}\n", path.length_us > 0 ? 100 * row.sum_us / path.length_us : 0, row.op,
                        row.count == 1 ? "" : fmt::format(", {} times", row.count));
  }
  return text;
}

std::string bytes_text(std::int64_t bytes) {
  return fmt::format("{:.2f} MiB", static_cast<double>(bytes) / (1 << 20));
}

std::string memory_text(const ProfileMemory& memory) {
  return fmt::format("Peak memory: session {} (arena {}, pool {}), process {}\n",
                     bytes_text(memory.arena_bytes + memory.pool_bytes), bytes_text(memory.arena_bytes),
                     bytes_text(memory.pool_bytes), bytes_text(memory.process_bytes));
}

}  // namespace

}  // namespace profile

std::string Profile::table() const {
  std::string text = profile::rows_text(data_->rows);
  if (!data_->child_rows.empty()) {
    text += "\nInside the subgraphs (part of the rows above)\n" + profile::rows_text(data_->child_rows);
  }
  return text;
}

std::string Profile::summary() const {
  double total_us = 0;
  for (const ProfileRow& row : data_->rows) total_us += row.sum_us;
  std::string text = profile::shares_text(data_->backend_rows, &ProfileRow::backend, "#Backend", total_us);
  if (!data_->subgraph_rows.empty()) {
    text.append("\n").append(
        profile::shares_text(data_->subgraph_rows, &ProfileRow::name, "#Subgraph, by its first node", total_us));
  }
  return text + "\n" + profile::path_text(data_->critical_path) + profile::lanes_text(data_->lanes) +
         profile::memory_text(data_->facts.memory);
}

}  // namespace lanner
