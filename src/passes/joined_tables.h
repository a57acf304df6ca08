// Tables that lie in one larger table, so that rows of any of them are rows of it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "passes/selection.h"

namespace lanner::passes {

struct JoinedTables {
  ValueId value = kNoValue;          // whose elements, as `dims`, are the larger table; or
  Tensor constant;                   // where the tables are constants, all of them one after another
  std::vector<std::int64_t> dims;    // rows first
  std::vector<std::int64_t> starts;  // the row that each table begins at
};

// The larger table of parts of one value, or of constants; nothing where there is none without copying.
std::optional<JoinedTables> joined_tables(const Selections& selections, std::span<const ValueId> tables);

}  // namespace lanner::passes
