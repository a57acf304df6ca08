// What tuning has measured, kept between compiles in the user's cache folder: a JSON file for each backend, CPU, set of
// library versions and number of threads. A cache is never a reason to fail: what cannot be read counts as empty and is
// written anew, what cannot be written is forgotten.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "backends/backend.h"

namespace lanner::compiler {

// $LANNER_CACHE_DIR, $XDG_CACHE_HOME/lanner or ~/.cache/lanner, the first that there is; empty where there is none.
std::filesystem::path cache_folder();

class TuningCache {
 public:
  // Of measurements that depend on `conditions`, a line of text. An empty folder holds nothing.
  TuningCache(const std::filesystem::path& folder, std::string conditions);

  backends::Measurements load() const;
  // Adds them to what is there by now. Several processes may do so at once: readers see a whole file, and where the
  // file system has locks, none's measurements are lost.
  void add(const backends::Measurements& measurements) const;

  const std::filesystem::path& file() const { return file_; }

 private:
  std::string conditions_;
  std::filesystem::path file_;  // empty: none
};

// {"1x64x56x56 by ...": {"level": "fast", "us": {"direct": 812.3, ...}}, ...}, in the cache as in reports. Reading
// throws std::exception for anything else.
nlohmann::json measurements_json(const backends::Measurements& measurements);
backends::Measurements read_measurements(const nlohmann::json& json);

}  // namespace lanner::compiler
