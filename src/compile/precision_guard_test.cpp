#include "compile/precision_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "compile/precision_testing.h"
#include "compile/trial.h"

namespace lanner::compiler {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using testing::two_dense_parts;

Tensor vector(std::initializer_list<float> values) {
  return Tensor::of<float>({static_cast<std::int64_t>(values.size())}, values);
}

TEST(RelativeError, IsTheDifferenceOverTheSize) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float nan = std::nanf("");
  EXPECT_EQ(relative_error(vector({}), vector({})), 0);
  EXPECT_EQ(relative_error(vector({1, 2}), vector({1, 2})), 0);
  EXPECT_FLOAT_EQ(static_cast<float>(relative_error(vector({3, 4}), vector({3, 4.5F}))), 0.1F);
  EXPECT_EQ(relative_error(vector({0}), vector({1})), kInfinity);
  EXPECT_EQ(relative_error(vector({1}), vector({1, 1})), kInfinity);
  EXPECT_EQ(relative_error(vector({nan, kInfinity, 1}), vector({nan, kInfinity, 1})), 0);
  EXPECT_EQ(relative_error(vector({1, 1}), vector({nan, 1})), kInfinity);
  EXPECT_EQ(relative_error(vector({kInfinity, 1}), vector({1, 1})), kInfinity);
  const Tensor whole = Tensor::of<std::int64_t>({1}, {7});
  EXPECT_EQ(relative_error(whole, Tensor::of<std::int64_t>({1}, {8})), 0);
}

class Guarded {
 public:
  Guarded(double tolerance, int rows = 5) : program_(two_dense_parts(rows)) {
    NamedValues sample = generated_sample(program_);
    report = guard_precision(program_, {{sample}, tolerance, {}});
    for (program::Instruction& instruction : program_.main.instructions) {
      for (const program::Instruction* at : bf16_candidates(instruction)) allowed.push_back(allows_bf16(*at));
    }
  }

  PrecisionReport report;
  std::vector<bool> allowed;

 private:
  program::Program program_;
};

TEST(PrecisionGuard, KeepsWhatIsWithinTheTolerance) {
  if (!cpu_computes_bf16()) GTEST_SKIP() << "this CPU does not compute with bfloat16";
  const Guarded loose(0.1);
  EXPECT_EQ(loose.allowed, std::vector<bool>({true, true}));
  ASSERT_EQ(loose.report.judged.size(), 2U);
  for (const JudgedValue& judged : loose.report.judged) {
    EXPECT_GT(judged.error, 1e-4);
    EXPECT_LT(judged.error, 1e-2);
  }
  EXPECT_TRUE(loose.report.warnings.empty());
}

TEST(PrecisionGuard, WithdrawsWhatIsNot) {
  if (!cpu_computes_bf16()) GTEST_SKIP() << "this CPU does not compute with bfloat16";
  const Guarded tight(0);
  EXPECT_EQ(tight.allowed, std::vector<bool>({false, false}));
  for (const JudgedValue& judged : tight.report.judged) EXPECT_EQ(judged.error, 0) << judged.value;
  for (const PrecisionDecision& decision : tight.report.decisions) {
    EXPECT_THAT(decision.reason, StartsWith("by itself it makes an error of 0.00"));
  }
  // Between the errors of the two.
  const Guarded loose(0.1);
  const double first = loose.report.judged[0].error;
  const double second = loose.report.judged[1].error;
  EXPECT_EQ(Guarded((first + second) / 2).allowed, std::vector<bool>({first < second, second < first}));
}

TEST(PrecisionGuard, NothingIsAllowedWithoutEvidence) {
  if (!cpu_computes_bf16()) GTEST_SKIP() << "this CPU does not compute with bfloat16";
  const Guarded none_picked(0.1, 0);
  EXPECT_EQ(none_picked.allowed, std::vector<bool>({true, false}));
  EXPECT_EQ(none_picked.report.decisions[1].reason, "no sample reaches it");
}

TEST(PrecisionGuard, SaysWhatItIsJudgedOn) {
  program::Program program = two_dense_parts(5);
  const PrecisionReport report = guard_precision(program, {{}, 0.1, {}});
  ASSERT_EQ(report.warnings.size(), 1U);
  EXPECT_THAT(report.warnings[0], HasSubstr(cpu_computes_bf16() ? "generated inputs" : "all stays float32"));
  EXPECT_EQ(report.decisions.size(), 2U);
}

}  // namespace
}  // namespace lanner::compiler
