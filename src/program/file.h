// The .lanner file: a header, a table of sections, and the sections, each 64-byte aligned and with an XXH3 checksum.
//
//   header   64 bytes: magic "LANNER\r\n", format version, section count, file size, checksum of header and table
//   table    32 bytes a section: kind, offset, size, checksum
//   text     the program's text form, constants given as `@offset type` into the weights
//   weights  the constants, each 64-byte aligned, plain (never packed for a CPU)
//   report   what the compiler decided, as JSON
//
// All integers little-endian. A reader refuses versions it does not know.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "base/file.h"
#include "program/program.h"

namespace lanner::program {

struct FileContent {
  Program program;
  std::string report;
  std::shared_ptr<const base::MappedFile> mapping;  // what the constants view; null for a program made in memory
};

// Throws `file.unwritable`; see base::write_file_atomically.
void write_file(const std::filesystem::path& path, const Program& program, std::string_view report);

// Maps, checks every checksum, parses and verifies. Throws `file.not_found`, `file.unreadable`, `program.magic` for
// another kind of file, `program.version`, `program.truncated`, `program.corrupt`, `program.syntax`, `program.invalid`.
FileContent read_file(const std::filesystem::path& path);

// Whether the file begins like a .lanner file; false when it cannot be read.
bool is_program_file(const std::filesystem::path& path);

}  // namespace lanner::program
