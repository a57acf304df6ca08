#include "base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <iterator>
#include <stdexcept>
#include <thread>
#include <vector>

#include "base/error_testing.h"

namespace lanner::base {
namespace {

namespace fs = std::filesystem;
using testing::reason_of;

class File : public ::testing::Test {
 protected:
  File() { fs::create_directories(folder_); }
  ~File() override { fs::remove_all(folder_); }

  std::ptrdiff_t files_in_folder() const { return std::distance(fs::directory_iterator(folder_), {}); }

  static mode_t mode_of(const fs::path& path) {
    struct stat info {};
    EXPECT_EQ(::stat(path.c_str(), &info), 0);
    return info.st_mode & 0777;
  }

  fs::path folder_ = fs::temp_directory_path() / ("lanner_file_test_" + std::to_string(::getpid()));
  fs::path path_ = folder_ / "a.bin";
};

TEST_F(File, ReadsBackWhatWasWritten) {
  std::string content(200'000, 'x');
  content[70'000] = '\0';
  write_file_atomically(path_, content);
  EXPECT_EQ(read_file(path_), content);
  write_file_atomically(path_, "");
  EXPECT_EQ(read_file(path_), "");
}

TEST_F(File, WritesPiecesInOrder) {
  write_file_atomically(path_, [](const WriteBytes& write) {
    write("ab", 2);
    write("", 0);
    write("c", 1);
  });
  EXPECT_EQ(read_file(path_), "abc");
}

TEST_F(File, MapsAWholeFile) {
  write_file_atomically(path_, "some bytes");
  const auto file = MappedFile::open(path_);
  const auto bytes = file->bytes();
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), "some bytes");
}

TEST_F(File, MapsAnEmptyFile) {
  write_file_atomically(path_, "");
  const auto file = MappedFile::open(path_);
  EXPECT_TRUE(file->bytes().empty());
  file->release_pages(file->bytes().data(), 0);
}

TEST_F(File, AMappingOutlivesTheFilesReplacement) {
  write_file_atomically(path_, "old");
  const auto file = MappedFile::open(path_);
  write_file_atomically(path_, "new");
  fs::remove(path_);
  EXPECT_EQ(static_cast<char>(file->bytes()[0]), 'o');
}

TEST_F(File, ReleasedPagesReadTheSame) {
  const std::string content(100'000, 'y');
  write_file_atomically(path_, content);
  const auto file = MappedFile::open(path_);
  const auto bytes = file->bytes();
  for (const std::size_t begin : {0, 1, 4096, 99'999}) {
    for (const std::size_t count : {0, 1, 4095, 4096, 50'000}) {
      if (begin + count <= bytes.size()) file->release_pages(bytes.data() + begin, count);
    }
  }
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), content);
}

TEST_F(File, SaysWhyItCannotBeRead) {
  write_file_atomically(path_, "x");
  EXPECT_EQ(reason_of([&] { MappedFile::open(folder_ / "missing"); }), "file.not_found");
  EXPECT_EQ(reason_of([&] { MappedFile::open(path_ / "below_a_file"); }), "file.not_found");
  EXPECT_EQ(reason_of([&] { MappedFile::open(folder_); }), "file.unreadable");
  EXPECT_EQ(reason_of([&] { MappedFile::open("/dev/null"); }), "file.unreadable");
  EXPECT_EQ(reason_of([&] { MappedFile::open(""); }), "file.not_found");
  // A pipe that nobody writes to must not be waited for.
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(reason_of([&] { MappedFile::open(folder_ / "pipe"); }), "file.unreadable");
  EXPECT_EQ(reason_of([&] { read_file(folder_ / "missing"); }), "file.not_found");
  EXPECT_EQ(reason_of([&] { read_file(folder_); }), "file.unreadable");
}

TEST_F(File, AFailedWriteKeepsTheOldFileAndLeavesNothingElse) {
  write_file_atomically(path_, "old");
  EXPECT_THROW(write_file_atomically(path_,
                                     [](const WriteBytes& write) {
                                       write("new", 3);
                                       throw std::runtime_error("no more");
                                     }),
               std::runtime_error);
  EXPECT_EQ(read_file(path_), "old");
  EXPECT_EQ(files_in_folder(), 1);
}

TEST_F(File, AReaderNeverSeesHalfAFile) {
  write_file_atomically(path_, "old");
  write_file_atomically(path_, [&](const WriteBytes& write) {
    write("ne", 2);
    EXPECT_EQ(read_file(path_), "old");
    write("w", 1);
  });
  EXPECT_EQ(read_file(path_), "new");
}

TEST_F(File, SaysThatItCannotBeWritten) {
  EXPECT_EQ(reason_of([&] { write_file_atomically(folder_ / "missing" / "a", "x"); }), "file.unwritable");
  EXPECT_EQ(reason_of([&] { write_file_atomically("", "x"); }), "file.unwritable");
  fs::create_directories(folder_ / "taken");
  EXPECT_EQ(reason_of([&] { write_file_atomically(folder_ / "taken", "x"); }), "file.unwritable");
  EXPECT_EQ(files_in_folder(), 1);
}

TEST_F(File, AFullDeviceIsAnError) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "this system has no /dev/full";
  EXPECT_EQ(reason_of([] { write_file_atomically("/dev/full", "x"); }), "file.unwritable");
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
}

TEST_F(File, WritesThroughALink) {
  write_file_atomically(path_, "old");
  fs::create_symlink(path_, folder_ / "link");
  write_file_atomically(folder_ / "link", "new");
  EXPECT_TRUE(fs::is_symlink(folder_ / "link"));
  EXPECT_EQ(read_file(path_), "new");
}

TEST_F(File, ANewFileHasTheUmasksPermissions) {
  const mode_t before = ::umask(027);
  write_file_atomically(path_, "x");
  ::umask(before);
  EXPECT_EQ(mode_of(path_), 0640u);
}

// The mask belongs to the whole process: writing a file must not touch it, even for a moment.
TEST_F(File, WritersLeaveTheUmaskAlone) {
  const mode_t before = ::umask(027);
  std::atomic<int> running{4};
  std::vector<std::thread> writers;
  for (int i = 0; i < 4; ++i) {
    writers.emplace_back([&, i] {
      const fs::path path = folder_ / std::to_string(i);
      for (int round = 0; round < 200; ++round) {
        write_file_atomically(path, "x");
        EXPECT_EQ(mode_of(path), 0640u);
      }
      --running;
    });
  }
  int other_files = 0, wrong_modes = 0;
  const fs::path other = folder_ / "other";
  while (running != 0) {
    const int fd = ::open(other.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (mode_of(other) != 0640) ++wrong_modes;
    ::close(fd);
    ::unlink(other.c_str());
    ++other_files;
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(::umask(before), 027u);
  EXPECT_EQ(wrong_modes, 0) << "of " << other_files;
}

TEST_F(File, WritersOfOneFileDoNotMix) {
  std::vector<std::thread> writers;
  for (int i = 0; i < 4; ++i) {
    writers.emplace_back([&, i] {
      for (int round = 0; round < 50; ++round) {
        write_file_atomically(path_, std::string(1000, static_cast<char>('a' + i)));
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  const std::string content = read_file(path_);
  EXPECT_EQ(content, std::string(1000, content.at(0)));
  EXPECT_EQ(files_in_folder(), 1);
}

}  // namespace
}  // namespace lanner::base
