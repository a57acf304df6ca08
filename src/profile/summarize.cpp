// Sums over events: tables, lanes, the critical path of the median run.
#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <tuple>
#include <unordered_map>

#include "profile/profile.h"

namespace lanner::profile {

namespace {

using Interval = std::pair<double, double>;  // start and end

// Sorted and disjoint.
std::vector<Interval> united(std::vector<Interval> intervals) {
  std::ranges::sort(intervals);
  std::vector<Interval> result;
  for (const Interval& next : intervals) {
    if (result.empty() || next.first > result.back().second)
      result.push_back(next);
    else
      result.back().second = std::max(result.back().second, next.second);
  }
  return result;
}

double length(const std::vector<Interval>& disjoint) {
  return std::accumulate(disjoint.begin(), disjoint.end(), 0.0,
                         [](double sum, const Interval& part) { return sum + part.second - part.first; });
}

// What is left of `whole` outside of `disjoint`, which is inside it.
std::vector<Interval> without(Interval whole, const std::vector<Interval>& disjoint) {
  std::vector<Interval> result;
  for (const Interval& hole : disjoint) {
    if (hole.first > whole.first) result.emplace_back(whole.first, hole.first);
    whole.first = hole.second;
  }
  if (whole.second > whole.first) result.push_back(whole);
  return result;
}

// Operator, backend and name of the row that an event belongs to; nothing where it belongs to none.
using RowKey = std::optional<std::tuple<std::string, std::string, std::string>>;

// Rows of the events by the keys of `key_of`, with the sums of their `time`, largest sum first.
template <typename KeyOf>
std::vector<ProfileRow> make_rows(const Data& data, double NamedEvent::*time, KeyOf key_of) {
  std::map<RowKey::value_type, ProfileRow> rows;
  for (const NamedEvent& event : data.events) {
    const RowKey key = key_of(event, data.labels[event.label]);
    if (!key) continue;
    ProfileRow& row = rows[*key];
    row.min_us = row.count == 0 ? event.*time : std::min(row.min_us, event.*time);
    row.max_us = std::max(row.max_us, event.*time);
    row.sum_us += event.*time;
    ++row.count;
  }
  std::vector<ProfileRow> result;
  for (auto& [key, row] : rows) {
    std::tie(row.op, row.backend, row.name) = key;
    row.mean_us = row.sum_us / static_cast<double>(row.count);
    result.push_back(std::move(row));
  }
  std::ranges::stable_sort(result, std::ranges::greater{}, &ProfileRow::sum_us);
  return result;
}

void add_tables(Data& data) {
  data.rows = make_rows(data, &NamedEvent::own_us, [](const NamedEvent&, const Label& label) {
    return label.child ? RowKey() : RowKey({label.op, label.backend, ""});
  });
  data.child_rows = make_rows(data, &NamedEvent::own_us, [](const NamedEvent&, const Label& label) {
    return label.child ? RowKey({label.op, label.backend, ""}) : RowKey();
  });
  data.backend_rows = make_rows(data, &NamedEvent::own_us, [](const NamedEvent&, const Label& label) {
    return label.child ? RowKey() : RowKey({"", label.backend, ""});
  });
  data.subgraph_rows = make_rows(data, &NamedEvent::own_us, [](const NamedEvent&, const Label& label) {
    return label.subgraph ? RowKey({label.op, label.backend, label.name}) : RowKey();
  });
}

// Sets the own time of every event, and what lanes were busy with. Waiting for the instructions inside it keeps no lane
// busy.
void add_own_times(Data& data) {
  std::size_t lane_count = static_cast<std::size_t>(std::max(data.facts.lanes, 1));
  std::unordered_map<EventIndex, std::vector<Interval>> inside;
  for (const NamedEvent& event : data.events) {
    lane_count = std::max(lane_count, static_cast<std::size_t>(event.lane) + 1);
    if (event.parent == kNoEvent || data.labels[event.label].child) continue;
    inside[event.parent].emplace_back(event.start_us, event.start_us + event.duration_us);
  }
  std::vector<std::vector<Interval>> busy(lane_count);
  for (EventIndex i = 0; i < data.events.size(); ++i) {
    NamedEvent& event = data.events[i];
    std::vector<Interval> own{{event.start_us, event.start_us + event.duration_us}};
    event.own_us = event.duration_us;
    if (const auto at = inside.find(i); at != inside.end()) {
      own = without(own.front(), united(std::move(at->second)));
      event.own_us = length(own);
    }
    if (data.labels[event.label].child) continue;
    for (std::size_t lane = 0; lane < lane_count; ++lane) {
      if (!event.wide && lane != static_cast<std::size_t>(event.lane)) continue;
      busy[lane].insert(busy[lane].end(), own.begin(), own.end());
    }
  }
  const double wall_us = 1000 * std::accumulate(data.run_ms.begin(), data.run_ms.end(), 0.0);
  for (std::vector<Interval>& intervals : busy) {
    const double busy_us = length(united(std::move(intervals)));
    data.lanes.push_back({busy_us, wall_us > 0 ? busy_us / wall_us : 0});
  }
}

void add_critical_path(Data& data) {
  const std::vector<double> lengths_us = mark_critical_paths(data);
  if (lengths_us.empty()) return;
  std::vector<int> by_time(data.run_ms.size());
  std::iota(by_time.begin(), by_time.end(), 0);
  std::ranges::stable_sort(by_time, {}, [&](int run) { return data.run_ms[static_cast<std::size_t>(run)]; });
  CriticalPath& path = data.critical_path;
  path.run = by_time[(by_time.size() - 1) / 2];
  path.length_us = lengths_us[static_cast<std::size_t>(path.run)];
  path.wall_us = 1000 * data.run_ms[static_cast<std::size_t>(path.run)];
  const auto [first, last] = events_of(data, path.run);
  for (EventIndex i = first; i < last; ++i) {
    if (!data.labels[data.events[i].label].child) path.serial_us += data.events[i].own_us;
    path.instruction_count += data.events[i].critical ? 1 : 0;
  }
  path.rows = make_rows(data, &NamedEvent::duration_us, [&](const NamedEvent& event, const Label& label) {
    return event.critical && event.run == path.run ? RowKey({label.op, label.backend, ""}) : RowKey();
  });
}

}  // namespace

std::shared_ptr<const Data> summarize(const Recorder& recorder, const RunTimes& times, SessionFacts facts) {
  auto data = std::make_shared<Data>();
  data->facts = std::move(facts);
  const std::int64_t origin_ns = times.start_ns.empty() ? 0 : times.start_ns.front();
  const auto us = [&](std::int64_t ns) { return static_cast<double>(ns - origin_ns) * 1e-3; };
  for (std::size_t i = 0; i < times.start_ns.size(); ++i) {
    data->run_start_us.push_back(us(times.start_ns[i]));
    data->run_ms.push_back(static_cast<double>(times.end_ns[i] - times.start_ns[i]) * 1e-6);
  }
  std::unordered_map<const Label*, std::size_t> index;
  for (const Event& event : recorder.events()) {
    const auto [at, is_new] = index.emplace(event.label, data->labels.size());
    if (is_new) {
      const Label& label = *event.label;
      data->labels.push_back({label.op, label.name, label.backend, label.child, label.subgraph, nullptr, {}});
    }
    NamedEvent& named = data->events.emplace_back();
    named.label = at->second;
    named.start_us = us(event.start_ns);
    named.duration_us = static_cast<double>(event.end_ns - event.start_ns) * 1e-3;
    named.lane = event.lane;
    named.run = event.run;
    named.wide = event.wide;
  }
  link_events(*data, recorder.events());
  add_own_times(*data);
  add_tables(*data);
  add_critical_path(*data);
  return data;
}

std::pair<EventIndex, EventIndex> events_of(const Data& data, int run) {
  const auto range = std::ranges::equal_range(data.events, run, {}, &NamedEvent::run);
  return {static_cast<EventIndex>(range.begin() - data.events.begin()),
          static_cast<EventIndex>(range.end() - data.events.begin())};
}

}  // namespace lanner::profile
