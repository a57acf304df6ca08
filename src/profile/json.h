// Pieces of a profile as JSON, which the JSON file, the trace and the page share.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "profile/profile.h"

namespace lanner::profile {

nlohmann::json rows_json(const std::vector<ProfileRow>& rows);
// "run_ms", "rows", "child_rows", "backends", "subgraphs", "lanes", "critical_path", "memory"; no events.
nlohmann::json summary_json(const Profile& profile);

// As text. Names come from models and need not be valid UTF-8: what is not is replaced.
std::string dump(const nlohmann::json& value);

}  // namespace lanner::profile
