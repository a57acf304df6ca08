// Two tables next to each other.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lanner/profile.h"

namespace lanner::cli {

// `#OpName #InvokeCount #Sum(us) #Mean(us)`, with long names cut, so that two fit beside each other.
std::string short_table(const std::vector<ProfileRow>& rows);

// The lines of `left` and `right` in two columns.
std::string side_by_side(std::string_view left, std::string_view right);

}  // namespace lanner::cli
