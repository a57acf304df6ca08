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
  // The table `#OpName #InvokeCount #Duration(us): Sum/Mean/Min/Max` as text, and a second one of the child rows.
  std::string table() const;
  // Rows, child rows, run times and every event as JSON text.
  std::string json() const;
  // The Chrome trace event format; opens in Perfetto and chrome://tracing.
  std::string trace_json() const;

  // Write table/trace to a file; throw `file.unwritable` and leave nothing half-written.
  void write_json(const std::filesystem::path& path) const;
  void write_trace(const std::filesystem::path& path) const;

 private:
  std::shared_ptr<const profile::Data> data_;
};

}  // namespace lanner
