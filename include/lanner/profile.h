// Where the time of a number of runs went.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "lanner/export.h"

namespace lanner {

// One operator's share. Durations in microseconds, over all invocations of all runs.
struct ProfileRow {
  std::string op;       // "Conv"; a fused or batched one keeps the ONNX names it stands for: "NonMaxSuppression×90"
  std::string backend;  // "native", "onednn"
  std::int64_t count = 0;
  double sum_us = 0;
  double mean_us = 0;
  double min_us = 0;
  double max_us = 0;
  std::string name;  // the model's name for the node, in rows that are of one instruction
};

struct ProfileLane {
  double busy_us = 0;    // over all runs; an instruction that has all threads to itself counts for each lane
  double occupancy = 0;  // busy_us by the wall-clock time of all runs
};

// The chain of instructions, each waiting for the one before, that takes the longest: no number of lanes makes the run
// shorter than that. If and Loop count as a whole.
struct CriticalPath {
  int run = 0;           // the run it is of, that with the median time
  double length_us = 0;  // the sum of the chain's durations
  double serial_us = 0;  // the sum of all durations of the run: what one lane would need
  double wall_us = 0;    // what the run took
  std::size_t instruction_count = 0;
  std::vector<ProfileRow> rows;  // of the chain's instructions, by operator and backend, largest sum first
};

// Highest numbers of bytes up to the end of the last run.
struct ProfileMemory {
  std::int64_t arena_bytes = 0;    // planned memory of the session's blocks, reserved for its life
  std::int64_t pool_bytes = 0;     // reserved for values of unknown size, outputs, and what subgraphs work on
  std::int64_t process_bytes = 0;  // resident in the process: weights, libraries and compiling included
};

namespace profile {
struct Data;
}

// Immutable; copies share the data. Thread-safe.
class LANNER_EXPORT Profile {
 public:
  explicit Profile(std::shared_ptr<const profile::Data> data) : data_(std::move(data)) {}

  int run_count() const;
  // Wall-clock milliseconds of each run.
  const std::vector<double>& run_ms() const;
  // Instructions by operator and backend, largest sum first. Control flow (If, Loop) counts its own cost only, not that
  // of the instructions inside.
  const std::vector<ProfileRow>& rows() const;
  // What ran inside backend subgraphs; part of the subgraphs' rows, not added to them.
  const std::vector<ProfileRow>& child_rows() const;
  // One row a backend, without `op`.
  const std::vector<ProfileRow>& backend_rows() const;
  // One row a subgraph, with `name`.
  const std::vector<ProfileRow>& subgraph_rows() const;
  const std::vector<ProfileLane>& lanes() const;
  const CriticalPath& critical_path() const;
  const ProfileMemory& memory() const;

  // The table `#OpName #InvokeCount #Duration(us): Sum/Mean/Min/Max` as text, and a second one of the child rows.
  std::string table() const;
  // Backends, subgraphs, lanes, critical path and memory as text.
  std::string summary() const;
  // All of the above and every event as JSON text.
  std::string json() const;
  // The Chrome trace event format; opens in Perfetto and chrome://tracing. One row per lane, and one below it for what
  // is inside its subgraphs; dependencies are arrows in the median run.
  std::string trace_json() const;
  // One page without references to other files: timeline, critical path, table, placement and rules.
  std::string html() const;

  // Write these to a file; throw `file.unwritable` and leave nothing half-written.
  void write_json(const std::filesystem::path& path) const;
  void write_trace(const std::filesystem::path& path) const;
  void write_html(const std::filesystem::path& path) const;

  const profile::Data& data() const { return *data_; }

 private:
  std::shared_ptr<const profile::Data> data_;
};

}  // namespace lanner
