#include "base/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace lanner::base {
namespace {

TEST(ParallelFor, VisitsEveryItemExactlyOnce) {
  for (const int threads : {-1, 0, 1, 2, 3, 8}) {
    for (const std::int64_t count : {0, 1, 2, 3, 7, 8, 31, 32, 33, 100, 1001}) {
      for (const std::int64_t grain : {0, 1, 2, 7, 32, 1000, 5000}) {
        std::vector<std::atomic<int>> visits(static_cast<std::size_t>(count));
        parallel_for(threads, count, grain, [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
        });
        for (const std::atomic<int>& visit : visits) {
          ASSERT_EQ(visit, 1) << threads << " threads, " << count << " items, grain " << grain;
        }
      }
    }
  }
}

TEST(ParallelFor, RangesHoldAtLeastTheGrain) {
  constexpr std::int64_t kCount = 1003, kGrain = 50;
  std::atomic<int> ranges{0}, short_ranges{0};
  parallel_for(4, kCount, kGrain, [&](std::int64_t begin, std::int64_t end) {
    EXPECT_LT(begin, end);
    EXPECT_LE(end, kCount);
    ++ranges;
    if (end - begin < kGrain && end != kCount) ++short_ranges;
  });
  EXPECT_EQ(short_ranges, 0);
  EXPECT_GT(ranges, 1);
}

TEST(ParallelFor, SmallOrSingleThreadedLoopsRunOnceOnTheCaller) {
  const auto runs_once = [](int threads, std::int64_t count, std::int64_t grain) {
    const std::thread::id caller = std::this_thread::get_id();
    int calls = 0;
    parallel_for(threads, count, grain, [&](std::int64_t begin, std::int64_t end) {
      EXPECT_EQ(std::this_thread::get_id(), caller);
      EXPECT_EQ(begin, 0);
      EXPECT_EQ(end, count);
      ++calls;
    });
    return calls == 1;
  };
  EXPECT_TRUE(runs_once(1, 1000, 1));
  EXPECT_TRUE(runs_once(4, 16, 16));
}

TEST(ShareOut, GivesEveryItemToOneOfTheWorkers) {
  for (const int threads : {1, 2, 3, 8}) {
    for (const std::size_t count : {0, 1, 2, 7, 100}) {
      std::vector<std::atomic<int>> visits(count);
      std::vector<std::atomic<int>> busy(static_cast<std::size_t>(threads));
      share_out(threads, count, [&](std::size_t worker, std::size_t item) {
        ASSERT_LT(worker, busy.size());
        EXPECT_EQ(++busy[worker], 1) << "a worker is one thread";
        ++visits[item];
        --busy[worker];
      });
      for (const std::atomic<int>& visit : visits) ASSERT_EQ(visit, 1) << threads << " threads, " << count << " items";
    }
  }
}

TEST(ParallelFor, EmptyLoopsCallNothing) {
  for (const int threads : {1, 4}) {
    parallel_for(threads, 0, 1, [](std::int64_t, std::int64_t) { FAIL(); });
    parallel_for(threads, -5, 1, [](std::int64_t, std::int64_t) { FAIL(); });
  }
}

TEST(ParallelFor, RethrowsOneExceptionAndStaysUsable) {
  for (const int threads : {1, 2, 4}) {
    int caught = 0;
    std::atomic<int> running{0};
    try {
      parallel_for(threads, 100, 1, [&](std::int64_t begin, std::int64_t) {
        ++running;
        --running;
        throw std::runtime_error(std::to_string(begin));
      });
    } catch (const std::runtime_error&) {
      EXPECT_EQ(running, 0);
      ++caught;
    }
    EXPECT_EQ(caught, 1);

    std::atomic<std::int64_t> sum{0};
    parallel_for(threads, 100, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) sum += i;
    });
    EXPECT_EQ(sum, 4950);
  }
}

TEST(ParallelFor, AnExceptionSkipsWhatHasNotStarted) {
  std::atomic<int> calls{0};
  EXPECT_THROW(parallel_for(2, 1 << 20, 1,
                            [&](std::int64_t, std::int64_t) {
                              ++calls;
                              throw 1;
                            }),
               int);
  EXPECT_LE(calls, 2);
}

TEST(ParallelFor, Nests) {
  std::atomic<int> visits{0};
  parallel_for(3, 10, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      parallel_for(3, 20, 1, [&](std::int64_t inner_begin, std::int64_t inner_end) {
        visits += static_cast<int>(inner_end - inner_begin);
      });
    }
  });
  EXPECT_EQ(visits, 200);
}

TEST(ParallelFor, AnExceptionLeavesANestedLoop) {
  EXPECT_THROW(parallel_for(2, 8, 1,
                            [](std::int64_t, std::int64_t) {
                              parallel_for(2, 8, 1, [](std::int64_t, std::int64_t) { throw 1; });
                            }),
               int);
}

TEST(ParallelFor, TakesABodyThatChangesItself) {
  struct Counter {
    std::atomic<std::int64_t> items{0};
    void operator()(std::int64_t begin, std::int64_t end) { items += end - begin; }
  } counter;
  parallel_for(2, 100, 1, counter);
  EXPECT_EQ(counter.items, 100);
}

TEST(ParallelFor, RunsFromSeveralThreadsAtOnce) {
  std::atomic<std::int64_t> items{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      for (int round = 0; round < 20; ++round) {
        parallel_for(2, 50, 1, [&](std::int64_t begin, std::int64_t end) { items += end - begin; });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(items, 4 * 20 * 50);
}

TEST(AvailableCpuCount, IsFromOneToTheMachinesCpus) {
  EXPECT_GE(available_cpu_count(), 1);
  EXPECT_LE(available_cpu_count(), static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace
}  // namespace lanner::base
