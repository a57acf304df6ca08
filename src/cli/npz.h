// NumPy's .npz files: a zip archive with one .npy array per name.
#pragma once

#include <filesystem>

#include "lanner/session.h"

namespace lanner::cli {

// Every array of the file, in the archive's order. Throws `file.not_found`, `file.unreadable`, `npz.invalid` (no zip
// archive, no .npy inside, a header that contradicts the data), `npz.type` for element types that ONNX lacks and for
// arrays that are not in C order and native byte order.
NamedValues read_npz(const std::filesystem::path& path);

// Writes tensors of bool, integer and float types; throws `file.unwritable` (leaving nothing behind), `npz.type` for
// strings and other types and for values that are no tensors.
void write_npz(const std::filesystem::path& path, const NamedValues& values);

}  // namespace lanner::cli
