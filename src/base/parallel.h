// Splitting a loop over a session's threads. The team is libgomp's (the one oneDNN uses, so that no second pool
// competes for the cores); the ThreadSanitizer build swaps in std::thread behind the same function.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace lanner::base {

namespace internal {
using RangeFunction = void (*)(void* context, std::int64_t begin, std::int64_t end);
void parallel_ranges(int threads, std::int64_t count, std::int64_t chunk, RangeFunction function, void* context);
}  // namespace internal

// Calls body(begin, end) on disjoint ranges that cover [0, count). Ranges hold at least `grain` items (the last may
// hold fewer); with threads == 1 or count <= grain the body runs once, on the calling thread. Where the ranges fall
// depends on `threads`, so the body must compute each item independently of the range it is in: no reduction across
// items. Ranges may run in any order. The first exception a body throws is rethrown here once all ranges have ended.
template <typename Body>
void parallel_for(int threads, std::int64_t count, std::int64_t grain, Body&& body) {
  if (count <= 0) return;
  if (threads <= 1 || count <= grain) {
    body(std::int64_t{0}, count);
    return;
  }
  // Four chunks a thread even out unequal items.
  std::int64_t chunk = (count + 4 * threads - 1) / (4 * threads);
  if (chunk < grain) chunk = grain;
  internal::parallel_ranges(
      threads, count, chunk,
      [](void* context, std::int64_t begin, std::int64_t end) {
        (*static_cast<std::remove_reference_t<Body>*>(context))(begin, end);
      },
      const_cast<void*>(static_cast<const void*>(&body)));
}

// Calls body(worker, item) for each item below `count`, in order of items as workers get free: at most `threads` workers,
// numbered from 0, each a thread of its own, so that it can have memory of its own. The body must not throw.
template <typename Body>
void share_out(int threads, std::size_t count, Body&& body) {
  std::atomic<std::size_t> next = 0;
  const auto workers = static_cast<std::int64_t>(std::min<std::size_t>(static_cast<std::size_t>(threads), count));
  parallel_for(threads, workers, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t worker = begin; worker < end; ++worker) {
      for (std::size_t i = next++; i < count; i = next++) body(static_cast<std::size_t>(worker), i);
    }
  });
}

// Number of CPUs this process may use: the smaller of the affinity mask and the cgroup's CPU quota (rounded up), at
// least 1.
int available_cpu_count();

// Far above what helps, and below where libgomp ends the process because it cannot start so many.
inline constexpr int kMaxThreads = 1024;

// The number of threads that users mean by `threads`: 0 is as many as the process may use. Throws `option.threads`.
int wanted_threads(int threads);

}  // namespace lanner::base
