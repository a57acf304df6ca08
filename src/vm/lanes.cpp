#include "vm/lanes.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <random>
#include <vector>

#include "base/parallel.h"
#include "base/spin_mutex.h"

namespace lanner::vm {

namespace {

constexpr int kSpins = 2000;  // a microsecond or so: a task that waits for another lane's often becomes ready so soon

// Protocol: all members but `changes_` are read and written under `mutex_`. A lane that finds no ready task waits for
// `changes_` to change from what it was under the mutex; whoever makes tasks ready, ends the last one or fails adds to
// it under the mutex, so no wake-up is lost. A lane leaves when nothing is left or one has failed, so a team of fewer
// threads than lanes runs the remaining lanes through an empty loop.
class StageRun {
 public:
  StageRun(const Stage& stage, std::optional<std::uint64_t> seed, const std::function<void(const Task&, int)>& run)
      : stage_(stage), run_(run), left_(stage.tasks.size()) {
    if (seed) random_.emplace(*seed);
    waiting_.reserve(stage.tasks.size());
    for (std::uint32_t i = 0; i < stage.tasks.size(); ++i) {
      waiting_.push_back(stage.tasks[i].predecessor_count);
      if (waiting_.back() == 0) push(i);
    }
  }

  void work(int lane) noexcept {
    std::unique_lock<base::SpinMutex> lock(mutex_);
    while (wait_for_task(lock)) {
      const Task& task = stage_.tasks[pop()];
      lock.unlock();
      std::exception_ptr error;
      try {
        run_(task, lane);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      finish(task, std::move(error));
    }
  }

  // After all lanes have ended.
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  bool over() const { return left_ == 0 || error_ != nullptr; }

  // False when there is nothing more to do.
  bool wait_for_task(std::unique_lock<base::SpinMutex>& lock) {
    while (ready_.empty() && !over()) {
      const std::uint32_t seen = changes_.load();
      lock.unlock();
      int spins = 0;
      while (changes_.load(std::memory_order_relaxed) == seen && ++spins < kSpins) {
      }
      changes_.wait(seen);
      lock.lock();
    }
    return !over();
  }

  void finish(const Task& task, std::exception_ptr error) {
    --left_;
    if (error != nullptr && error_ == nullptr) error_ = std::move(error);
    int added = 0;
    for (const std::uint32_t next : task.successors) {
      if (--waiting_[next] != 0) continue;
      push(next);
      ++added;
    }
    // One of the added tasks is this lane's next.
    if (!over() && added <= 1) return;
    changes_.fetch_add(1);
    changes_.notify_all();
  }

  bool lower(std::uint32_t a, std::uint32_t b) const { return stage_.tasks[a].rank_ns < stage_.tasks[b].rank_ns; }

  void push(std::uint32_t task) {
    ready_.push_back(task);
    std::ranges::push_heap(ready_, [this](auto a, auto b) { return lower(a, b); });
  }

  std::uint32_t pop() {
    if (random_) {
      std::swap(ready_[(*random_)() % ready_.size()], ready_.back());
    } else {
      std::ranges::pop_heap(ready_, [this](auto a, auto b) { return lower(a, b); });
    }
    const std::uint32_t task = ready_.back();
    ready_.pop_back();
    return task;
  }

  const Stage& stage_;
  const std::function<void(const Task&, int)>& run_;
  base::SpinMutex mutex_;
  std::atomic<std::uint32_t> changes_ = 0;
  std::vector<std::uint32_t> waiting_;  // of each task: predecessors that have not ended
  std::vector<std::uint32_t> ready_;    // a heap by rank; with a seed in any order
  std::size_t left_;
  std::exception_ptr error_;
  std::optional<std::mt19937_64> random_;
};

}  // namespace

void run_stage(const Stage& stage, int lanes, std::optional<std::uint64_t> seed,
               const std::function<void(const Task&, int)>& run) {
  StageRun stage_run(stage, seed, run);
  base::parallel_for(lanes, lanes, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t lane = begin; lane < end; ++lane) stage_run.work(static_cast<int>(lane));
  });
  stage_run.rethrow();
}

// Protocol: lanes take iterations from `next` and set `failed` when theirs throws; what it threw is kept under the
// mutex. Iterations are taken in order and those taken are run to their end, so every one before the first that throws
// has run.
void run_iterations(std::int64_t count, int lanes, const std::function<void(std::int64_t, int)>& run) {
  std::atomic<std::int64_t> next = 0;
  std::atomic<bool> failed = false;
  base::SpinMutex mutex;
  std::int64_t first_failed = count;
  std::exception_ptr error;
  const auto work = [&](int lane) {
    while (!failed.load(std::memory_order_relaxed)) {
      const std::int64_t iteration = next.fetch_add(1, std::memory_order_relaxed);
      if (iteration >= count) return;
      try {
        run(iteration, lane);
      } catch (...) {
        const std::lock_guard lock(mutex);
        failed.store(true, std::memory_order_relaxed);
        if (iteration > first_failed) continue;
        first_failed = iteration;
        error = std::current_exception();
      }
    }
  };
  base::parallel_for(lanes, lanes, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t lane = begin; lane < end; ++lane) work(static_cast<int>(lane));
  });
  if (error) std::rethrow_exception(error);
}

}  // namespace lanner::vm
