#include "program/file.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <fstream>

#include "base/fail.h"
#include "program/text.h"
#include "program/verify.h"
#include "tensor/text.h"

namespace lanner::program {

namespace {

static_assert(std::endian::native == std::endian::little, "the file format is little-endian");

// The line break shows a file that was damaged by a text-mode transfer.
constexpr std::array<char, 8> kMagic = {'L', 'A', 'N', 'N', 'E', 'R', '\r', '\n'};
constexpr std::uint32_t kFormatVersion = 2;
constexpr std::size_t kAlignment = 64;

enum class SectionKind : std::uint32_t { kText = 1, kWeights = 2, kReport = 3 };
constexpr SectionKind kSections[] = {SectionKind::kText, SectionKind::kWeights, SectionKind::kReport};
constexpr std::size_t kSectionCount = std::size(kSections);

struct Header {
  std::array<char, 8> magic;
  std::uint32_t version;
  std::uint32_t section_count;
  std::uint64_t file_size;
  std::uint64_t checksum;  // of header (with this field zero) and table
  std::array<std::uint64_t, 4> reserved;
};
static_assert(sizeof(Header) == 64);

struct Section {
  SectionKind kind;
  std::uint32_t reserved;
  std::uint64_t offset;
  std::uint64_t size;
  std::uint64_t checksum;
};
static_assert(sizeof(Section) == 32);

using SectionTable = std::array<Section, kSectionCount>;

std::uint64_t align(std::uint64_t offset) {
  return (offset + kAlignment - 1) / kAlignment * kAlignment;
}

std::uint64_t header_checksum(Header header, const SectionTable& table) {
  header.checksum = 0;
  XXH3_state_t* state = XXH3_createState();
  XXH3_64bits_reset(state);
  XXH3_64bits_update(state, &header, sizeof(header));
  XXH3_64bits_update(state, table.data(), sizeof(table));
  const std::uint64_t hash = XXH3_64bits_digest(state);
  XXH3_freeState(state);
  return hash;
}

// Strings have no plain bytes and small tensors are better read in the text.
bool belongs_in_weights(const Tensor& tensor) {
  return tensor.element_type() != ElementType::kString && tensor.byte_count() > 64;
}

[[noreturn]] void truncated(std::uint64_t needed, std::uint64_t found) {
  base::fail(ErrorCode::kDataLoss, "program.truncated", "the file must have {} bytes, but has {}", needed, found);
}

[[noreturn]] void corrupt(std::string_view what) {
  base::fail(ErrorCode::kDataLoss, "program.corrupt", "{} does not match its checksum: the file is damaged", what);
}

FileContent read_mapping(std::shared_ptr<const base::MappedFile> mapping) {
  const std::span<const std::byte> bytes = mapping->bytes();
  Header header{};
  if (bytes.size() < kMagic.size() || std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0) {
    base::invalid("program.magic", "this is not a .lanner file");
  }
  if (bytes.size() < sizeof(Header) + sizeof(SectionTable)) {
    truncated(sizeof(Header) + sizeof(SectionTable), bytes.size());
  }
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.version != kFormatVersion) {
    base::fail(ErrorCode::kFailedPrecondition, "program.version",
               "the file has format version {}, but this build reads version {}; compile the model again",
               header.version, kFormatVersion);
  }
  SectionTable table;
  std::memcpy(table.data(), bytes.data() + sizeof(header), sizeof(table));
  if (header.section_count != kSectionCount || header_checksum(header, table) != header.checksum) {
    corrupt("the header");
  }
  if (header.file_size != bytes.size()) truncated(header.file_size, bytes.size());

  std::array<std::span<const std::byte>, kSectionCount> sections;
  for (std::size_t i = 0; i < kSectionCount; ++i) {
    const Section& section = table[i];
    if (section.kind != kSections[i] || section.offset % kAlignment != 0 || section.offset > bytes.size() ||
        section.size > bytes.size() - section.offset) {
      corrupt("the section table");
    }
    sections[i] = bytes.subspan(section.offset, section.size);
    if (XXH3_64bits(sections[i].data(), sections[i].size()) != section.checksum) {
      corrupt(fmt::format("section {}", static_cast<std::uint32_t>(section.kind)));
    }
  }

  const std::span<const std::byte> weights = sections[1];
  const auto resolve = [&](ElementType type, const Shape& shape, std::int64_t offset) {
    const Tensor sized = Tensor::wrap(type, shape, nullptr);
    const std::size_t size = sized.byte_count();
    if (type == ElementType::kString || offset < 0 || offset % static_cast<std::int64_t>(kAlignment) != 0 ||
        static_cast<std::uint64_t>(offset) > weights.size() ||
        size > weights.size() - static_cast<std::size_t>(offset)) {
      base::invalid("program.invalid", "constant {} at offset {} lies outside the {} bytes of weights",
                    sized.type_string(), offset, weights.size());
    }
    const auto elements = weights.subspan(static_cast<std::size_t>(offset), size);
    if (type == ElementType::kBool &&
        std::ranges::any_of(elements, [](std::byte byte) { return byte > std::byte{1}; })) {
      base::invalid("program.invalid", "constant {} at offset {} holds bytes that are neither 0 nor 1",
                    sized.type_string(), offset);
    }
    // The mapping is read-only and so is every use of a constant.
    void* data = const_cast<std::byte*>(elements.data());
    return Tensor::wrap(type, shape, data, std::const_pointer_cast<base::MappedFile>(mapping));
  };
  FileContent content;
  content.program = parse({reinterpret_cast<const char*>(sections[0].data()), sections[0].size()}, resolve);
  verify(content.program);
  content.report.assign(reinterpret_cast<const char*>(sections[2].data()), sections[2].size());
  content.mapping = std::move(mapping);
  content.mapping->release_pages(bytes.data(), bytes.size());
  return content;
}

}  // namespace

void write_file(const std::filesystem::path& path, const Program& program, std::string_view report) {
  std::vector<std::uint64_t> offsets(program.constants.size(), 0);
  std::uint64_t weights_size = 0;
  for (std::size_t i = 0; i < program.constants.size(); ++i) {
    if (!belongs_in_weights(program.constants[i])) continue;
    offsets[i] = weights_size;
    weights_size = align(weights_size + program.constants[i].byte_count());
  }
  const std::string text = print(program, [&](std::uint32_t i) {
    const Tensor& tensor = program.constants[i];
    return belongs_in_weights(tensor) ? fmt::format("@{} {}", offsets[i], tensor.type_string())
                                      : tensor::tensor_text(tensor);
  });

  // Checksums come first in the file, so the weights are gone over twice: hashed, then written.
  static constexpr std::array<char, kAlignment> kZeros{};
  const auto each_weight = [&](const auto& take) {
    for (const Tensor& tensor : program.constants) {
      if (!belongs_in_weights(tensor)) continue;
      take(tensor.raw_data(), tensor.byte_count());
      take(kZeros.data(), align(tensor.byte_count()) - tensor.byte_count());
    }
  };
  XXH3_state_t* state = XXH3_createState();
  XXH3_64bits_reset(state);
  each_weight([&](const void* data, std::size_t size) { XXH3_64bits_update(state, data, size); });
  const std::uint64_t weights_checksum = XXH3_64bits_digest(state);
  XXH3_freeState(state);

  SectionTable table{};
  std::uint64_t offset = align(sizeof(Header) + sizeof(SectionTable));
  const auto place = [&](std::size_t i, std::uint64_t size, std::uint64_t checksum) {
    table[i] = {kSections[i], 0, offset, size, checksum};
    offset = align(offset + size);
  };
  place(0, text.size(), XXH3_64bits(text.data(), text.size()));
  place(1, weights_size, weights_checksum);
  place(2, report.size(), XXH3_64bits(report.data(), report.size()));
  Header header{kMagic, kFormatVersion, kSectionCount, offset, 0, {}};
  header.checksum = header_checksum(header, table);

  base::write_file_atomically(path, [&](const base::WriteBytes& write) {
    std::uint64_t written = 0;
    const auto put = [&](const void* data, std::size_t size) {
      write(data, size);
      written += size;
    };
    const auto pad = [&] { put(kZeros.data(), align(written) - written); };
    put(&header, sizeof(header));
    put(table.data(), sizeof(table));
    pad();
    put(text.data(), text.size());
    pad();
    each_weight(put);
    put(report.data(), report.size());
    pad();
  });
}

FileContent read_file(const std::filesystem::path& path) {
  return base::with_context([&] { return fmt::format("while loading '{}'", path.string()); },
                            [&] { return read_mapping(base::MappedFile::open(path)); });
}

bool is_program_file(const std::filesystem::path& path) {
  std::error_code ignored;
  // Opening a pipe would wait for somebody to write to it.
  if (!std::filesystem::is_regular_file(path, ignored)) return false;
  std::ifstream file(path, std::ios::binary);
  std::array<char, kMagic.size()> magic{};
  return file.read(magic.data(), magic.size()) && magic == kMagic;
}

}  // namespace lanner::program
