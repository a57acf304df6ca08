// Program files, their text form and the verifier; and whatever the verifier accepts is run.
//
// An input is one of three things, by how it begins. "LANNER\r\n": a .lanner file, read as it is and once more with its
// checksums made right. "\x01": a text and, behind a zero byte, the bytes of its weights and, behind another, a report,
// from which a right file is made around them. Anything else: a program's text.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include "base/fail.h"
#include "fuzz/execute.h"
#include "fuzz/text_mutator.h"
#include "lanner/error.h"
#include "program/file.h"
#include "program/text.h"
#include "program/verify.h"

namespace lanner::fuzz {

namespace {

constexpr std::string_view kMagic = "LANNER\r\n";
constexpr char kParts = '\x01';
constexpr std::size_t kHeaderBytes = 64;
constexpr std::size_t kTableBytes = 3 * 32;

// A file without a name.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view bytes) : descriptor_(memfd_create("program", 0)) {
    if (descriptor_ < 0 || ::write(descriptor_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
      finding("no file in memory");
    }
  }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return fmt::format("/proc/self/fd/{}", descriptor_); }

 private:
  int descriptor_;
};

template <typename T>
T get(const std::string& bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(value));
  return value;
}

template <typename T>
void put(std::string& bytes, std::size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof(value));
}

// Gives a file the size and checksums that its own table asks for, and the version that is read.
void repair(std::string& file) {
  if (file.size() < kHeaderBytes + kTableBytes) return;
  put<std::uint32_t>(file, 8, 2);
  put<std::uint32_t>(file, 12, 3);
  put<std::uint64_t>(file, 16, file.size());
  for (std::size_t entry = kHeaderBytes; entry < kHeaderBytes + kTableBytes; entry += 32) {
    const auto offset = get<std::uint64_t>(file, entry + 8);
    const auto size = get<std::uint64_t>(file, entry + 16);
    if (offset > file.size() || size > file.size() - offset) continue;
    put<std::uint64_t>(file, entry + 24, XXH3_64bits(file.data() + offset, size));
  }
  put<std::uint64_t>(file, 24, 0);
  put<std::uint64_t>(file, 24, XXH3_64bits(file.data(), kHeaderBytes + kTableBytes));
}

std::string make_file(std::string_view text, std::string_view weights, std::string_view report) {
  std::string file(kMagic);
  file.resize(kHeaderBytes + kTableBytes, '\0');
  std::uint32_t kind = 1;
  for (const std::string_view section : {text, weights, report}) {
    file.resize((file.size() + 63) / 64 * 64, '\0');
    const std::size_t entry = kHeaderBytes + (kind - 1) * 32;
    put<std::uint32_t>(file, entry, kind++);
    put<std::uint64_t>(file, entry + 8, file.size());
    put<std::uint64_t>(file, entry + 16, section.size());
    file += section;
  }
  repair(file);
  return file;
}

// Adds the dependencies that a changed instruction lacks, where all it reads and writes exists.
void add_dependencies(program::Block& block) {
  const auto exists = [&](const std::vector<program::SlotIndex>& slots) {
    return std::ranges::all_of(
        slots, [&](program::SlotIndex slot) { return slot == program::kNoSlot || slot < block.slots.size(); });
  };
  const bool all_exist = std::ranges::all_of(block.instructions, [&](const program::Instruction& instruction) {
    return exists(instruction.inputs) && exists(instruction.outputs);
  });
  if (all_exist) program::set_data_dependencies(block);
  for (program::Instruction& instruction : block.instructions) {
    for (program::NamedBlock& inner : instruction.blocks) add_dependencies(inner.block);
  }
}

void check_round_trip(const program::Program& program) {
  const std::string text = program::print(program);
  try {
    if (program::print(program::parse(text)) != text) finding("the text form does not round-trip");
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n%s\n", text.c_str(), error.what());
    finding("the text form does not read back");
  }
}

void run(const program::Program& program, std::uint64_t seed) {
  check_round_trip(program);
  execute(program, seed);
}

void read_file(const std::string& bytes, std::uint64_t seed) {
  const MemoryFile file(bytes);
  try {
    const program::FileContent content = program::read_file(file.path());
    run(content.program, seed);
  } catch (const Error&) {
    // A file may be wrong in any way.
  }
}

void read_text(std::string_view text, std::uint64_t seed) {
  try {
    program::Program program = program::parse(text);
    try {
      program::verify(program);
    } catch (const Error&) {
      add_dependencies(program.main);
      program::verify(program);
    }
    run(program, seed);
  } catch (const Error&) {
    // Not every text is a program.
  }
}

struct Parts {
  std::string_view text;
  std::string_view weights;
  std::string_view report;
};

Parts parts_of(std::string_view bytes) {
  const auto next = [&] {
    const std::string_view part = bytes.substr(0, bytes.find('\0'));
    bytes.remove_prefix(std::min(part.size() + 1, bytes.size()));
    return part;
  };
  const std::string_view text = next();
  // The report is the last part, because weights may hold zeros.
  const std::size_t last = bytes.rfind('\0');
  if (last == std::string_view::npos) return {text, bytes, {}};
  return {text, bytes.substr(0, last), bytes.substr(last + 1)};
}

}  // namespace

}  // namespace lanner::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanner::fuzz;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::uint64_t seed = XXH3_64bits(data, size);
  if (bytes.starts_with(kMagic)) {
    std::string file(bytes);
    read_file(file, seed);
    repair(file);
    read_file(file, seed);
  } else if (bytes.starts_with(kParts)) {
    const Parts parts = parts_of(bytes.substr(1));
    read_file(make_file(parts.text, parts.weights, parts.report), seed);
  } else {
    read_text(bytes, seed);
  }
  return 0;
}

#ifdef LANNER_FUZZ
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace {

// The text in `bytes`, and what comes before and behind it.
struct Split {
  std::string_view before, text, behind;
};

Split split(std::string_view bytes) {
  const std::size_t begin = bytes.starts_with(lanner::fuzz::kParts) ? 1 : 0;
  const std::size_t end = begin == 0 ? bytes.size() : std::min(bytes.find('\0', begin), bytes.size());
  return {bytes.substr(0, begin), bytes.substr(begin, end - begin), bytes.substr(end)};
}

std::size_t mutate(std::uint8_t* data, std::string_view bytes, std::string_view other, std::size_t max_size,
                   lanner::fuzz::Random& random) {
  const Split parts = split(bytes);
  std::string text(parts.text);
  for (std::size_t i = 1 + random.below(4); i > 0; --i) {
    text = lanner::fuzz::mutate_text(text, split(other).text, random);
  }
  const std::string result = fmt::format("{}{}{}", parts.before, text, parts.behind);
  const std::size_t result_size = std::min(result.size(), max_size);
  std::memcpy(data, result.data(), result_size);
  return result_size;
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  lanner::fuzz::Random random(seed);
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  if (bytes.starts_with(lanner::fuzz::kMagic) || random.one_in(5)) return LLVMFuzzerMutate(data, size, max_size);
  return mutate(data, bytes, {}, max_size, random);
}

extern "C" std::size_t LLVMFuzzerCustomCrossOver(const std::uint8_t* data, std::size_t size, const std::uint8_t* other,
                                                 std::size_t other_size, std::uint8_t* out, std::size_t max_size,
                                                 unsigned seed) {
  lanner::fuzz::Random random(seed);
  return mutate(out, std::string(reinterpret_cast<const char*>(data), size),
                std::string_view(reinterpret_cast<const char*>(other), other_size), max_size, random);
}
#endif
