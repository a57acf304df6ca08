#include "cli/npz.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <zip.h>

#include <cstring>
#include <fstream>

#include "base/file.h"
#include "lanner/error.h"

namespace lanner::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::filesystem::path scratch(const std::string& name) {
  return std::filesystem::path(::testing::TempDir()) / fmt::format("lanner_npz_{}_{}", ::getpid(), name);
}

// A file that is removed at the end of the test.
struct File {
  explicit File(const std::string& name) : path(scratch(name)) {}
  ~File() { std::filesystem::remove(path); }
  std::filesystem::path path;
};

// What NumPy's np.save writes for this header, version 1.
std::string npy(const std::string& header, const std::string& elements) {
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(header.size());
  bytes += '\0';
  return bytes + header + elements;
}

void write_zip(const std::filesystem::path& path, const std::string& name, const std::string& content,
               zip_int32_t method = ZIP_CM_STORE) {
  zip_t* archive = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, nullptr);
  ASSERT_NE(archive, nullptr);
  zip_source_t* source = zip_source_buffer(archive, content.data(), content.size(), 0);
  const zip_int64_t index = zip_file_add(archive, name.c_str(), source, 0);
  ASSERT_GE(index, 0);
  ASSERT_EQ(zip_set_file_compression(archive, static_cast<zip_uint64_t>(index), method, 0), 0);
  ASSERT_EQ(zip_close(archive), 0);
}

// The reason of the Error that reading `path` throws; "" when it throws none.
std::string reason_of(const std::filesystem::path& path) {
  try {
    read_npz(path);
  } catch (const Error& error) {
    return error.reason();
  }
  return "";
}

std::string reason_of_npy(const std::string& content) {
  const File file("one.npz");
  write_zip(file.path, "x.npy", content);
  return reason_of(file.path);
}

TEST(Npz, RoundTrip) {
  const File file("round.npz");
  const NamedValues written = {
      {"matrix", Tensor::of<float>({2, 3}, {1, -2, 3.5F, 0, 1e-30F, 6})},
      {"scalar", Tensor::scalar<std::int64_t>(-7)},
      {"empty", Tensor::of<float>({0, 4}, {})},
      {"flags", Tensor::of<bool>({2}, {true, false})},
      {"a/b.0", Tensor::of<std::uint8_t>({1, 1, 2}, {0, 255})},
  };
  write_npz(file.path, written);
  const NamedValues read = read_npz(file.path);
  ASSERT_EQ(read.size(), written.size());
  for (std::size_t i = 0; i < read.size(); ++i) {
    EXPECT_EQ(read[i].first, written[i].first);
    const Tensor& expected = written[i].second.tensor();
    const Tensor& tensor = read[i].second.tensor();
    ASSERT_EQ(tensor.type_string(), expected.type_string());
    EXPECT_TRUE(expected.byte_count() == 0 ||
                std::memcmp(tensor.raw_data(), expected.raw_data(), expected.byte_count()) == 0);
  }
}

TEST(Npz, EveryWritableTypeRoundTrips) {
  for (const ElementType type : {ElementType::kInt8, ElementType::kInt16, ElementType::kUint16, ElementType::kInt32,
                                 ElementType::kUint32, ElementType::kInt64, ElementType::kUint64, ElementType::kFloat16,
                                 ElementType::kFloat32, ElementType::kFloat64}) {
    const File file("type.npz");
    Tensor tensor = Tensor::allocate(type, {3});
    std::memset(tensor.raw_data(), 0x2a, tensor.byte_count());
    write_npz(file.path, {{"x", tensor}});
    EXPECT_EQ(read_npz(file.path)[0].second.tensor().type_string(), tensor.type_string());
  }
}

TEST(Npz, ElementsBeginAligned) {
  const File file("aligned.npz");
  write_npz(file.path, {{"x", Tensor::of<std::uint8_t>({4}, {'L', 'N', 'R', '!'})}});
  const std::string bytes = base::read_file(file.path);
  EXPECT_EQ((bytes.find("LNR!") - bytes.find("\x93NUMPY")) % 64, 0U);
}

TEST(Npz, ReadsCompressedArraysAndNumpysHeader) {
  const File file("deflated.npz");
  const std::string header = "{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }            \n";
  write_zip(file.path, "values.npy", npy(header, std::string("\x05\0\0\0\xff\xff\xff\xff", 8)), ZIP_CM_DEFLATE);
  const NamedValues values = read_npz(file.path);
  ASSERT_EQ(values.size(), 1U);
  EXPECT_EQ(values[0].first, "values");
  EXPECT_THAT(values[0].second.tensor().values<std::int32_t>(), ElementsAre(5, -1));
}

TEST(Npz, ReadsVersionTwoHeaders) {
  const File file("v2.npz");
  const std::string header = "{'descr': '|u1', 'fortran_order': False, 'shape': (1,)}\n";
  std::string bytes("\x93NUMPY\x02\x00", 8);
  bytes += static_cast<char>(header.size());
  bytes += std::string(3, '\0') + header + "A";
  write_zip(file.path, "x.npy", bytes);
  EXPECT_THAT(read_npz(file.path)[0].second.tensor().values<std::uint8_t>(), ElementsAre('A'));
}

TEST(Npz, BooleansAreZeroOrOne) {
  const File file("bool.npz");
  write_zip(file.path, "x.npy", npy("{'descr': '|b1', 'fortran_order': False, 'shape': (3,)}", {"\x00\x01\x07", 3}));
  const NamedValues values = read_npz(file.path);
  const auto* bytes = static_cast<const char*>(values[0].second.tensor().raw_data());
  EXPECT_EQ(std::string(bytes, 3), std::string("\x00\x01\x01", 3));
}

TEST(Npz, RefusesWhatHasNoElementType) {
  EXPECT_EQ(reason_of_npy(npy("{'descr': '<U5', 'fortran_order': False, 'shape': (1,)}", "")), "npz.type");
  EXPECT_EQ(reason_of_npy(npy("{'descr': '>f4', 'fortran_order': False, 'shape': (1,)}", "abcd")), "npz.type");
  EXPECT_EQ(reason_of_npy(npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", "abcd")), "npz.type");
  EXPECT_EQ(reason_of_npy(npy("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 2)}", "abcd")), "npz.type");
  EXPECT_EQ(reason_of_npy(npy("{'descr': '|u1', 'fortran_order': True, 'shape': (4,)}", "abcd")), "");
}

TEST(Npz, RefusesBrokenHeaders) {
  for (const char* header : {
           "{'fortran_order': False, 'shape': (1,)}",
           "{'descr': '|u1', 'shape': (1,)}",
           "{'descr': '|u1', 'fortran_order': False}",
           "{'descr': '|u1', 'fortran_order': False, 'shape': (1,",
           "{'descr': '|u1', 'fortran_order': False, 'shape': }",
           "{'descr': '|u1', 'fortran_order': False, 'shape': 1}",
           "{'descr': '|u1', 'fortran_order': False, 'shape': (x,)}",
           "{'descr': '|u1', 'fortran_order': False, 'shape': (2,)}",
           "{'descr': '|u1', 'fortran_order': False, 'shape': (0,)}",
       }) {
    EXPECT_EQ(reason_of_npy(npy(header, "A")), "npz.invalid") << header;
  }
  EXPECT_EQ(reason_of_npy(npy("{'descr': '|u1', 'fortran_order': False, 'shape': (-1,)}", "A")), "op.shape");
  EXPECT_EQ(reason_of_npy(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904, 4)}", "A")),
            "op.size");
  EXPECT_EQ(reason_of_npy(npy("{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999,)}", "A")),
            "npz.invalid");
  EXPECT_EQ(reason_of_npy(""), "npz.invalid");
  EXPECT_EQ(reason_of_npy("no array at all"), "npz.invalid");
  EXPECT_EQ(reason_of_npy(std::string("\x93NUMPY\x01\x00\xff\xff{", 11)), "npz.invalid");
}

TEST(Npz, RefusesTruncatedFilesOfEveryLength) {
  const File whole("whole.npz");
  const File cut("cut.npz");
  write_npz(whole.path, {{"x", Tensor::of<float>({2}, {1, 2})}});
  const std::string bytes = base::read_file(whole.path);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    std::ofstream(cut.path, std::ios::binary) << bytes.substr(0, size);
    EXPECT_EQ(reason_of(cut.path), "npz.invalid") << size;
  }
}

TEST(Npz, RefusesElementsThatDoNotMatchTheirChecksum) {
  const File file("flipped.npz");
  write_npz(file.path, {{"x", Tensor::of<std::uint8_t>({4}, {'L', 'N', 'R', '!'})}});
  std::string bytes = base::read_file(file.path);
  bytes[bytes.find("LNR!")] ^= 1;
  base::write_file_atomically(file.path, bytes);
  EXPECT_EQ(reason_of(file.path), "npz.invalid");
}

TEST(Npz, MessageNamesFileAndArray) {
  const File file("named.npz");
  write_zip(file.path, "pixels.npy", "no array at all");
  try {
    read_npz(file.path);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("in array 'pixels'"));
    EXPECT_THAT(error.what(), HasSubstr(file.path.string()));
  }
}

TEST(Npz, MissingFile) {
  EXPECT_EQ(reason_of(scratch("missing.npz")), "file.not_found");
}

TEST(Npz, WhatCannotBeWrittenLeavesNothingBehind) {
  const File file("none.npz");
  const auto reason = [&](const Value& value) {
    try {
      write_npz(file.path, {{"fine", Tensor::scalar<float>(1)}, {"x", value}});
    } catch (const Error& error) {
      return error.reason();
    }
    return std::string();
  };
  EXPECT_EQ(reason(Sequence{}), "npz.type");
  EXPECT_EQ(reason(Tensor::scalar<std::string>("text")), "npz.type");
  EXPECT_EQ(reason(Tensor::allocate(ElementType::kBfloat16, {1})), "npz.type");
  EXPECT_FALSE(std::filesystem::exists(file.path));
  try {
    write_npz(scratch("no_folder") / "x.npz", {{"x", Tensor::scalar<float>(1)}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.reason(), "file.unwritable");
  }
}

}  // namespace
}  // namespace lanner::cli
