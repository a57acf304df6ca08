// Where instructions leave their times. Recording is off when no recorder is given; then the VM does not read the
// clock.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace lanner::profile {

// What an event is of. Owned by the loaded program and alive as long as its events are read.
struct Label {
  std::string op;       // "Conv", "NonMaxSuppression×90", for a subgraph "Subgraph[Conv×21, MaxPool×5]"
  std::string name;     // the model's name for the node
  std::string backend;  // "native", "onednn"
  bool child = false;   // part of a subgraph's time: listed apart, never added to the totals again
};

struct Event {
  const Label* label;
  std::int64_t start_ns;
  std::int64_t end_ns;
  int lane;
  int run;
};

// Collects events of one session. Thread-safe: lanes record at once.
class Recorder {
 public:
  void record(const Label& label, std::int64_t start_ns, std::int64_t end_ns, int lane = 0) {
    const std::lock_guard lock(mutex_);
    events_.push_back({&label, start_ns, end_ns, lane, run_});
  }
  // Events recorded from now on belong to the next run.
  void begin_run() { ++run_; }
  const std::vector<Event>& events() const { return events_; }
  int run_count() const { return run_ + 1; }

 private:
  std::mutex mutex_;
  std::vector<Event> events_;
  int run_ = -1;
};

}  // namespace lanner::profile
