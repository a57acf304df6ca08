// How a session finds out what to run beside what: its first requests are measured.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "vm/frame.h"
#include "vm/loaded_program.h"

namespace lanner::vm {

// The first requests run serially with all threads, to warm up and to measure, and some with one thread. From these
// times schedules are made; they then run some requests in turns with the plain serial one, and the fastest is kept.
class Measurement {
 public:
  // `program` outlives the measurement.
  Measurement(LoadedProgram& program, int threads, int lanes) : program_(program), threads_(threads), lanes_(lanes) {}

  // Runs one request, on `serial` or under the schedule that is being tried.
  std::vector<Value> run(Frame& serial, std::span<const Value> inputs, const RunEnvironment& environment);

  // What was found to be fastest; null while that is not known.
  const std::shared_ptr<const Layout>& result() const { return result_; }

 private:
  struct Candidate {
    std::shared_ptr<const Layout> layout;
    std::optional<Frame> frame;  // none: that of the plain serial order
    std::int64_t best_ns = std::numeric_limits<std::int64_t>::max();
  };

  std::vector<Value> run_timed(Frame& frame, std::span<const Value> inputs, RunEnvironment environment);
  void propose();
  void choose();
  void add_candidate(Schedule schedule);

  LoadedProgram& program_;
  int threads_;
  int lanes_;
  int runs_ = 0;
  Costs costs_;
  std::vector<Candidate> candidates_;
  std::int64_t trials_ns_ = 0;  // all of them together
  std::shared_ptr<const Layout> result_;
};

}  // namespace lanner::vm
