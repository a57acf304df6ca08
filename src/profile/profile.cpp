#include "profile/profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>
#include <unordered_map>

#include "base/file.h"

namespace lanner {

namespace profile {

namespace {

using nlohmann::json;

// Rows by operator and backend of the events whose labels are (not) children.
std::vector<ProfileRow> make_rows(const Data& data, bool children) {
  std::map<std::pair<std::string, std::string>, ProfileRow> rows;
  for (const NamedEvent& event : data.events) {
    const Label& label = data.labels[event.label];
    if (label.child != children) continue;
    ProfileRow& row = rows[{label.op, label.backend}];
    row.min_us = row.count == 0 ? event.duration_us : std::min(row.min_us, event.duration_us);
    row.max_us = std::max(row.max_us, event.duration_us);
    row.sum_us += event.duration_us;
    ++row.count;
  }
  std::vector<ProfileRow> result;
  for (auto& [key, row] : rows) {
    std::tie(row.op, row.backend) = key;
    row.mean_us = row.sum_us / static_cast<double>(row.count);
    result.push_back(std::move(row));
  }
  std::ranges::stable_sort(result, std::ranges::greater{}, &ProfileRow::sum_us);
  return result;
}

// Display width: continuation bytes of UTF-8 take no column.
std::size_t columns(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string padded(std::string text, std::size_t width) {
  const std::size_t have = columns(text);
  return have < width ? text.append(width - have, ' ') : text;
}

std::string rows_text(const std::vector<ProfileRow>& rows) {
  std::size_t width = columns("#OpName");
  for (const ProfileRow& row : rows) width = std::max(width, columns(row.op));
  width = std::min<std::size_t>(width, 60);
  std::string text = fmt::format("{}  {:<8}  {:>12}  {}\n", padded("#OpName", width), "#Backend", "#InvokeCount",
                                 "#Duration(us): Sum/Mean/Min/Max");
  for (const ProfileRow& row : rows) {
    text += fmt::format("{}  {:<8}  {:>12}  {:.1f}/{:.1f}/{:.1f}/{:.1f}\n", padded(row.op, width), row.backend,
                        row.count, row.sum_us, row.mean_us, row.min_us, row.max_us);
  }
  return text;
}

json rows_json(const std::vector<ProfileRow>& rows) {
  json result = json::array();
  for (const ProfileRow& row : rows) {
    result.push_back({{"operator", row.op},
                      {"backend", row.backend},
                      {"count", row.count},
                      {"sum_us", row.sum_us},
                      {"mean_us", row.mean_us},
                      {"min_us", row.min_us},
                      {"max_us", row.max_us}});
  }
  return result;
}

// Names come from models and need not be valid UTF-8.
std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

std::shared_ptr<const Data> summarize(const Recorder& recorder, const std::vector<std::int64_t>& run_start_ns,
                                      const std::vector<std::int64_t>& run_end_ns) {
  auto data = std::make_shared<Data>();
  const std::int64_t origin_ns = run_start_ns.empty() ? 0 : run_start_ns.front();
  std::unordered_map<const Label*, std::size_t> index;
  for (const Event& event : recorder.events()) {
    const auto [at, is_new] = index.emplace(event.label, data->labels.size());
    if (is_new) data->labels.push_back(*event.label);
    data->events.push_back({at->second, static_cast<double>(event.start_ns - origin_ns) * 1e-3,
                            static_cast<double>(event.end_ns - event.start_ns) * 1e-3, event.lane, event.run});
  }
  for (std::size_t i = 0; i < run_start_ns.size(); ++i) {
    data->run_ms.push_back(static_cast<double>(run_end_ns[i] - run_start_ns[i]) * 1e-6);
  }
  data->rows = make_rows(*data, false);
  data->child_rows = make_rows(*data, true);
  return data;
}

}  // namespace profile

int Profile::run_count() const {
  return static_cast<int>(data_->run_ms.size());
}

const std::vector<double>& Profile::run_ms() const {
  return data_->run_ms;
}

const std::vector<ProfileRow>& Profile::rows() const {
  return data_->rows;
}

const std::vector<ProfileRow>& Profile::child_rows() const {
  return data_->child_rows;
}

std::string Profile::table() const {
  std::string text = profile::rows_text(data_->rows);
  if (!data_->child_rows.empty()) {
    text += "\nInside the subgraphs (part of the rows above)\n" + profile::rows_text(data_->child_rows);
  }
  return text;
}

std::string Profile::json() const {
  nlohmann::json events = nlohmann::json::array();
  for (const profile::NamedEvent& event : data_->events) {
    const profile::Label& label = data_->labels[event.label];
    events.push_back({{"operator", label.op},
                      {"name", label.name},
                      {"backend", label.backend},
                      {"child", label.child},
                      {"start_us", event.start_us},
                      {"duration_us", event.duration_us},
                      {"lane", event.lane},
                      {"run", event.run}});
  }
  return profile::dump({{"runs", run_count()},
                        {"run_ms", data_->run_ms},
                        {"rows", profile::rows_json(data_->rows)},
                        {"child_rows", profile::rows_json(data_->child_rows)},
                        {"events", std::move(events)}});
}

// The Trace Event Format's complete events: one row ("thread") per lane, children on a row of their own below it.
std::string Profile::trace_json() const {
  nlohmann::json events = nlohmann::json::array();
  std::vector<int> rows;
  for (const profile::NamedEvent& event : data_->events) {
    const profile::Label& label = data_->labels[event.label];
    const int row = 2 * event.lane + (label.child ? 1 : 0);
    if (std::ranges::find(rows, row) == rows.end()) {
      rows.push_back(row);
      events.push_back({{"ph", "M"},
                        {"name", "thread_name"},
                        {"pid", 1},
                        {"tid", row},
                        {"args", {{"name", fmt::format("lane {}{}", event.lane, label.child ? " subgraphs" : "")}}}});
    }
    events.push_back({{"ph", "X"},
                      {"name", label.op},
                      {"cat", label.backend},
                      {"pid", 1},
                      {"tid", row},
                      {"ts", event.start_us},
                      {"dur", event.duration_us},
                      {"args", {{"node", label.name}, {"run", event.run}}}});
  }
  return profile::dump({{"traceEvents", std::move(events)}, {"displayTimeUnit", "ms"}});
}

void Profile::write_json(const std::filesystem::path& path) const {
  base::write_file_atomically(path, json());
}

void Profile::write_trace(const std::filesystem::path& path) const {
  base::write_file_atomically(path, trace_json());
}

}  // namespace lanner
