// How many requests sessions answer together: each on a thread of its own, one request after another.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "lanner/program.h"
#include "lanner/session.h"

namespace lanner::cli {

// So many sessions with so many threads each.
struct Arrangement {
  int sessions = 1;
  int threads = 1;
};

// Those worth trying on `cpus` CPUs: one session for `latency`, else as many as keep every CPU busy.
std::vector<Arrangement> arrangements(int cpus, bool latency);

struct Latencies {
  std::vector<double> ms;  // of every request
  double seconds = 0;      // that the sessions have run

  double per_second() const { return seconds > 0 ? static_cast<double>(ms.size()) / seconds : 0; }
  // Interpolated between neighbours; `part` in [0, 1]. `ms` is not empty.
  double percentile(double part) const;
};

// The sessions of an arrangement, warm and measured when the constructor returns; their threads sleep between rounds.
// Not thread-safe.
class Serving {
 public:
  // `inputs` outlive this. Throws what a session throws.
  Serving(const Program& program, const Arrangement& arrangement, int lanes, const NamedValues& inputs);
  ~Serving();

  // Every session answers requests for so long, and begins none after that. Throws what a request throws.
  void run(double seconds);
  // Of all rounds together.
  const Latencies& latencies() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lanner::cli
