#include "lanner/error.h"

#include <gtest/gtest.h>

#include <utility>

#include "base/fail.h"

namespace lanner::base {
namespace {

TEST(Error, ShowsMessageContextAndReason) {
  try {
    with_context([] { return "while importing 'a.onnx'"; },
                 [] {
                   with_context([] { return "in Relu 'r'"; },
                                [] { invalid("op.rank", "must have rank {}, but has {}", 3, 2); });
                 });
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "must have rank 3, but has 2\n  in Relu 'r'\n  while importing 'a.onnx'\n  [op.rank]");
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_EQ(error.message(), "must have rank 3, but has 2");
    EXPECT_EQ(error.context().size(), 2u);
  }
}

TEST(Error, ACopyKeepsItsOwnText) {
  Error first(ErrorCode::kNotFound, "file.not_found", "gone");
  Error copy = first;
  first.add_context("later");
  EXPECT_STREQ(copy.what(), "gone\n  [file.not_found]");
  EXPECT_EQ(copy.code(), ErrorCode::kNotFound);
}

TEST(WithContext, ReturnsWhatTheBodyReturnsAndMakesNoLine) {
  int lines = 0;
  const auto line = [&] {
    ++lines;
    return "unused";
  };
  int value = 1;
  int& same = with_context(line, [&]() -> int& { return value; });
  EXPECT_EQ(&same, &value);
  EXPECT_EQ(lines, 0);
}

TEST(WithContext, LetsOtherExceptionsPass) {
  EXPECT_THROW(with_context([] { return "unused"; }, [] { throw 7; }), int);
}

}  // namespace
}  // namespace lanner::base
