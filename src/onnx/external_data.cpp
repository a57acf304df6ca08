#include "onnx/external_data.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <system_error>

#include "base/fail.h"

namespace lanner::onnx {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void fail_to_open(const fs::path& path, int error) {
  const std::string why = std::generic_category().message(error);
  if (error == ENOENT || error == ENOTDIR) {
    base::fail(ErrorCode::kNotFound, "file.not_found", "there is no file '{}'", path.string());
  }
  const ErrorCode code = error == EACCES ? ErrorCode::kPermissionDenied : ErrorCode::kInvalidArgument;
  base::fail(code, "file.unreadable", "cannot read '{}': {}", path.string(), why);
}

// Whether `inner` is `outer` or below it; both canonical.
bool contains(const fs::path& outer, const fs::path& inner) {
  return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
}

}  // namespace

MappedFile::MappedFile(const fs::path& path) {
  // Not blocking: opening a pipe nobody writes to would wait forever.
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) fail_to_open(path, errno);
  struct stat status {};
  int error = ::fstat(file, &status) != 0 ? errno : 0;
  if (error == 0 && S_ISDIR(status.st_mode)) error = EISDIR;
  if (error == 0 && !S_ISREG(status.st_mode)) error = EINVAL;
  if (error == 0 && status.st_size > 0) {
    size_bytes_ = static_cast<std::size_t>(status.st_size);
    void* memory = ::mmap(nullptr, size_bytes_, PROT_READ, MAP_PRIVATE, file, 0);
    if (memory == MAP_FAILED)
      error = errno;
    else
      data_ = static_cast<char*>(memory);
  }
  ::close(file);
  if (error != 0) fail_to_open(path, error);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(data_, size_bytes_);
}

std::shared_ptr<MappedFile> ExternalData::file(const std::string& location) {
  std::shared_ptr<MappedFile>& file = files_[location];
  if (file != nullptr) return file;
  if (!folder_) {
    base::invalid("model.external_data",
                  "the data is in file '{}', but the model was given as bytes without a folder to look in", location);
  }
  const fs::path relative(location);
  const bool climbs = std::ranges::find(relative, fs::path("..")) != relative.end();
  if (location.empty() || relative.is_absolute() || climbs || location.find('\0') != std::string::npos) {
    base::invalid("model.external_data", "the location '{}' is not a path inside the model's folder", location);
  }
  std::error_code error;
  const fs::path folder = fs::canonical(folder_->empty() ? fs::path(".") : *folder_, error);
  const fs::path path = error ? fs::path() : fs::canonical(folder / relative, error);
  if (error) {
    base::fail(ErrorCode::kNotFound, "model.external_data", "cannot find the data file '{}' in '{}': {}", location,
               folder_->string(), error.message());
  }
  if (!contains(folder, path)) {
    base::invalid("model.external_data", "the location '{}' leads out of the model's folder, to '{}'", location,
                  path.string());
  }
  try {
    file = std::make_shared<MappedFile>(path);
  } catch (const Error& failure) {
    throw Error(failure.code(), "model.external_data", failure.message());
  }
  return file;
}

Tensor ExternalData::load(const pb::TensorProto& proto) {
  return base::with_context(
      [&] { return fmt::format("in tensor '{}'", proto.name()); },
      [&] {
        const ElementType type = element_type(proto);
        const Shape shape = shape_of(proto);
        if (type == ElementType::kString) {
          base::invalid("model.external_data", "a tensor of strings cannot have external data");
        }
        std::string location;
        std::size_t offset = 0;
        std::optional<std::size_t> length;
        for (const pb::StringStringEntryProto& entry : proto.external_data()) {
          const auto number = [&] {
            std::size_t value = 0;
            const char* end = entry.value().data() + entry.value().size();
            const auto [stop, failed] = std::from_chars(entry.value().data(), end, value);
            if (failed != std::errc{} || stop != end) {
              base::invalid("model.external_data", "the {} '{}' is not a number of bytes", entry.key(), entry.value());
            }
            return value;
          };
          if (entry.key() == "location") location = entry.value();
          if (entry.key() == "offset") offset = number();
          if (entry.key() == "length") length = number();
        }
        const Tensor wanted = Tensor::wrap(type, shape, nullptr, nullptr);
        const std::size_t needed = stored_bytes(wanted);
        if (length && *length != needed) {
          base::invalid("model.external_data", "{} needs {} bytes, but the length is given as {}", wanted.type_string(),
                        needed, *length);
        }
        const std::shared_ptr<MappedFile> mapped = file(location);
        if (offset > mapped->size_bytes() || needed > mapped->size_bytes() - offset) {
          base::fail(ErrorCode::kDataLoss, "model.external_data",
                     "{} needs {} bytes from offset {} of '{}', but the file has {} bytes", wanted.type_string(),
                     needed, offset, location, mapped->size_bytes());
        }
        if (needed == 0) return Tensor::allocate(type, shape);
        char* data = const_cast<char*>(mapped->data()) + offset;
        if (needed != wanted.byte_count()) return unpacked(wanted, data);
        const bool is_bool = type == ElementType::kBool;
        const auto alignment = static_cast<std::size_t>(element_bytes(type));
        if (!is_bool && offset % std::min<std::size_t>(alignment, 8) == 0)
          return Tensor::wrap(type, shape, data, mapped);
        Tensor copy = Tensor::allocate(type, shape);
        if (is_bool)
          std::transform(data, data + needed, copy.data<bool>(), [](char byte) { return byte != 0; });
        else
          std::memcpy(copy.raw_data(), data, needed);
        return copy;
      });
}

}  // namespace lanner::onnx
