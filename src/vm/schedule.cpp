#include "vm/schedule.h"

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <numeric>
#include <queue>
#include <utility>

namespace lanner::vm {

namespace {

using Index = std::uint32_t;
constexpr Index kNone = std::numeric_limits<Index>::max();

constexpr std::int64_t kTaskOverheadNs = 300;  // taking a task and telling its successors
constexpr std::int64_t kLeastTaskNs = 8'000;   // smaller tasks of the same depth are put together
constexpr int kTasksPerLane = 4;               // into which a stage is cut at least, so that lanes end together
constexpr double kLeastGain = 0.97;            // of the serial time, to leave the serial order

// From which time with one thread on an instruction that gains from the team is wide. The schedule is estimated for
// each of these and the best is taken.
constexpr std::array<std::int64_t, 4> kWideNs = {20'000, 200'000, 2'000'000, std::numeric_limits<std::int64_t>::max()};

// Longer instructions are given the team even where the measured request did not gain from it: the next may be larger.
constexpr std::int64_t kNarrowNs = 50'000;

bool is_narrow(const Costs& costs, Index i) {
  return costs.single[i] <= costs.team[i] && costs.single[i] < kNarrowNs;
}

// In a stage of one task.
std::int64_t serial_ns(const Costs& costs, Index i) {
  return is_narrow(costs, i) ? costs.single[i] : costs.team[i];
}

bool gains_from_team(const Costs& costs, Index i) {
  return costs.single[i] - costs.team[i] > costs.single[i] / 4;
}

// Groups of a stage's instructions while it is cut into tasks. Positions are those in `members`.
class StageCutter {
 public:
  StageCutter(const program::Block& block, const Costs& costs, int lanes, std::vector<Index> members)
      : members_(std::move(members)), lanes_(lanes) {
    std::ranges::sort(members_);
    const std::size_t count = members_.size();
    predecessors_.resize(count);
    cost_.resize(count);
    for (std::size_t p = 0; p < count; ++p) {
      cost_[p] = costs.single[members_[p]];
      for (const Index before : block.instructions[members_[p]].dependencies) {
        const auto at = std::ranges::lower_bound(members_, before);
        if (at != members_.end() && *at == before) {
          predecessors_[p].push_back(static_cast<Index>(at - members_.begin()));
        }
      }
    }
  }

  Stage cut() {
    cut_by_dominators();
    join_chains();
    join_small_tasks();
    return make_stage();
  }

 private:
  // What only one instruction's results lead to belongs to its task, unless that is too much for one task.
  void cut_by_dominators() {
    const std::size_t count = members_.size();
    // The immediate dominator: the last instruction that all ways to p from outside pass; kNone where there is none.
    std::vector<Index> dominator(count, kNone);
    std::vector<int> depth(count, 0);
    std::vector<int> child_count(count, 0);
    for (Index p = 0; p < count; ++p) {
      if (predecessors_[p].empty()) continue;
      Index common = predecessors_[p][0];
      for (const Index other : predecessors_[p]) {
        Index b = other;
        while (common != b && common != kNone && b != kNone) {
          Index& deeper = depth[common] >= depth[b] ? common : b;
          deeper = dominator[deeper];
        }
        if (b == kNone) common = kNone;
        if (common == kNone) break;
      }
      dominator[p] = common;
      if (common == kNone) continue;
      depth[p] = depth[common] + 1;
      ++child_count[common];
    }
    std::vector<std::int64_t> below = cost_;  // of an instruction and all it dominates
    for (Index p = static_cast<Index>(count); p-- > 0;) {
      if (dominator[p] != kNone) below[dominator[p]] += below[p];
    }
    const std::int64_t total = std::accumulate(cost_.begin(), cost_.end(), std::int64_t{0});
    const std::int64_t most = std::max(total / (kTasksPerLane * lanes_), kLeastTaskNs);
    task_of_.assign(count, kNone);
    for (Index p = 0; p < count; ++p) {
      const Index above = dominator[p];
      const bool joins = above != kNone && (below[above] <= most || child_count[above] == 1);
      task_of_[p] = joins ? task_of_[above] : task_count_++;
    }
  }

  // How many tasks lie on the longest way to each, itself included; ways lead to greater depth only.
  std::vector<int> task_depths() const {
    std::vector<int> depth(task_count_, 1);
    // Joined chains may be entered in their middle: repeated until nothing moves, which is once for most stages.
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t p = 0; p < members_.size(); ++p) {
        int& own = depth[task_of_[p]];
        for (const Index before : predecessors_[p]) {
          if (task_of_[before] == task_of_[p] || depth[task_of_[before]] < own) continue;
          own = depth[task_of_[before]] + 1;
          moved = true;
        }
      }
    }
    return depth;
  }

  // A task that only one other waits for is one with it, if whatever else that one waits for is not as deep: so the
  // parts of a chain that reads a value computed for all chains come together. The depths stay as they were.
  void join_chains() {
    const std::vector<int> depth = task_depths();
    std::vector<std::vector<Index>> before(task_count_);
    std::vector<int> successor_count(task_count_, 0);
    for (std::size_t p = 0; p < members_.size(); ++p) {
      for (const Index from : predecessors_[p]) {
        std::vector<Index>& known = before[task_of_[p]];
        if (task_of_[from] == task_of_[p] || std::ranges::find(known, task_of_[from]) != known.end()) continue;
        known.push_back(task_of_[from]);
        ++successor_count[task_of_[from]];
      }
    }
    std::vector<Index> renamed(task_count_);
    Index next = 0;
    for (Index task = 0; task < task_count_; ++task) {
      const auto deepest = std::ranges::max_element(before[task], {}, [&](Index from) { return depth[from]; });
      const bool joins =
          deepest != before[task].end() && successor_count[*deepest] == 1 &&
          std::ranges::count(before[task], depth[*deepest], [&](Index from) { return depth[from]; }) == 1;
      renamed[task] = joins ? renamed[*deepest] : next++;
    }
    for (Index& task : task_of_) task = renamed[task];
    task_count_ = next;
  }

  // Small tasks of one depth do not wait for each other and may be one.
  void join_small_tasks() {
    const std::vector<int> depth = task_depths();
    std::vector<std::int64_t> cost(task_count_, 0);
    for (std::size_t p = 0; p < members_.size(); ++p) cost[task_of_[p]] += cost_[p];
    std::vector<Index> open(static_cast<std::size_t>(*std::ranges::max_element(depth)) + 1, kNone);
    std::vector<std::int64_t> collected(open.size(), 0);
    std::vector<Index> renamed(task_count_);
    Index next = 0;
    for (Index task = 0; task < task_count_; ++task) {
      const auto at = static_cast<std::size_t>(depth[task]);
      if (cost[task] >= kLeastTaskNs) {
        renamed[task] = next++;
        continue;
      }
      if (open[at] == kNone) {
        open[at] = next++;
        collected[at] = 0;
      }
      renamed[task] = open[at];
      collected[at] += cost[task];
      if (collected[at] >= kLeastTaskNs) open[at] = kNone;
    }
    for (Index& task : task_of_) task = renamed[task];
    task_count_ = next;
  }

  Stage make_stage() const {
    Stage stage;
    stage.tasks.resize(task_count_);
    std::vector<std::int64_t> cost(task_count_, kTaskOverheadNs);
    for (Index p = 0; p < members_.size(); ++p) {
      const Index task = task_of_[p];
      stage.tasks[task].instructions.push_back(members_[p]);
      cost[task] += cost_[p];
      for (const Index before : predecessors_[p]) {
        std::vector<Index>& successors = stage.tasks[task_of_[before]].successors;
        if (task_of_[before] == task || std::ranges::find(successors, task) != successors.end()) continue;
        successors.push_back(task);
        ++stage.tasks[task].predecessor_count;
      }
    }
    rank(stage, cost);
    return stage;
  }

  static void rank(Stage& stage, const std::vector<std::int64_t>& cost) {
    std::vector<Index> order;
    std::vector<Index> waiting(stage.tasks.size());
    for (Index i = 0; i < stage.tasks.size(); ++i) {
      waiting[i] = stage.tasks[i].predecessor_count;
      if (waiting[i] == 0) order.push_back(i);
    }
    for (std::size_t at = 0; at < order.size(); ++at) {
      for (const Index next : stage.tasks[order[at]].successors) {
        if (--waiting[next] == 0) order.push_back(next);
      }
    }
    for (std::size_t at = order.size(); at-- > 0;) {
      Task& task = stage.tasks[order[at]];
      task.rank_ns = 0;
      for (const Index next : task.successors) task.rank_ns = std::max(task.rank_ns, stage.tasks[next].rank_ns);
      task.rank_ns += cost[order[at]];
    }
  }

  std::vector<Index> members_;  // ascending
  int lanes_;
  std::vector<std::vector<Index>> predecessors_;
  std::vector<std::int64_t> cost_;
  std::vector<Index> task_of_;
  Index task_count_ = 0;
};

// The time the stage's tasks take on that many lanes, the ready one of the highest rank first.
std::int64_t estimate(const Stage& stage, const Costs& costs, int lanes) {
  std::vector<Index> waiting(stage.tasks.size());
  std::priority_queue<std::pair<std::int64_t, Index>> ready;  // by rank
  for (Index i = 0; i < stage.tasks.size(); ++i) {
    waiting[i] = stage.tasks[i].predecessor_count;
    if (waiting[i] == 0) ready.emplace(stage.tasks[i].rank_ns, i);
  }
  using Running = std::pair<std::int64_t, Index>;  // by end
  std::priority_queue<Running, std::vector<Running>, std::greater<>> running;
  std::int64_t now = 0;
  while (!ready.empty() || !running.empty()) {
    while (!ready.empty() && running.size() < static_cast<std::size_t>(lanes)) {
      const Index task = ready.top().second;
      ready.pop();
      std::int64_t end = now + kTaskOverheadNs;
      for (const Index i : stage.tasks[task].instructions) end += costs.single[i];
      running.emplace(end, task);
    }
    const auto [end, task] = running.top();
    running.pop();
    now = end;
    for (const Index next : stage.tasks[task].successors) {
      if (--waiting[next] == 0) ready.emplace(stage.tasks[next].rank_ns, next);
    }
  }
  return now + kStageOverheadNs;
}

class Scheduler {
 public:
  Scheduler(const program::Block& block, const Costs& costs, int lanes, std::int64_t wide_ns)
      : block_(block), costs_(costs), wide_ns_(wide_ns) {
    schedule_.lanes = lanes;
    const auto count = static_cast<Index>(block.instructions.size());
    waiting_.resize(count);
    successors_.resize(count);
    for (Index i = 0; i < count; ++i) {
      waiting_[i] = static_cast<Index>(block.instructions[i].dependencies.size());
      for (const Index before : block.instructions[i].dependencies) successors_[before].push_back(i);
      if (waiting_[i] == 0) add_ready(i);
    }
  }

  // Wide instructions as soon as they are ready: what they lead to then runs beside all that is narrow.
  Schedule make() {
    while (!wide_.empty() || !narrow_.empty()) {
      if (!wide_.empty()) {
        const Index i = wide_.top();
        wide_.pop();
        add_serial({i});
        finish(i);
        continue;
      }
      std::vector<Index> members;
      while (!narrow_.empty()) {
        members.push_back(narrow_.top());
        narrow_.pop();
        finish(members.back());
      }
      add_narrow(std::move(members));
    }
    return std::move(schedule_);
  }

 private:
  using Queue = std::priority_queue<Index, std::vector<Index>, std::greater<>>;  // in the block's order

  void add_ready(Index i) {
    const bool wide = costs_.single[i] >= wide_ns_ && gains_from_team(costs_, i);
    (wide ? wide_ : narrow_).push(i);
  }

  void finish(Index i) {
    for (const Index next : successors_[i]) {
      if (--waiting_[next] == 0) add_ready(next);
    }
  }

  void add_serial(std::vector<Index> instructions) {
    for (const Index i : instructions) schedule_.estimated_ns += serial_ns(costs_, i);
    if (schedule_.stages.empty() || schedule_.stages.back().tasks.size() != 1) {
      schedule_.stages.push_back({{Task{}}});
    }
    std::vector<Index>& into = schedule_.stages.back().tasks[0].instructions;
    into.insert(into.end(), instructions.begin(), instructions.end());
  }

  void add_narrow(std::vector<Index> members) {
    std::int64_t serial = 0;
    for (const Index i : members) serial += serial_ns(costs_, i);
    if (serial <= kStageOverheadNs) return add_serial(std::move(members));
    Stage stage = StageCutter(block_, costs_, schedule_.lanes, members).cut();
    const std::int64_t parallel_ns = estimate(stage, costs_, schedule_.lanes);
    if (stage.tasks.size() == 1 || parallel_ns >= serial) return add_serial(std::move(members));
    schedule_.estimated_ns += parallel_ns;
    schedule_.stages.push_back(std::move(stage));
  }

  const program::Block& block_;
  const Costs& costs_;
  std::int64_t wide_ns_;
  std::vector<Index> waiting_;
  std::vector<std::vector<Index>> successors_;
  Queue wide_;
  Queue narrow_;
  Schedule schedule_;
};

}  // namespace

Schedule serial_schedule(const program::Block& block) {
  Schedule schedule;
  schedule.stages.push_back({{Task{}}});
  std::vector<Index>& all = schedule.stages[0].tasks[0].instructions;
  all.resize(block.instructions.size());
  std::iota(all.begin(), all.end(), Index{0});
  return schedule;
}

Schedule serial_schedule(const program::Block& block, const Costs& costs) {
  Schedule schedule = serial_schedule(block);
  for (Index i = 0; i < block.instructions.size(); ++i) {
    schedule.narrow.push_back(is_narrow(costs, i) ? 1 : 0);
    schedule.estimated_ns += serial_ns(costs, i);
  }
  return schedule;
}

Schedule make_schedule(const program::Block& block, const Costs& costs, int lanes) {
  Schedule best = serial_schedule(block, costs);
  if (lanes < 2) return best;
  const auto enough = static_cast<std::int64_t>(kLeastGain * static_cast<double>(best.estimated_ns));
  for (const std::int64_t wide_ns : kWideNs) {
    Schedule schedule = Scheduler(block, costs, lanes, wide_ns).make();
    if (schedule.estimated_ns >= std::min(best.estimated_ns, enough)) continue;
    schedule.narrow = best.narrow;
    best = std::move(schedule);
  }
  return best;
}

}  // namespace lanner::vm
