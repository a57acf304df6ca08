// Running the tasks of one stage, or the iterations of one region, on several lanes at once.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "vm/schedule.h"

namespace lanner::vm {

// Calls run(task, lane) for every task of the stage, each after those it waits for, on at most `lanes` threads of the
// calling thread's team; `lane` counts from 0, and one lane runs one task at a time. Of ready tasks the one of the
// highest rank goes first or, with a seed, any. When a task throws, no further one is begun and, once all lanes have
// ended, its exception is rethrown. Lanes that have nothing to do sleep.
void run_stage(const Stage& stage, int lanes, std::optional<std::uint64_t> seed,
               const std::function<void(const Task& task, int lane)>& run);

// Calls run(iteration, lane) for 0 to count - 1, begun in this order, on at most `lanes` threads of the calling
// thread's team. When one throws, no further one is begun and, once all lanes have ended, the exception of the first
// iteration that threw is rethrown: the same one however many lanes there are.
void run_iterations(std::int64_t count, int lanes, const std::function<void(std::int64_t iteration, int lane)>& run);

}  // namespace lanner::vm
