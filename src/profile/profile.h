// From recorded events to what a Profile holds. text.cpp, json.cpp, trace.cpp and html.cpp write it.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lanner/profile.h"
#include "profile/recorder.h"

namespace lanner::profile {

using EventIndex = std::uint32_t;
inline constexpr EventIndex kNoEvent = std::numeric_limits<EventIndex>::max();

// An event with its own copy of the label, so that a profile outlives its program. Times from the first run's start.
struct NamedEvent {
  std::size_t label;  // index into Data::labels
  double start_us;
  double duration_us;
  int lane;
  int run;
  bool wide = false;             // it had all threads to itself
  bool critical = false;         // on the critical path of its run
  EventIndex parent = kNoEvent;  // the If, Loop or subgraph it is inside
  double own_us = 0;             // without the instructions inside; of a subgraph and of its children the duration
  std::vector<EventIndex> dependencies;
};

struct RunTimes {
  std::vector<std::int64_t> start_ns, end_ns;  // one entry per recorded run
};

// What the session knows and events do not tell.
struct SessionFacts {
  int threads = 1;
  int lanes = 1;
  ProfileMemory memory;
  std::string report;  // the compiler's, as JSON; "" where there is none
};

struct Data {
  std::vector<Label> labels;       // `parent` and `dependencies` are null: events have their own
  std::vector<NamedEvent> events;  // those of a run stand together, in the order of runs
  std::vector<double> run_start_us, run_ms;
  std::vector<ProfileRow> rows, child_rows, backend_rows, subgraph_rows;
  std::vector<ProfileLane> lanes;
  CriticalPath critical_path;
  SessionFacts facts;
};

std::shared_ptr<const Data> summarize(const Recorder& recorder, const RunTimes& times, SessionFacts facts = {});

// Finds the parents and dependencies of events among each other. `recorded` are the events that `data` was made of, in
// the same order.
void link_events(Data& data, std::span<const Event> recorded);

// Marks the critical path of each run and returns its length for each.
std::vector<double> mark_critical_paths(Data& data);

// The events of a run: [first, last).
std::pair<EventIndex, EventIndex> events_of(const Data& data, int run);

// A page with one or several profiles of `model` to choose from, each with its title.
struct TitledProfile {
  std::string title;
  Profile profile;
};
std::string html_page(const std::string& model, std::span<const TitledProfile> profiles);

}  // namespace lanner::profile
