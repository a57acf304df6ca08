#include "cli/arrangement.h"

#include <algorithm>
#include <barrier>
#include <cmath>
#include <exception>
#include <optional>
#include <thread>

#include "base/clock.h"

namespace lanner::cli {

namespace {

// A session measures its first requests, up to about thirty, to find out what to run beside what.
constexpr int kWarmRuns = 32;
constexpr double kMostWarmSeconds = 5;
constexpr double kNsPerSecond = 1e9;
constexpr double kNsPerMs = 1e6;

}  // namespace

std::vector<Arrangement> arrangements(int cpus, bool latency) {
  std::vector<int> thread_counts;
  for (int threads = 1; threads < cpus; threads *= 2) thread_counts.push_back(threads);
  thread_counts.push_back(cpus);
  std::vector<Arrangement> result;
  for (const int threads : thread_counts) result.push_back({latency ? 1 : std::max(cpus / threads, 1), threads});
  return result;
}

double Latencies::percentile(double part) const {
  std::vector<double> sorted = ms;
  std::ranges::sort(sorted);
  const double at = part * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return std::lerp(sorted[below], sorted[above], at - static_cast<double>(below));
}

// Protocol: all threads and run() meet at the barrier before a round, which reads the deadline, and after it, when the
// workers' latencies and errors may be read. A round whose deadline is 0 is the end.
struct Serving::State {
  struct Worker {
    std::vector<double> ms;
    std::exception_ptr error;
    std::jthread thread;
  };

  explicit State(int count) : barrier(count + 1), workers(static_cast<std::size_t>(count)) {}

  void serve(Worker& worker, const Program& program, const SessionOptions& options, const NamedValues& inputs) {
    std::optional<Session> session;
    const auto answer = [&] {
      const std::int64_t start_ns = base::now_ns();
      session->run(inputs);
      return static_cast<double>(base::now_ns() - start_ns) / kNsPerMs;
    };
    const auto guarded = [&](auto&& body) {
      try {
        if (worker.error == nullptr) body();
      } catch (...) {
        worker.error = std::current_exception();
      }
    };
    guarded([&] {
      session.emplace(program, options);
      const std::int64_t start_ns = base::now_ns();
      for (int i = 0; i < kWarmRuns; ++i) {
        answer();
        if (static_cast<double>(base::now_ns() - start_ns) > kMostWarmSeconds * kNsPerSecond) break;
      }
    });
    barrier.arrive_and_wait();
    for (;;) {
      barrier.arrive_and_wait();
      if (deadline_ns == 0) return;
      guarded([&] {
        do {
          worker.ms.push_back(answer());
        } while (base::now_ns() < deadline_ns);
      });
      barrier.arrive_and_wait();
    }
  }

  void rethrow() const {
    for (const Worker& worker : workers) {
      if (worker.error != nullptr) std::rethrow_exception(worker.error);
    }
  }

  std::barrier<> barrier;
  std::int64_t deadline_ns = 0;
  std::vector<Worker> workers;
  Latencies latencies;
};

Serving::Serving(const Program& program, const Arrangement& arrangement, int lanes, const NamedValues& inputs)
    : state_(std::make_unique<State>(arrangement.sessions)) {
  const SessionOptions options{.threads = arrangement.threads, .lanes = lanes};
  for (State::Worker& worker : state_->workers) {
    worker.thread =
        std::jthread([this, &worker, program, options, &inputs] { state_->serve(worker, program, options, inputs); });
  }
  state_->barrier.arrive_and_wait();
}

Serving::~Serving() {
  state_->deadline_ns = 0;
  state_->barrier.arrive_and_wait();
}

void Serving::run(double seconds) {
  state_->rethrow();
  const std::int64_t start_ns = base::now_ns();
  state_->deadline_ns = start_ns + static_cast<std::int64_t>(seconds * kNsPerSecond);
  state_->barrier.arrive_and_wait();
  state_->barrier.arrive_and_wait();
  state_->rethrow();
  state_->latencies.seconds += static_cast<double>(base::now_ns() - start_ns) / kNsPerSecond;
  for (State::Worker& worker : state_->workers) {
    state_->latencies.ms.insert(state_->latencies.ms.end(), worker.ms.begin(), worker.ms.end());
    worker.ms.clear();
  }
}

const Latencies& Serving::latencies() const {
  return state_->latencies;
}

}  // namespace lanner::cli
