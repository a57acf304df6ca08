#include "compile/tuning_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "base/fail.h"
#include "base/file.h"
#include "compile/tuning.h"

namespace lanner::compiler {

using backends::Measurement;
using backends::Measurements;
using nlohmann::json;

namespace {

// FNV-1a, which is the same in every build.
std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char letter : text) hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3U;
  return hash;
}

// Holds the folder's lock, where the file system has such.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder)
      : fd_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (fd_ >= 0) ::flock(fd_, LOCK_EX);
  }
  ~FolderLock() {
    if (fd_ >= 0) ::close(fd_);
  }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int fd_;
};

}  // namespace

std::filesystem::path cache_folder() {
  const auto folder = [](const char* variable, const char* inside) -> std::filesystem::path {
    const char* value = std::getenv(variable);
    return value == nullptr || *value == '\0' ? std::filesystem::path() : std::filesystem::path(value) / inside;
  };
  for (const auto& [variable, inside] :
       {std::pair("LANNER_CACHE_DIR", ""), std::pair("XDG_CACHE_HOME", "lanner"), std::pair("HOME", ".cache/lanner")}) {
    const std::filesystem::path found = folder(variable, inside);
    // The XDG specification has relative paths ignored.
    if (found.is_absolute() || (!found.empty() && std::string_view(variable) == "LANNER_CACHE_DIR")) return found;
  }
  return {};
}

json measurements_json(const Measurements& measurements) {
  json result = json::object();
  for (const auto& [problem, measurement] : measurements) {
    json us = json::object();
    for (const backends::Timing& timing : measurement.timings) us[timing.algorithm] = timing.us;
    result[problem] = {{"level", tune_level_name(measurement.level)}, {"us", std::move(us)}};
  }
  return result;
}

Measurements read_measurements(const json& json) {
  Measurements result;
  for (const auto& [problem, entry] : json.items()) {
    Measurement measurement{{}, parse_tune_level(entry.at("level").get<std::string>())};
    for (const auto& [algorithm, us] : entry.at("us").items()) {
      measurement.timings.push_back({algorithm, us.get<double>()});
      if (!(measurement.timings.back().us > 0)) throw std::invalid_argument("a time must be positive");
    }
    result.emplace(problem, std::move(measurement));
  }
  return result;
}

TuningCache::TuningCache(const std::filesystem::path& folder, std::string conditions)
    : conditions_(std::move(conditions)) {
  if (!folder.empty()) file_ = folder / fmt::format("tuning-{:016x}.json", hash_of(conditions_));
}

Measurements TuningCache::load() const {
  if (file_.empty()) return {};
  try {
    const json content = json::parse(base::read_file(file_));
    if (content.at("conditions") != conditions_) return {};
    return read_measurements(content.at("problems"));
  } catch (const std::exception&) {
    return {};
  }
}

void TuningCache::add(const Measurements& measurements) const {
  if (file_.empty() || measurements.empty()) return;
  try {
    std::filesystem::create_directories(file_.parent_path());
    const FolderLock lock(file_.parent_path());
    Measurements all = load();
    for (const auto& [problem, measurement] : measurements) all.insert_or_assign(problem, measurement);
    const json content{{"conditions", conditions_}, {"problems", measurements_json(all)}};
    base::write_file_atomically(file_, content.dump(1) + "\n");
  } catch (const std::exception&) {
    // The next compile measures again.
  }
}

}  // namespace lanner::compiler
