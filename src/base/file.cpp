#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/fail.h"

namespace lanner::base {

namespace {

[[noreturn]] void fail_to_read(const std::filesystem::path& path, int error) {
  if (error == ENOENT || error == ENOTDIR) {
    fail(ErrorCode::kNotFound, "file.not_found", "'{}' does not exist", path.string());
  }
  fail(error == EACCES ? ErrorCode::kPermissionDenied : ErrorCode::kInvalidArgument, "file.unreadable",
       "cannot read '{}': {}", path.string(), std::strerror(error));
}

[[noreturn]] void fail_to_write(const std::filesystem::path& path, int error) {
  fail(error == EACCES || error == EROFS ? ErrorCode::kPermissionDenied : ErrorCode::kInvalidArgument,
       "file.unwritable", "cannot write '{}': {}", path.string(), std::strerror(error));
}

// Closes a file descriptor when it goes out of scope.
struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

void write_all(const std::filesystem::path& path, int fd, const void* data, std::size_t byte_count) {
  const char* at = static_cast<const char*>(data);
  while (byte_count > 0) {
    const ssize_t written = ::write(fd, at, byte_count);
    if (written < 0) {
      if (errno == EINTR) continue;
      fail_to_write(path, errno);
    }
    at += written;
    byte_count -= static_cast<std::size_t>(written);
  }
}

// Devices and pipes cannot be replaced by a file; they take the bytes as they come.
void write_device(const std::filesystem::path& path, const std::function<void(const WriteBytes&)>& produce) {
  const Descriptor file{::open(path.c_str(), O_WRONLY | O_CLOEXEC)};
  if (file.fd < 0) fail_to_write(path, errno);
  produce([&](const void* data, std::size_t byte_count) { write_all(path, file.fd, data, byte_count); });
}

// A new file named after `target`, with the permissions that the umask gives; the descriptor is -1 on failure. mkstemp
// is no help: its files are the owner's alone, and reading the umask to correct that changes it for all threads.
std::pair<std::string, int> create_beside(const std::filesystem::path& target) {
  static std::atomic<unsigned> counter{0};
  while (true) {
    std::string name = fmt::format("{}.{}-{}", target.string(), ::getpid(), counter++);
    const int fd = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0 || errno != EEXIST) return {std::move(name), fd};
  }
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  // Nothing but a regular file is mapped; without O_NONBLOCK, opening a pipe would wait for somebody to write to it.
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0) fail_to_read(path, errno);
  struct stat info {};
  if (::fstat(file.fd, &info) != 0) fail_to_read(path, errno);
  if (!S_ISREG(info.st_mode)) fail_to_read(path, S_ISDIR(info.st_mode) ? EISDIR : EINVAL);
  const auto size = static_cast<std::size_t>(info.st_size);
  const std::byte* data = nullptr;
  if (size != 0) {
    void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd, 0);
    if (mapped == MAP_FAILED) fail_to_read(path, errno);
    data = static_cast<const std::byte*>(mapped);
  }
  return std::shared_ptr<const MappedFile>(new MappedFile(data, size));
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::release_pages(const void* begin, std::size_t byte_count) const {
  // Whole pages inside the range only.
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto first = (reinterpret_cast<std::uintptr_t>(begin) + page - 1) / page * page;
  const auto last = (reinterpret_cast<std::uintptr_t>(begin) + byte_count) / page * page;
  if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

std::string read_file(const std::filesystem::path& path) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) fail_to_read(path, errno);
  std::string content;
  char buffer[1 << 16];
  while (true) {
    const ssize_t count = ::read(file.fd, buffer, sizeof(buffer));
    if (count == 0) return content;
    if (count < 0) {
      if (errno == EINTR) continue;
      fail_to_read(path, errno);
    }
    content.append(buffer, static_cast<std::size_t>(count));
  }
}

void write_file_atomically(const std::filesystem::path& path, const std::function<void(const WriteBytes&)>& produce) {
  std::error_code ignored;
  // A link stays: what it leads to is replaced.
  const std::filesystem::path resolved = std::filesystem::canonical(path, ignored);
  const std::filesystem::path& target = resolved.empty() ? path : resolved;
  if (std::filesystem::is_other(target, ignored)) return write_device(path, produce);

  const auto [temporary, fd] = create_beside(target);
  if (fd < 0) fail_to_write(path, errno);
  try {
    {
      const Descriptor file{fd};
      produce([&](const void* data, std::size_t byte_count) { write_all(path, fd, data, byte_count); });
      if (::fsync(fd) != 0) fail_to_write(path, errno);
    }
    if (::rename(temporary.c_str(), target.c_str()) != 0) fail_to_write(path, errno);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

void write_file_atomically(const std::filesystem::path& path, std::string_view content) {
  write_file_atomically(path, [&](const WriteBytes& write) { write(content.data(), content.size()); });
}

}  // namespace lanner::base
