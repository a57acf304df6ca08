// Which events contain which, and which an event waited for. Labels say it of instructions; a Loop or ForEach records
// an instruction once for each iteration, so events have to be matched in time and, inside a region, whose iterations
// may run at once, by their lane.
#include <algorithm>
#include <unordered_map>

#include "profile/profile.h"

namespace lanner::profile {

namespace {

class RunLinker {
  auto start() const {
    return [this](EventIndex i) { return recorded_[i].start_ns; };
  }

 public:
  RunLinker(Data& data, std::span<const Event> recorded, EventIndex first, EventIndex last)
      : data_(data), recorded_(recorded), first_(first), last_(last) {
    for (EventIndex i = first; i < last; ++i) {
      if (recorded[i].label->child) continue;
      of_label_[recorded[i].label].push_back(i);
      if (recorded[i].label->subgraph) subgraphs_of_thread_[recorded[i].thread].push_back(i);
    }
    for (auto& [label, events] : of_label_) std::ranges::sort(events, {}, start());
    for (auto& [thread, events] : subgraphs_of_thread_) std::ranges::sort(events, {}, start());
  }

  void link() {
    for (EventIndex i = first_; i < last_; ++i) {
      const Label& label = *recorded_[i].label;
      NamedEvent& event = data_.events[i];
      if (label.child) {
        event.parent = container_of(i, subgraphs_of_thread_[recorded_[i].thread]);
        if (event.parent == kNoEvent) continue;
        event.lane = data_.events[event.parent].lane;
        event.wide = data_.events[event.parent].wide;
      } else if (label.parent != nullptr) {
        event.parent = container_of(i, of_label_[label.parent]);
      }
    }
    for (EventIndex i = first_; i < last_; ++i) {
      for (const Label* needed : recorded_[i].label->dependencies) {
        const EventIndex found = ended_before(i, of_label_[needed]);
        if (found != kNoEvent) data_.events[i].dependencies.push_back(found);
      }
    }
  }

 private:
  static bool in_region(const Label& label) {
    const Label* outer = label.parent;
    while (outer != nullptr && !outer->region) outer = outer->parent;
    return outer != nullptr;
  }

  // The innermost of `events`, which are sorted by start, that event `i` is inside of.
  EventIndex container_of(EventIndex i, const std::vector<EventIndex>& events) const {
    const Event& inner = recorded_[i];
    auto at = std::ranges::upper_bound(events, inner.start_ns, {}, start());
    while (at != events.begin()) {
      const Event& outer = recorded_[*--at];
      const bool same_lane = outer.wide || outer.lane == inner.lane || !in_region(*inner.label);
      if (*at != i && outer.end_ns >= inner.end_ns && same_lane) return *at;
    }
    return kNoEvent;
  }

  // The last of `events` in the same parent (inside a region: and iteration) that had ended when event `i`
  // started.
  EventIndex ended_before(EventIndex i, const std::vector<EventIndex>& events) const {
    const Event& waiting = recorded_[i];
    auto at = std::ranges::upper_bound(events, waiting.start_ns, {}, start());
    while (at != events.begin()) {
      --at;
      if (recorded_[*at].end_ns > waiting.start_ns) continue;
      if (recorded_[*at].lane != waiting.lane && in_region(*waiting.label)) continue;
      return data_.events[*at].parent == data_.events[i].parent ? *at : kNoEvent;
    }
    return kNoEvent;
  }

  Data& data_;
  std::span<const Event> recorded_;
  EventIndex first_, last_;
  std::unordered_map<const Label*, std::vector<EventIndex>> of_label_;
  std::unordered_map<int, std::vector<EventIndex>> subgraphs_of_thread_;
};

}  // namespace

void link_events(Data& data, std::span<const Event> recorded) {
  for (int run = 0; run < static_cast<int>(data.run_ms.size()); ++run) {
    const auto [first, last] = events_of(data, run);
    RunLinker(data, recorded, first, last).link();
  }
}

}  // namespace lanner::profile
