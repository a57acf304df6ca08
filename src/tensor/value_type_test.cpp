#include "tensor/value_type.h"

#include <gtest/gtest.h>

#include <string>

namespace lanner::tensor {
namespace {

ValueType type(std::string_view text) {
  const std::optional<ValueType> parsed = ValueType::parse(text);
  EXPECT_TRUE(parsed.has_value()) << text;
  return parsed.value_or(ValueType{});
}

TEST(ValueType, ReadsEveryForm) {
  EXPECT_EQ(type("unknown"), ValueType{});
  EXPECT_EQ(type("float32"), ValueType::unranked(ElementType::kFloat32));
  EXPECT_EQ(type("float32[]"), ValueType::tensor(ElementType::kFloat32, {}));
  EXPECT_EQ(type("int64[0,9223372036854775807]"), ValueType::tensor(ElementType::kInt64, {0, INT64_MAX}));
  const ValueType open = type("bool[batch,?,3]");
  EXPECT_EQ(open.dims, (std::vector<Dim>{{-1, "batch"}, {-1, ""}, {3, ""}}));
  EXPECT_EQ(type("sequence(float32[?])").kind, ValueType::Kind::kSequence);
  EXPECT_EQ(type("optional(undefined)").kind, ValueType::Kind::kOptional);
  EXPECT_EQ(type("optional(sequence(int64[3]))").kind, ValueType::Kind::kOptionalSequence);
}

TEST(ValueType, PrintsAsItReads) {
  for (const std::string text : {"unknown", "undefined", "float32", "float32[]", "float8_e4m3fnuz[1,2]", "string[?]",
                                 "int4[height,width_2]", "sequence(float32)", "sequence(float32[1,n])",
                                 "optional(int64[])", "optional(sequence(float32[?]))", "float32[a.b,_c-d]"}) {
    EXPECT_EQ(type(text).to_string(), text);
  }
}

// A model may name a dimension anything; exporters write formulas.
TEST(ValueType, AnyDimensionNameReadsBack) {
  for (const std::string symbol :
       {"batch", "2*height + 1", "floor(h/2)", "a,b", "]",  "[",        ")",    "?",     "3",       "-1", "x y",
        "\"",    "\\",           "#",          "",    "\n", "\xff\xfe", "höhe", "s0//2", "unknown", "{",  "="}) {
    for (const ValueType::Kind kind : {ValueType::Kind::kTensor, ValueType::Kind::kSequence, ValueType::Kind::kOptional,
                                       ValueType::Kind::kOptionalSequence}) {
      ValueType original = ValueType::unranked(ElementType::kFloat32);
      original.kind = kind;
      original.ranked = true;
      original.dims = {{-1, symbol}, {3, ""}, {-1, symbol}};
      const std::string text = original.to_string();
      const std::optional<ValueType> back = ValueType::parse(text);
      ASSERT_TRUE(back.has_value()) << text;
      EXPECT_EQ(*back, original) << text;
    }
  }
}

TEST(ValueType, RefusesWhatIsNoType) {
  for (const std::string_view text : {"",
                                      "float",
                                      "float33",
                                      "float32[",
                                      "float32]",
                                      "float32[1",
                                      "float32[1,",
                                      "float32[1,]",
                                      "float32[,1]",
                                      "float32[1,,2]",
                                      "float32[-1]",
                                      "float32[9223372036854775808]",
                                      "float32[1x]",
                                      "float32[1][2]",
                                      "float32[1]x",
                                      "float32[1]]",
                                      "float32(1)",
                                      "[1]",
                                      "float32[\"a]",
                                      "float32[\"a\"b]",
                                      "unknown[1]",
                                      "unknown1",
                                      "sequence",
                                      "sequence()",
                                      "sequence(float32",
                                      "sequence(float32))",
                                      "sequence(unknown)",
                                      "sequence(sequence(float32))",
                                      "sequence(optional(float32))",
                                      "optional(optional(float32))",
                                      "optional(sequence(float32)",
                                      "float32[1 2]"}) {
    EXPECT_FALSE(ValueType::parse(text).has_value()) << text;
  }
}

TEST(ValueType, RefusesDeepNestingWithoutDescendingIntoIt) {
  std::string text;
  for (int i = 0; i < 1'000'000; ++i) text += "sequence(";
  text += "float32" + std::string(1'000'000, ')');
  EXPECT_FALSE(ValueType::parse(text).has_value());
}

TEST(ValueType, HasAStaticShapeWhereEveryDimensionIsKnown) {
  EXPECT_EQ(type("float32[2,0]").static_shape(), Shape({2, 0}));
  EXPECT_EQ(type("float32[]").static_shape(), Shape());
  for (const std::string_view text :
       {"unknown", "float32", "float32[?]", "float32[n,1]", "sequence(float32[1])", "float32[1,1,1,1,1,1,1,1,1]",
        "float32[4611686018427387904,4]", "float32[0,4611686018427387904,4]"}) {
    EXPECT_FALSE(type(text).static_shape().has_value()) << text;
  }
}

TEST(ValueType, CompatibleMeansThatAValueCouldHaveBoth) {
  const auto compatible = [](std::string_view a, std::string_view b) {
    const bool forward = type(a).compatible_with(type(b));
    EXPECT_EQ(forward, type(b).compatible_with(type(a))) << a << " and " << b;
    return forward;
  };
  EXPECT_TRUE(compatible("unknown", "sequence(float32)"));
  EXPECT_TRUE(compatible("float32", "float32[1,2]"));
  EXPECT_TRUE(compatible("undefined[2]", "int64[2]"));
  EXPECT_TRUE(compatible("float32[1,?]", "float32[n,2]"));
  EXPECT_TRUE(compatible("float32[n]", "float32[m]"));
  EXPECT_FALSE(compatible("float32[1]", "float64[1]"));
  EXPECT_FALSE(compatible("float32[1]", "float32[2]"));
  EXPECT_FALSE(compatible("float32[1]", "float32[1,1]"));
  EXPECT_FALSE(compatible("float32[1]", "sequence(float32[1])"));
  EXPECT_FALSE(compatible("sequence(float32)", "optional(float32)"));
  EXPECT_FALSE(compatible("sequence(float32)", "optional(sequence(float32))"));
}

TEST(ValueType, RefineTakesOverOnlyWhatIsUnknown) {
  const auto refined = [](std::string_view text, std::string_view other) {
    ValueType result = type(text);
    result.refine(type(other));
    return result.to_string();
  };
  EXPECT_EQ(refined("unknown", "float32[n]"), "float32[n]");
  EXPECT_EQ(refined("float32[n]", "unknown"), "float32[n]");
  EXPECT_EQ(refined("undefined", "int64[2]"), "int64[2]");
  EXPECT_EQ(refined("float32", "float32[1,n]"), "float32[1,n]");
  EXPECT_EQ(refined("float32[1,n]", "float32"), "float32[1,n]");
  EXPECT_EQ(refined("float32[n,?,?,4]", "float32[2,m,?,5]"), "float32[2,m,?,4]");
  EXPECT_EQ(refined("float32[n]", "float32[m]"), "float32[n]");
  EXPECT_EQ(refined("float32[n]", "float32[1,2]"), "float32[n]");
  EXPECT_EQ(refined("float32[n]", "sequence(float32[2])"), "float32[n]");
}

TEST(ValueType, AcceptsTensorsOfTheType) {
  const Tensor tensor = Tensor::of<float>({1, 2}, {1, 2});
  for (const std::string_view text : {"unknown", "float32", "float32[1,2]", "float32[n,?]", "undefined[1,2]"}) {
    EXPECT_TRUE(type(text).accepts(tensor)) << text;
  }
  for (const std::string_view text : {"float64[1,2]", "float32[2]", "float32[1,3]", "sequence(float32[1,2])"}) {
    EXPECT_FALSE(type(text).accepts(tensor)) << text;
  }
}

}  // namespace
}  // namespace lanner::tensor
