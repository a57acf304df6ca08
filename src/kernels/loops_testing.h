// Running a test once with the inner loops of each instruction set that was compiled and that this CPU has.
#pragma once

#include "kernels/loops_of_cpu.h"

namespace lanner::kernels::testing {

template <typename Loops, typename Body>
void for_each_instruction_set(LoopsOfCpu<Loops>& loops, Body&& body) {
  for (const LoopsRow<Loops>& row : loops.rows()) {
    if (!row.supported()) continue;
    loops.set_for_test(row.loops);
    body();
  }
  loops.set_for_test(nullptr);
}

}  // namespace lanner::kernels::testing
