// The longest chain of dependent instructions in each run.
#include <algorithm>

#include "profile/profile.h"

namespace lanner::profile {

namespace {

double mark_critical_path(Data& data, EventIndex first, EventIndex last) {
  std::vector<EventIndex> order;  // of the main block; what an event depends on ended before it started
  for (EventIndex i = first; i < last; ++i) {
    if (data.events[i].parent == kNoEvent && !data.labels[data.events[i].label].child) order.push_back(i);
  }
  std::ranges::stable_sort(order, {}, [&](EventIndex i) { return data.events[i].start_us; });
  struct Chain {
    double length_us = 0;
    EventIndex before = kNoEvent;
  };
  std::vector<Chain> chains(last - first);
  EventIndex end = kNoEvent;
  for (const EventIndex i : order) {
    Chain& chain = chains[i - first];
    for (const EventIndex needed : data.events[i].dependencies) {
      const double length_us = chains[needed - first].length_us;
      if (length_us > chain.length_us) chain = {length_us, needed};
    }
    chain.length_us += data.events[i].duration_us;
    if (end == kNoEvent || chain.length_us > chains[end - first].length_us) end = i;
  }
  if (end == kNoEvent) return 0;
  for (EventIndex i = end; i != kNoEvent; i = chains[i - first].before) data.events[i].critical = true;
  return chains[end - first].length_us;
}

}  // namespace

std::vector<double> mark_critical_paths(Data& data) {
  std::vector<double> lengths_us;
  for (int run = 0; run < static_cast<int>(data.run_ms.size()); ++run) {
    const auto [first, last] = events_of(data, run);
    lengths_us.push_back(mark_critical_path(data, first, last));
  }
  return lengths_us;
}

}  // namespace lanner::profile
