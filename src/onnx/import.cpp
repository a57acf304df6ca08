#include "onnx/import.h"

#include <utility>

#include "base/fail.h"
#include "onnx/build.h"
#include "onnx/external_data.h"
#include "onnx/prepare.h"

namespace lanner::onnx {

namespace {

ir::Graph import_bytes(std::span<const std::byte> bytes, ExternalData external, const HasKernel& has_kernel,
                       const InputSizes& sizes) {
  return build_graph(prepare(bytes, external, has_kernel, sizes));
}

}  // namespace

ir::Graph import_model(const std::filesystem::path& file, const HasKernel& has_kernel, const InputSizes& sizes) {
  return base::with_context([&] { return fmt::format("while importing '{}'", file.string()); },
                            [&] {
                              const MappedFile mapped(file);
                              return import_bytes(std::as_bytes(std::span(mapped.data(), mapped.size_bytes())),
                                                  ExternalData(file.parent_path()), has_kernel, sizes);
                            });
}

ir::Graph import_model(std::span<const std::byte> bytes, const HasKernel& has_kernel,
                       std::optional<std::filesystem::path> folder, const InputSizes& sizes) {
  return base::with_context([] { return "while importing a model from memory"; },
                            [&] { return import_bytes(bytes, ExternalData(std::move(folder)), has_kernel, sizes); });
}

}  // namespace lanner::onnx
