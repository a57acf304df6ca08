#include "profile/profile.h"

#include "base/file.h"

namespace lanner {

int Profile::run_count() const {
  return static_cast<int>(data_->run_ms.size());
}

const std::vector<double>& Profile::run_ms() const {
  return data_->run_ms;
}

const std::vector<ProfileRow>& Profile::rows() const {
  return data_->rows;
}

const std::vector<ProfileRow>& Profile::child_rows() const {
  return data_->child_rows;
}

const std::vector<ProfileRow>& Profile::backend_rows() const {
  return data_->backend_rows;
}

const std::vector<ProfileRow>& Profile::subgraph_rows() const {
  return data_->subgraph_rows;
}

const std::vector<ProfileLane>& Profile::lanes() const {
  return data_->lanes;
}

const CriticalPath& Profile::critical_path() const {
  return data_->critical_path;
}

const ProfileMemory& Profile::memory() const {
  return data_->facts.memory;
}

void Profile::write_json(const std::filesystem::path& path) const {
  base::write_file_atomically(path, json());
}

void Profile::write_trace(const std::filesystem::path& path) const {
  base::write_file_atomically(path, trace_json());
}

void Profile::write_html(const std::filesystem::path& path) const {
  base::write_file_atomically(path, html());
}

}  // namespace lanner
