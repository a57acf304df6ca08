// The guard of `precision` "auto": bfloat16 stays where the results on sample inputs are within a tolerance of
// float32's.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "compile/precision.h"
#include "lanner/session.h"

namespace lanner::compiler {

struct GuardOptions {
  std::vector<NamedValues> samples;  // none: generated inputs, with a warning in the report
  double tolerance;                  // of the root mean square of the difference over that of the values
  std::function<void(double fraction)> progress;
};

// Allows bfloat16 in the program, which computes in float32 and has passed verify(), as far as every value that
// make_trials() compares stays within the tolerance on every sample, all that is allowed being used. What hurts most is
// withdrawn first. Throws what running the program on the samples does.
PrecisionReport guard_precision(program::Program& program, const GuardOptions& options);

// The difference between two values: its root mean square over that of `expected`. 0 where neither has elements or they
// are no float32 tensors, infinite where shapes differ or only one is finite.
double relative_error(const Value& expected, const Value& actual);

}  // namespace lanner::compiler
