// What `lanner explain` prints of what explain() returns.
#pragma once

#include <string>

namespace lanner::cli {

// `report` is what lanner::explain() returned. Throws `report.missing` where it is empty and `report.invalid` where it
// is not what the compiler writes.
std::string explanation(const std::string& report);

}  // namespace lanner::cli
