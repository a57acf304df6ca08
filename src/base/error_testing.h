// For tests: which error a piece of code ends with.
#pragma once

#include <string>

#include "lanner/error.h"

namespace lanner::base::testing {

// The reason word of the Error that `body` throws, or "" when it throws none.
template <typename Body>
std::string reason_of(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.reason();
  }
  return "";
}

}  // namespace lanner::base::testing
