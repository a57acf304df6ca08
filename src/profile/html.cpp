// The page: report.html, which the build puts into report_html.inc, with the profiles as JSON in place of its marker:
//
//   {"model",
//    "profiles": [{"title", summary_json()..., "report": the compiler's or {},
//                  "labels": [{"op", "name", "backend", "child"}],
//                  "events": [{"run", "events": [[label, start, duration, lane, flags, parent, dependencies]]}]}]}
//
// Times are microseconds from the run's start; parent (-1: none) and dependencies count the run's events from 0; flags
// are 1 for an event of all lanes and 2 for one of the critical path. The first entry of "events" is the median run.
// The page holds the times of all runs, and the events of as many as fit into kMostEvents.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "profile/json.h"

namespace lanner {

namespace profile {

namespace {

using nlohmann::json;

constexpr char kTemplate[] = {
#include "profile/report_html.inc"
};
constexpr std::string_view kMarker = "@PROFILE@";
constexpr std::size_t kMostEvents = 100'000;

// To the nanosecond, which is what the clock gives.
double rounded(double us) {
  return std::round(us * 1000) / 1000;
}

json run_json(const Data& data, int run) {
  json events = json::array();
  const auto [first, last] = events_of(data, run);
  const double start_us = data.run_start_us[static_cast<std::size_t>(run)];
  for (EventIndex i = first; i < last; ++i) {
    const NamedEvent& event = data.events[i];
    json dependencies = json::array();
    for (const EventIndex needed : event.dependencies) dependencies.push_back(needed - first);
    const int flags = (event.wide ? 1 : 0) + (event.critical ? 2 : 0);
    const std::int64_t parent = event.parent == kNoEvent ? -1 : std::int64_t{event.parent} - first;
    events.push_back({event.label, rounded(event.start_us - start_us), rounded(event.duration_us), event.lane, flags,
                      parent, std::move(dependencies)});
  }
  return {{"run", run}, {"events", std::move(events)}};
}

// The median, the fastest and the slowest run, then the others in order, as long as there is room for their events.
std::vector<int> shown_runs(const Data& data) {
  if (data.run_ms.empty()) return {};
  const auto position = [&](auto at) { return static_cast<int>(at - data.run_ms.begin()); };
  std::vector<int> candidates{data.critical_path.run, position(std::ranges::min_element(data.run_ms)),
                              position(std::ranges::max_element(data.run_ms))};
  for (int run = 0; run < static_cast<int>(data.run_ms.size()); ++run) candidates.push_back(run);
  std::vector<int> shown;
  std::size_t event_count = 0;
  for (const int run : candidates) {
    if (std::ranges::find(shown, run) != shown.end()) continue;
    const auto [first, last] = events_of(data, run);
    event_count += last - first;
    if (!shown.empty() && event_count > kMostEvents) break;
    shown.push_back(run);
  }
  return shown;
}

json profile_json(const TitledProfile& titled) {
  const Data& data = titled.profile.data();
  json result = summary_json(titled.profile);
  result["title"] = titled.title;
  result["report"] = data.facts.report.empty() ? json::object() : json::parse(data.facts.report, nullptr, false);
  if (!result["report"].is_object()) result["report"] = json::object();
  json labels = json::array();
  for (const Label& label : data.labels) {
    labels.push_back({{"op", label.op}, {"name", label.name}, {"backend", label.backend}, {"child", label.child}});
  }
  result["labels"] = std::move(labels);
  json events = json::array();
  for (const int run : shown_runs(data)) events.push_back(run_json(data, run));
  result["events"] = std::move(events);
  return result;
}

}  // namespace

std::string html_page(const std::string& model, std::span<const TitledProfile> profiles) {
  json all = json::array();
  for (const TitledProfile& profile : profiles) all.push_back(profile_json(profile));
  const std::string text = dump({{"model", model}, {"profiles", std::move(all)}});
  const std::string_view page(kTemplate, sizeof(kTemplate));
  const std::size_t marker = page.find(kMarker);
  std::string result(page.substr(0, marker));
  result.reserve(page.size() + text.size());
  // Inside a script element only `<` can begin anything but text, and JSON has it in strings only.
  for (const char c : text) {
    if (c == '<')
      result += "\\u003c";
    else
      result += c;
  }
  return result.append(page.substr(marker + kMarker.size()));
}

}  // namespace profile

std::string Profile::html() const {
  const profile::TitledProfile titled{"", *this};
  return profile::html_page("", {&titled, 1});
}

}  // namespace lanner
