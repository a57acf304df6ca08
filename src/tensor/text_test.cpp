#include "tensor/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/error_testing.h"

namespace lanner::tensor {
namespace {

using base::testing::reason_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Tensor read_back(const Tensor& tensor) {
  const std::string text = tensor_text(tensor);
  Scanner scanner(text);
  Tensor result = scanner.tensor();
  EXPECT_TRUE(scanner.at_end()) << text;
  return result;
}

void expect_same_bits(const Tensor& tensor) {
  const Tensor back = read_back(tensor);
  EXPECT_EQ(back.type_string(), tensor.type_string());
  EXPECT_EQ(std::memcmp(back.raw_data(), tensor.raw_data(), tensor.byte_count()), 0) << tensor_text(tensor);
}

template <typename T>
class Numbers : public ::testing::Test {};
using NumberTypes = ::testing::Types<float, double, std::int8_t, std::int16_t, std::int32_t, std::int64_t, std::uint8_t,
                                     std::uint16_t, std::uint32_t, std::uint64_t>;
TYPED_TEST_SUITE(Numbers, NumberTypes);

TYPED_TEST(Numbers, LimitsReadBackExactly) {
  using Limits = std::numeric_limits<TypeParam>;
  std::vector<TypeParam> values = {0, 1, 7, Limits::min(), Limits::max(), Limits::lowest()};
  if constexpr (!Limits::is_integer) {
    const auto third = TypeParam{1} / 3;
    for (const TypeParam value : {-TypeParam{0}, third, -third, Limits::denorm_min(), -Limits::denorm_min(),
                                  Limits::min() / 3, Limits::epsilon(), 1 + Limits::epsilon(), TypeParam{1e20},
                                  TypeParam{16777215}, Limits::infinity(), -Limits::infinity()}) {
      values.push_back(value);
    }
  }
  expect_same_bits(
      Tensor::of<TypeParam>({static_cast<std::int64_t>(values.size())}, std::span<const TypeParam>(values)));
  expect_same_bits(Tensor::scalar(Limits::lowest()));
  expect_same_bits(Tensor::allocate(element_type_of<TypeParam>(), {2, 0}));
}

template <typename T>
void expect_nan_kept() {
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const Tensor back = read_back(Tensor::of<T>({2}, {nan, -nan}));
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(std::isnan(back.values<T>()[static_cast<std::size_t>(i)]));
  EXPECT_NE(std::signbit(back.values<T>()[0]), std::signbit(back.values<T>()[1]));
}

TEST(TensorText, KeepsNan) {
  expect_nan_kept<float>();
  expect_nan_kept<double>();
}

TEST(TensorText, EveryElementTypeReadsBack) {
  for (int number = 1; element_bits(static_cast<ElementType>(number)) != 0; ++number) {
    const auto type = static_cast<ElementType>(number);
    if (type == ElementType::kString) continue;
    for (const std::int64_t count : {0, 1, 5, 1000}) {
      Tensor tensor = Tensor::allocate(type, {count});
      // Small bytes, so that each takes as few characters as it can; 0 and 1 are all that a bool may hold.
      auto* bytes = static_cast<std::uint8_t*>(tensor.raw_data());
      for (std::size_t i = 0; i < tensor.byte_count(); ++i) bytes[i] = i % 3 == 0 ? 1 : 0;
      expect_same_bits(tensor);
    }
  }
}

TEST(TensorText, StringsReadBackByteForByte) {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  const Tensor tensor =
      Tensor::of<std::string>({6}, {all, "", "\"", "\\x41", "a # no comment", "line\nbreak, [brackets] {braces}"});
  EXPECT_TRUE(same_attribute(read_back(tensor), tensor));
}

TEST(TensorText, ShortensWhenAsked) {
  const Tensor tensor = Tensor::of<std::int32_t>({3}, {1, 2, 3});
  EXPECT_EQ(tensor_text(tensor), "int32[3]{1, 2, 3}");
  EXPECT_EQ(tensor_text(tensor, 3), "int32[3]{1, 2, 3}");
  EXPECT_EQ(tensor_text(tensor, 2), "int32[3]{1, 2, ...}");
  EXPECT_EQ(tensor_text(tensor, 0), "int32[3]{...}");
  const std::string text = tensor_text(tensor, 2);
  EXPECT_EQ(reason_of([&] { Scanner(text).tensor(); }), "program.syntax");
}

TEST(TensorText, RefusesMalformedTensors) {
  for (const std::string_view text : {"",
                                      "float32[2]",
                                      "float32[2]{",
                                      "float32[2]{1}",
                                      "float32[2]{1, 2",
                                      "float32[2]{1, 2, 3}",
                                      "float32[2]{1 2}",
                                      "float32[2]{1, x}",
                                      "float32[2]{1, 1e999}",
                                      "float32[2]{1, 0x1}",
                                      "float32{1}",
                                      "float32[?]{1}",
                                      "undefined[1]{1}",
                                      "unknown{1}",
                                      "sequence(float32[1]){1}",
                                      "int8[1]{128}",
                                      "int8[1]{1.5}",
                                      "uint8[1]{-1}",
                                      "int64[1]{9223372036854775808}",
                                      "bool[1]{2}",
                                      "bool[1]{true}",
                                      "string[1]{a}",
                                      "string[1]{\"a}",
                                      "float16[1]{0.1}",
                                      "float8_e4m3fn[1]{449}",
                                      "int4[1]{8}",
                                      "uint2[1]{-1}",
                                      "float16[1]{1, 256}",
                                      "float32[1000000000000]{1}"}) {
    EXPECT_EQ(reason_of([&] { Scanner(text).tensor(); }), "program.syntax") << text;
  }
  EXPECT_EQ(reason_of([] { Scanner("float32[9000000000000000000,9]{1}").tensor(); }), "op.size");
}

TEST(AttributesText, EveryKindReadsBack) {
  using Floats = std::vector<float>;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  Attributes attributes;
  attributes.set("int", std::int64_t{INT64_MIN});
  attributes.set("float", 1.0f);
  attributes.set("float_big", 1e20f);
  attributes.set("float_tiny", std::numeric_limits<float>::denorm_min());
  attributes.set("float_inf", kInfinity);
  attributes.set("float_minus_inf", -kInfinity);
  attributes.set("float_nan", std::numeric_limits<float>::quiet_NaN());
  attributes.set("float_minus_nan", -std::numeric_limits<float>::quiet_NaN());
  attributes.set("float_minus_zero", -0.0f);
  attributes.set("string", std::string("a \"quoted\"\n\\ text"));
  attributes.set("string_empty", std::string());
  attributes.set("tensor", Tensor::of<float>({2}, {0.5f, -kInfinity}));
  attributes.set("ints", std::vector<std::int64_t>{0, -1, INT64_MAX});
  attributes.set("ints_none", std::vector<std::int64_t>{});
  attributes.set("floats", Floats{1, -kInfinity, 0.1f});
  attributes.set("floats_none", Floats{});
  attributes.set("strings", std::vector<std::string>{"", "f:"});
  attributes.set("strings_none", std::vector<std::string>{});
  const std::string text = attributes_text(attributes);
  Scanner scanner(text);
  EXPECT_EQ(scanner.attributes(), attributes) << text;
  EXPECT_TRUE(scanner.at_end());
  EXPECT_EQ(attributes_text({}), "{}");
}

TEST(AttributesText, RefusesMalformedAttributes) {
  for (const std::string_view text :
       {"",          "{",     "{a}",          "{a=}",       "{a=1",      "{a=1 b=2}",  "{a=1,}",
        "{,}",       "{1=2}", "{-=2}",        "{a=1x}",     "{a=1.5}",   "{a=1e999f}", "{a=f}",
        "{a=[1,]}",  "{a=[1", "{a=[f: 1 2]}", "{a=[s: 1]}", "{a=[1.5]}", "{a=\"x}",    "{a=99999999999999999999}",
        "{a=1, a=2}"}) {
    EXPECT_EQ(reason_of([&] { Scanner(text).attributes(); }), "program.syntax") << text;
  }
}

TEST(Quoted, EscapesWhatWouldEndOrBreakALine) {
  EXPECT_EQ(quoted("a\"b\\c\n\x7f"), "\"a\\\"b\\\\c\\x0a\\x7f\"");
  EXPECT_EQ(quoted("höhe"), "\"höhe\"");
}

TEST(Scanner, SkipsSpaceAndComments) {
  Scanner scanner("  # first\n\t1 # second 2\r\n3 # the end");
  EXPECT_EQ(scanner.integer(), 1);
  EXPECT_EQ(scanner.integer(), 3);
  EXPECT_TRUE(scanner.at_end());
}

TEST(Scanner, TakesWholeWords) {
  Scanner scanner("input inputs(");
  EXPECT_FALSE(scanner.take("in"));
  EXPECT_TRUE(scanner.take("input"));
  EXPECT_FALSE(scanner.take("input"));
  EXPECT_TRUE(scanner.take("inputs"));
  EXPECT_TRUE(scanner.take("("));
  EXPECT_FALSE(scanner.take("("));
}

TEST(Scanner, ReadsIdentifiers) {
  Scanner scanner("abc _1 a.b-c=");
  EXPECT_EQ(scanner.identifier(), "abc");
  EXPECT_EQ(scanner.identifier(), "_1");
  EXPECT_EQ(scanner.identifier(), "a.b-c");
  for (const std::string_view text : {"", "=", "1a", "-a", ".a", "\"a\""}) {
    EXPECT_EQ(reason_of([&] { Scanner(text).identifier(); }), "program.syntax") << text;
  }
}

TEST(Scanner, RefusesStringsThatDoNotEnd) {
  for (const std::string_view text : {"\"", "\"a", "\"a\\", "\"a\\\"", "\"a\\x", "\"a\\x4", "\"a\\x4\"", "\"a\\x41",
                                      "\"a\\xg0\"", "a\"", "\"\\x-1\""}) {
    EXPECT_EQ(reason_of([&] { Scanner(text).string_literal(); }), "program.syntax") << text;
  }
  EXPECT_EQ(Scanner("\"\\x41\\x0a\"").string_literal(), "A\n");
}

TEST(Scanner, CountsStayInTheirLimit) {
  EXPECT_EQ(Scanner("4294967295").count(), 4294967295u);
  EXPECT_EQ(Scanner("7").count(7), 7u);
  for (const std::string_view text : {"8", "-1", "1.0", "", "x", "99999999999999999999"}) {
    EXPECT_EQ(reason_of([&] { Scanner(text).count(7); }), "program.syntax") << text;
  }
}

TEST(Scanner, ErrorsSayWhereAndWhatWasFound) {
  Scanner scanner("1\n  2 here");
  scanner.integer();
  scanner.integer();
  try {
    scanner.expect("there");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "line 2, column 5: needed \"there\", but found \"here\"");
  }
  try {
    Scanner("").integer();
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("but found the end"));
  }
}

TEST(Scanner, TypesEndWhereTheyEnd) {
  Scanner scanner("float32[1,\"a b\"] sequence(int64[n])\n{unknown, bool=");
  EXPECT_EQ(scanner.value_type().dims[1].symbol, "a b");
  EXPECT_EQ(scanner.value_type().to_string(), "sequence(int64[n])");
  scanner.expect("{");
  EXPECT_EQ(scanner.value_type(), ValueType{});
  scanner.expect(",");
  EXPECT_EQ(scanner.value_type().to_string(), "bool");
  scanner.expect("=");
}

}  // namespace
}  // namespace lanner::tensor
