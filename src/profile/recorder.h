// Where instructions leave their times. Recording is off when no recorder is given; then the VM does not read the
// clock.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "base/spin_mutex.h"

namespace lanner::profile {

// What an event is of. Owned by the loaded program and alive as long as its events are read.
struct Label {
  std::string op;       // "Conv", "NonMaxSuppression×90", for a subgraph "Subgraph[Conv×21, MaxPool×5]"
  std::string name;     // the model's name for the node
  std::string backend;  // "native", "onednn"
  bool child = false;   // part of a subgraph's time: listed apart, never added to the totals again
  bool subgraph = false;
  // The If or Loop in whose block the instruction is; null in the main block. Its events span those of the block.
  const Label* parent = nullptr;
  // The instructions of the same block that must have ended before this one starts.
  std::vector<const Label*> dependencies{};
  // The iterations of its block may run at once, each on one lane from beginning to end.
  bool region = false;
};

struct Event {
  const Label* label;
  std::int64_t start_ns;
  std::int64_t end_ns;
  int lane;
  int run;
  bool wide;   // it had all threads of the session to itself
  int thread;  // that recorded it: a subgraph's children are recorded by the thread that records the subgraph
};

// Collects events of one session. Thread-safe: lanes record at once. An event is recorded after those it contains.
class Recorder {
 public:
  void record(const Label& label, std::int64_t start_ns, std::int64_t end_ns, int lane = 0, bool wide = false) {
    const int thread = thread_number();
    const std::lock_guard lock(mutex_);
    events_.push_back({&label, start_ns, end_ns, lane, run_, wide, thread});
  }
  // Events recorded from now on belong to the next run.
  void begin_run() { ++run_; }
  const std::vector<Event>& events() const { return events_; }
  int run_count() const { return run_ + 1; }

 private:
  static int thread_number() {
    static std::atomic<int> next{0};
    thread_local const int number = next++;
    return number;
  }

  base::SpinMutex mutex_;
  std::vector<Event> events_;
  int run_ = -1;
};

}  // namespace lanner::profile
