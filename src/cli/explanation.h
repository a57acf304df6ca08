// What `lanner explain` prints of the compiler's report.
#pragma once

#include <string>

namespace lanner::cli {

// `report` is Program::report(). Throws `report.missing` where it is empty and `report.invalid` where it is not what
// the compiler writes.
std::string explanation(const std::string& report);

}  // namespace lanner::cli
