// Tensor data in files beside the model. Files are mapped read-only; a tensor keeps its file's mapping alive.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>

#include "onnx/proto.h"

namespace lanner::onnx {

// A read-only view of a whole file. Throws `file.not_found` or `file.unreadable`.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const char* data() const { return data_; }
  std::size_t size_bytes() const { return size_bytes_; }

 private:
  char* data_ = nullptr;
  std::size_t size_bytes_ = 0;
};

// Finds the tensors that a model keeps in files of its own folder. All errors are `model.external_data`: a missing or
// short file, a location outside the folder (also by way of a symbolic link), a length that the tensor does not have.
class ExternalData {
 public:
  // Without a folder every external tensor is an error.
  explicit ExternalData(std::optional<std::filesystem::path> folder) : folder_(std::move(folder)) {}

  Tensor load(const pb::TensorProto& proto);

 private:
  std::shared_ptr<MappedFile> file(const std::string& location);

  std::optional<std::filesystem::path> folder_;
  std::map<std::string, std::shared_ptr<MappedFile>> files_;
};

}  // namespace lanner::onnx
