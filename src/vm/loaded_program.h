// What a Program handle shares: the program, and what was built from it for running. Sessions hold it too.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/file.h"
#include "program/program.h"
#include "vm/executable.h"

namespace lanner::vm {

// The program is immutable; ready() is thread-safe.
class LoadedProgram {
 public:
  // `program` has passed verify(). `mapping` is what its constants view, if they are a file's.
  LoadedProgram(program::Program program, std::string report, std::shared_ptr<const base::MappedFile> mapping = {});

  const program::Program& program() const { return program_; }
  const std::string& report() const { return report_; }

  // The main block ready to run; built at the first call, for that call's options, and shared from then on: packed
  // weights do not depend on the number of threads.
  const ReadyBlock& ready(const backends::BuildOptions& options);

  // Lets the pages of plain weights go, which backends have read to pack them. What is needed of them again is read
  // from the file.
  void release_file_pages() const;

  // Of the main block, which has been made ready.
  std::shared_ptr<const Layout> serial_layout() const { return ready_->serial; }
  // The layout for sessions of that many threads and lanes; null before a session has measured which is best. The first
  // one found counts for all.
  std::shared_ptr<const Layout> best_layout(int threads, int lanes);
  void set_best_layout(int threads, int lanes, std::shared_ptr<const Layout> layout);

 private:
  program::Program program_;
  std::string report_;
  std::shared_ptr<const base::MappedFile> mapping_;
  std::mutex mutex_;
  std::unique_ptr<ReadyBlock> ready_;
  std::map<std::pair<int, int>, std::shared_ptr<const Layout>> best_layouts_;  // by threads and lanes
};

}  // namespace lanner::vm
