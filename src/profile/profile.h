// From recorded events to the tables, JSON and trace of a Profile.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lanner/profile.h"
#include "profile/recorder.h"

namespace lanner::profile {

// An event with its own copy of the label, so that a profile outlives its program. Times from the first run's start.
struct NamedEvent {
  std::size_t label;  // index into Data::labels
  double start_us;
  double duration_us;
  int lane;
  int run;
};

struct Data {
  std::vector<Label> labels;
  std::vector<NamedEvent> events;
  std::vector<double> run_ms;
  std::vector<ProfileRow> rows;
  std::vector<ProfileRow> child_rows;
};

// `run_start_ns` and `run_end_ns` hold one entry per recorded run.
std::shared_ptr<const Data> summarize(const Recorder& recorder, const std::vector<std::int64_t>& run_start_ns,
                                      const std::vector<std::int64_t>& run_end_ns);

}  // namespace lanner::profile
