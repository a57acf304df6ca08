// Files: reading, mapping, and writing so that a reader never sees half a file.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace lanner::base {

// A read-only mapping of a whole file.
class MappedFile {
 public:
  // Throws `file.not_found`, `file.unreadable`.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  // Lets go of the pages of a range that have been read; they are read again from the file when touched.
  void release_pages(const void* begin, std::size_t byte_count) const;

 private:
  MappedFile(const std::byte* data, std::size_t size) : data_(data), size_(size) {}

  const std::byte* data_;
  std::size_t size_;
};

// Throws `file.not_found`, `file.unreadable`.
std::string read_file(const std::filesystem::path& path);

// Takes pieces of a file's content in order.
using WriteBytes = std::function<void(const void* data, std::size_t byte_count)>;

// Calls `produce(write)` and puts what it wrote at `path`: into a temporary file beside it first, which is renamed at
// the end and removed when anything fails. Links are followed; a device or a pipe is written in place. Throws
// `file.unwritable`, or what `produce` throws.
void write_file_atomically(const std::filesystem::path& path, const std::function<void(const WriteBytes&)>& produce);
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

}  // namespace lanner::base
