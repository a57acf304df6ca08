#include "base/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "base/fail.h"

#ifdef LANNER_OPENMP
#include <omp.h>
#endif

namespace lanner::base {

namespace internal {

namespace {

// Hands out chunks to whoever asks and keeps the first exception. One object per parallel loop; `next` is the only word
// written by all threads, and `error` is written once, by the thread that wins `failed`; the join at the loop's end
// makes it visible.
struct Ranges {
  std::int64_t count;
  std::int64_t chunk;
  RangeFunction function;
  void* context;
  std::atomic<std::int64_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error;

  void work() noexcept {
    while (!failed.load(std::memory_order_relaxed)) {
      const std::int64_t begin = next.fetch_add(chunk, std::memory_order_relaxed);
      if (begin >= count) return;
      try {
        function(context, begin, std::min(begin + chunk, count));
      } catch (...) {
        if (!failed.exchange(true)) error = std::current_exception();
      }
    }
  }
};

}  // namespace

void parallel_ranges(int threads, std::int64_t count, std::int64_t chunk, RangeFunction function, void* context) {
  Ranges ranges{count, chunk, function, context, {}, {}, {}};
  const std::int64_t chunk_count = (count + chunk - 1) / chunk;
  const int team = static_cast<int>(std::min<std::int64_t>(threads, chunk_count));
#ifdef LANNER_OPENMP
#pragma omp parallel num_threads(team)
  ranges.work();
#else
  std::vector<std::thread> helpers;
  for (int i = 1; i < team; ++i) helpers.emplace_back([&] { ranges.work(); });
  ranges.work();
  for (std::thread& helper : helpers) helper.join();
#endif
  if (ranges.error) std::rethrow_exception(ranges.error);
}

}  // namespace internal

namespace {

// The CPU quota of the process's cgroup (version 2, then 1) in CPUs, or 0 when there is none.
double cgroup_cpu_quota() {
  std::ifstream v2("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (v2 >> quota >> period && quota != "max" && period > 0) return std::stod(quota) / period;
  std::ifstream v1_quota("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  std::ifstream v1_period("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  double microseconds = 0;
  if (v1_quota >> microseconds && v1_period >> period && microseconds > 0 && period > 0) return microseconds / period;
  return 0;
}

}  // namespace

int available_cpu_count() {
  cpu_set_t set;
  int count = static_cast<int>(std::thread::hardware_concurrency());
  if (sched_getaffinity(0, sizeof(set), &set) == 0) count = CPU_COUNT(&set);
  const double quota = cgroup_cpu_quota();
  if (quota > 0) count = std::min(count, static_cast<int>(std::ceil(quota)));
  return std::max(count, 1);
}

int wanted_threads(int threads) {
  if (threads < 0 || threads > kMaxThreads) {
    invalid("option.threads", "the number of threads must be from 0 to {}, but is {}", kMaxThreads, threads);
  }
  return threads == 0 ? available_cpu_count() : threads;
}

}  // namespace lanner::base
