// The text form, the verifier and the program file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>

#include "base/error_testing.h"
#include "base/file.h"
#include "program/file.h"
#include "program/text.h"
#include "program/verify.h"

namespace lanner::program {
namespace {

constexpr std::string_view kProgram = R"(program 1
property "lanner.detect.classes" "cat,\"dog\""
constant 0 float32[2,2]{1, 2.5, -inf, nan}
constant 1 string[2]{"a\x00b", "c\\"}
constant 2 bool[]{1}
constant 3 float32[40]{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 1e-45}
output "y"
main {
  slot 0 "x" float32[batch,2]
  slot 1 "w" float32[2,2]
  slot 2 "c" bool[]
  slot 3 "flat" float32[?]
  slot 4 "y" float32
  slot 5 "big" float32[40]
  inputs(0)
  const 1 0
  const 2 2
  const 5 3
  3 = Flatten(0) with {axis=0} name "flatten"
  4 = If(2, 3, 1) name "if" after(0) captures 2 block then_branch {
    slot 0 "a" float32[?]
    slot 1 "b" float32[2,2]
    inputs(0, 1)
    outputs(0)
  } block else_branch {
    slot 0 "a" float32[?]
    slot 1 "b" float32[2,2]
    slot 2 "r" float32
    inputs(0, 1)
    2 = Identity(1) with {f=1f, l=[1, -2], n=[f: 0.1, inf], s="q\"", t=int64[2]{3, 4}, w=[s: "u", "v"]}
    outputs(2)
  }
  outputs(4)
}
)";

using base::testing::reason_of;

Program replaced(std::string_view from, std::string_view to) {
  std::string text(kProgram);
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return parse(text.replace(at, from.size(), to));
}

std::string verdict(std::string_view from, std::string_view to) {
  return reason_of([&] { verify(replaced(from, to)); });
}

TEST(ProgramText, RoundTrips) {
  const Program program = parse(kProgram);
  verify(program);
  const std::string printed = print(program);
  EXPECT_EQ(print(parse(printed)), printed);
  EXPECT_EQ(program.properties[0].second, "cat,\"dog\"");
  EXPECT_EQ(program.constants[1].values<std::string>()[0], std::string("a\0b", 3));
  EXPECT_EQ(program.main.instructions[1].dependencies, std::vector<std::uint32_t>{0});
  EXPECT_EQ(program.main.instructions[1].blocks[1].block.instructions[0].attributes.get_floats("n")[0], 0.1f);
  EXPECT_EQ(program.constants[3].values<float>()[39], 1e-45f);
}

TEST(ProgramText, NamesLineAndColumn) {
  try {
    parse("program 1\nmain {\n  slot 0 \"x\" float33[1]\n");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.reason(), "program.syntax");
    EXPECT_THAT(error.message(), ::testing::HasSubstr("line 3, column 14"));
  }
}

TEST(ProgramText, EveryTruncationIsAnError) {
  for (std::size_t size = 0; size + 2 < kProgram.size(); ++size) {
    EXPECT_EQ(reason_of([&] { parse(kProgram.substr(0, size)); }), "program.syntax") << size;
  }
}

TEST(ProgramText, RefusesHugeConstantsBeforeAllocating) {
  EXPECT_EQ(reason_of([] { parse("program 1 constant 0 float32[1000000000000]{1} main"); }), "program.syntax");
  EXPECT_EQ(reason_of([] { parse("program 1 constant 0 float32[9000000000000000000,9]{1} main"); }), "op.size");
}

TEST(ProgramText, RefusesDeepNesting) {
  std::string text = "program 1 main {inputs()";
  for (int i = 0; i < 100000; ++i) text += "= If() block then_branch {inputs()";
  EXPECT_EQ(reason_of([&] { parse(text); }), "program.syntax");
}

TEST(Verify, AcceptsAWellFormedProgram) {
  EXPECT_EQ(verdict("3 = Flatten", "3 = Flatten"), "");
}

TEST(Verify, RefusesWhatCouldNotRun) {
  EXPECT_EQ(verdict("3 = Flatten(0)", "9 = Flatten(0)"), "program.invalid");  // slot out of range
  EXPECT_EQ(verdict("3 = Flatten(0)", "0 = Flatten(0)"), "program.invalid");  // written twice
  EXPECT_EQ(verdict("3 = Flatten(0)", "3 = Flatten(4)"), "program.invalid");  // read before written
  EXPECT_EQ(verdict("3 = Flatten(0)", "3 = Flaten(0)"), "program.invalid");   // no such operator
  EXPECT_EQ(verdict(" after(0)", ""), "program.invalid");                     // dependency missing
  EXPECT_EQ(verdict(" after(0)", " after(0, 1)"), "program.invalid");         // depends on itself
  EXPECT_EQ(verdict("const 1 0", "const 1 7"), "program.invalid");            // no such constant
  EXPECT_EQ(verdict("const 1 0", "const 1 2"), "program.invalid");            // constant of another type
  EXPECT_EQ(verdict("captures 2", "captures 1"), "program.invalid");          // inputs do not add up
  EXPECT_EQ(verdict("captures 2", "captures 4000000000"), "program.invalid");
  EXPECT_EQ(verdict("block then_branch", "block body"), "program.invalid");           // blocks of another kind
  EXPECT_EQ(verdict("    outputs(0)", "    outputs()"), "program.invalid");           // block without its output
  EXPECT_EQ(verdict("output \"y\"\n", ""), "program.invalid");                        // unnamed output
  EXPECT_EQ(verdict("output \"y\"", "default 1 0 output \"y\""), "program.invalid");  // default for a non-input
}

constexpr std::string_view kRegion = R"(program 1
constant 0 int64[]{0}
constant 1 int64[]{1}
output "y"
main {
  slot 0 "x" float32[2,3]
  slot 1 "first" int64[]
  slot 2 "second" int64[]
  slot 3 "y" float32[6]
  inputs(0)
  const 1 0
  const 2 1
  3 = ForEach(1, 2, 0) with {axes=[0], count=2} name "rows" captures 1 block body {
    slot 0 "k" int64[]
    slot 1 "x" float32[2,3]
    slot 2 "row" float32[3]
    inputs(0, 1)
    2 = Gather(1, 0) with {axis=0}
    outputs(2)
  }
  outputs(3)
}
)";

TEST(ProgramText, RegionsRoundTrip) {
  const Program program = parse(kRegion);
  verify(program);
  EXPECT_EQ(print(parse(print(program))), print(program));
}

TEST(Verify, RefusesARegionThatCouldNotRun) {
  const auto region_verdict = [](std::string_view from, std::string_view to) {
    std::string text(kRegion);
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return reason_of([&] { verify(parse(text.replace(at, from.size(), to))); });
  };
  EXPECT_EQ(region_verdict("count=2", "count=2"), "");
  for (const char* count : {"count=0", "count=-1", "count=3", "count=1", "count=9223372036854775807"}) {
    EXPECT_EQ(region_verdict("count=2", count), "program.invalid") << count;
  }
  EXPECT_EQ(region_verdict(", count=2", ""), "op.attribute");
  EXPECT_EQ(region_verdict("count=2", "count=\"2\""), "op.attribute");
  EXPECT_EQ(region_verdict("axes=[0]", "axes=[0, 0]"), "program.invalid");  // an axis for no output
  EXPECT_EQ(region_verdict("axes=[0], ", ""), "program.invalid");
  EXPECT_EQ(region_verdict("axes=[0]", "axes=0"), "op.attribute");
  EXPECT_EQ(region_verdict("captures 1", "captures 3"), "program.invalid");  // no items
  EXPECT_EQ(region_verdict("captures 1", "captures 2"), "program.invalid");
  EXPECT_EQ(region_verdict("captures 1", "captures 4000000000"), "program.invalid");
  EXPECT_EQ(region_verdict("block body", "block then_branch"), "program.invalid");
  EXPECT_EQ(region_verdict("inputs(0, 1)", "inputs(0)"), "program.invalid");
  EXPECT_EQ(region_verdict("    outputs(2)", "    outputs(2, 2)"), "program.invalid");
}

constexpr std::string_view kScanned = R"(program 1
output "sum"
output "sums"
main {
  slot 0 "start" float32[2]
  slot 1 "x" float32[3,2]
  slot 2 "sum" float32[2]
  slot 3 "sums" float32[3,2]
  inputs(0, 1)
  2, 3 = Scan(0, 1, 0) with {num_scan_inputs=1} name "add" captures 1 block body {
    slot 0 "sum" float32[2]
    slot 1 "item" float32[2]
    slot 2 "start" float32[2]
    slot 3 "next" float32[2]
    inputs(0, 1, 2)
    3 = Add(0, 1)
    outputs(3, 3)
  }
  outputs(2, 3)
}
)";

TEST(Verify, RefusesAScanThatCouldNotRun) {
  const auto scan_verdict = [](std::string_view from, std::string_view to) {
    std::string text(kScanned);
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return reason_of([&] { verify(parse(text.replace(at, from.size(), to))); });
  };
  EXPECT_EQ(scan_verdict("captures 1", "captures 1"), "");
  for (const char* count : {"inputs=0", "inputs=-1", "inputs=3", "inputs=9223372036854775807"}) {
    EXPECT_EQ(scan_verdict("inputs=1", count), "program.invalid") << count;
  }
  EXPECT_EQ(scan_verdict("num_scan_inputs=1", "axis=1"), "op.attribute");
  EXPECT_EQ(scan_verdict("captures 1", "captures 4"), "program.invalid");
  EXPECT_EQ(scan_verdict("captures 1", "captures 4000000000"), "program.invalid");
  EXPECT_EQ(scan_verdict("  2, 3 = Scan", "  = Scan"), "program.invalid");  // fewer outputs than states
  EXPECT_EQ(scan_verdict("block body", "block then_branch"), "program.invalid");
  EXPECT_EQ(scan_verdict("inputs(0, 1, 2)", "inputs(0, 1)"), "program.invalid");
  EXPECT_EQ(scan_verdict("outputs(3, 3)", "outputs(3)"), "program.invalid");
}

TEST(ProgramText, TypesOfSequencesAndOptionalsRoundTrip) {
  constexpr std::string_view kText = R"(program 1
output "y"
main {
  slot 0 "x" optional(sequence(float32[?]))
  slot 1 "y" sequence(float32[?])
  slot 2 "z" optional(int64)
  inputs(0, 2)
  1 = OptionalGetElement(0)
  outputs(1)
}
)";
  verify(parse(kText));
  EXPECT_EQ(print(parse(kText)), kText);
}

class ProgramFile : public ::testing::Test {
 protected:
  ProgramFile() { std::filesystem::create_directories(folder_); }
  ~ProgramFile() override { std::filesystem::remove_all(folder_); }

  std::string reason_for(std::string_view content) {
    std::ofstream(path_, std::ios::binary) << content;
    return reason_of([&] { read_file(path_); });
  }

  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("lanner_program_test_" + std::to_string(::getpid()));
  std::filesystem::path path_ = folder_ / "a.lanner";
};

TEST_F(ProgramFile, HoldsRegions) {
  const Program program = parse(kRegion);
  write_file(path_, program, "{}");
  EXPECT_EQ(print(read_file(path_).program), print(program));
}

TEST_F(ProgramFile, RoundTripsWithMappedAlignedWeights) {
  const Program program = parse(kProgram);
  write_file(path_, program, "{\"nodes\": []}");
  const FileContent content = read_file(path_);
  EXPECT_EQ(print(content.program), print(program));
  EXPECT_EQ(content.report, "{\"nodes\": []}");
  const Tensor& big = content.program.constants[3];
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(big.raw_data()) % 64, 0u);
  const auto bytes = content.mapping->bytes();
  EXPECT_GE(big.raw_data(), static_cast<const void*>(bytes.data()));
  EXPECT_LT(big.raw_data(), static_cast<const void*>(bytes.data() + bytes.size()));
  EXPECT_TRUE(is_program_file(path_));
}

TEST_F(ProgramFile, EveryTruncationAndEveryFlippedBitIsAnError) {
  write_file(path_, parse(kProgram), "report");
  const std::string good = base::read_file(path_);
  for (std::size_t size = 0; size < good.size(); size += 7) {
    EXPECT_THAT(reason_for(good.substr(0, size)), ::testing::AnyOf("program.magic", "program.truncated")) << size;
  }
  EXPECT_EQ(reason_for(good + "x"), "program.truncated");
  std::mt19937 random(1);
  int refused = 0;
  for (int i = 0; i < 300; ++i) {
    std::string bad = good;
    bad[random() % bad.size()] ^= static_cast<char>(1 << random() % 8);
    const std::string reason = reason_for(bad);
    EXPECT_THAT(reason, ::testing::AnyOf("", "program.magic", "program.version", "program.corrupt"));
    refused += reason.empty() ? 0 : 1;
  }
  EXPECT_GE(refused, 270);  // a flip in the padding between sections harms nothing
  EXPECT_EQ(reason_for(good), "");
}

TEST_F(ProgramFile, RefusesBooleansThatAreNeitherTrueNorFalse) {
  Program program = parse(kProgram);
  Tensor flags = Tensor::allocate(ElementType::kUint8, {100});
  std::ranges::fill(flags.values<std::uint8_t>(), 1);
  program.constants.push_back(Tensor::wrap(ElementType::kBool, {100}, flags.raw_data(), flags.owner()));
  write_file(path_, program, "");
  EXPECT_EQ(reason_of([&] { read_file(path_); }), "");
  flags.data<std::uint8_t>()[99] = 2;
  write_file(path_, program, "");
  EXPECT_EQ(reason_of([&] { read_file(path_); }), "program.invalid");
}

TEST_F(ProgramFile, AnyDimensionNameSurvives) {
  Program program = parse(kProgram);
  program.main.slots[0].type = tensor::ValueType::unranked(ElementType::kFloat32);
  program.main.slots[0].type.ranked = true;
  program.main.slots[0].type.dims = {{-1, "2*(height + 1), \"odd\""}, {3, ""}};
  write_file(path_, program, "");
  EXPECT_EQ(read_file(path_).program.main.slots[0].type, program.main.slots[0].type);
}

TEST_F(ProgramFile, AFailedWriteLeavesNothingBehind) {
  EXPECT_EQ(reason_of([&] { write_file(folder_ / "missing" / "a.lanner", parse(kProgram), ""); }), "file.unwritable");
  std::filesystem::create_directories(path_);  // a folder of that name: the final rename fails
  EXPECT_EQ(reason_of([&] { write_file(path_, parse(kProgram), ""); }), "file.unwritable");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

TEST_F(ProgramFile, SaysWhatIsWrongWithAMissingFile) {
  EXPECT_EQ(reason_of([&] { read_file(folder_ / "none.lanner"); }), "file.not_found");
  EXPECT_EQ(reason_of([&] { read_file(folder_); }), "file.unreadable");
  EXPECT_EQ(reason_for(""), "program.magic");
}

TEST(Program, OperatorsAsUsersSeeThem) {
  EXPECT_EQ(joined_operators({"Conv", "Relu"}), "Conv+Relu");
  EXPECT_EQ(joined_operators({"Sigmoid", "NonMaxSuppression", "NonMaxSuppression"}), "Sigmoid+NonMaxSuppression×2");
  EXPECT_EQ(joined_operators({}), "");
}

}  // namespace
}  // namespace lanner::program
