// The Trace Event Format: complete events, one row ("thread") per lane and one below it for what is inside its
// subgraphs, and for the median run a flow from each instruction to those that waited for it.
#include <fmt/format.h>

#include <set>

#include "profile/json.h"

namespace lanner {

namespace profile {

namespace {

using nlohmann::json;

int row_of(const Data& data, const NamedEvent& event) {
  return 2 * event.lane + (data.labels[event.label].child ? 1 : 0);
}

void add_row_names(const Data& data, json& trace) {
  std::set<int> rows;
  for (const NamedEvent& event : data.events) rows.insert(row_of(data, event));
  for (const int row : rows) {
    trace.push_back({{"ph", "M"},
                     {"name", "thread_name"},
                     {"pid", 1},
                     {"tid", row},
                     {"args", {{"name", fmt::format("lane {}{}", row / 2, row % 2 == 1 ? " subgraphs" : "")}}}});
    trace.push_back(
        {{"ph", "M"}, {"name", "thread_sort_index"}, {"pid", 1}, {"tid", row}, {"args", {{"sort_index", row}}}});
  }
}

void add_arrows(const Data& data, json& trace) {
  int id = 0;
  const auto [first, last] = events_of(data, data.critical_path.run);
  for (EventIndex i = first; i < last; ++i) {
    const NamedEvent& to = data.events[i];
    for (const EventIndex needed : to.dependencies) {
      const NamedEvent& from = data.events[needed];
      // A flow binds to the slice that encloses its time: inside the first, at the beginning of the second.
      trace.push_back({{"ph", "s"},
                       {"id", ++id},
                       {"name", "dependency"},
                       {"cat", "dependency"},
                       {"pid", 1},
                       {"tid", row_of(data, from)},
                       {"ts", from.start_us + from.duration_us / 2}});
      trace.push_back({{"ph", "f"},
                       {"bp", "e"},
                       {"id", id},
                       {"name", "dependency"},
                       {"cat", "dependency"},
                       {"pid", 1},
                       {"tid", row_of(data, to)},
                       {"ts", to.start_us}});
    }
  }
}

}  // namespace

}  // namespace profile

std::string Profile::trace_json() const {
  nlohmann::json trace = nlohmann::json::array();
  profile::add_row_names(*data_, trace);
  for (const profile::NamedEvent& event : data_->events) {
    const profile::Label& label = data_->labels[event.label];
    trace.push_back(
        {{"ph", "X"},
         {"name", label.op},
         {"cat", label.backend},
         {"pid", 1},
         {"tid", profile::row_of(*data_, event)},
         {"ts", event.start_us},
         {"dur", event.duration_us},
         {"args",
          {{"node", label.name}, {"run", event.run}, {"critical", event.critical}, {"all lanes", event.wide}}}});
  }
  profile::add_arrows(*data_, trace);
  return profile::dump({{"traceEvents", std::move(trace)}, {"displayTimeUnit", "ms"}});
}

}  // namespace lanner
