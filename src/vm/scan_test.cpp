// ONNX's Scan in sessions, against loops written out here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include "base/error_testing.h"
#include "lanner/error.h"
#include "lanner/session.h"
#include "vm/session_testing.h"

namespace lanner {
namespace {

using ::testing::ElementsAre;

using base::testing::reason_of;

Tensor floats(std::initializer_list<float> values) {
  return Tensor::of<float>({static_cast<std::int64_t>(values.size())}, values);
}

// state' = state * factor + a + b, which is also scanned out, as is b.
std::string program(std::string_view attributes = "") {
  return fmt::format(R"(program 1
output "last"
output "states"
output "bs"
main {{
  slot 0 "start" float32[2]
  slot 1 "a" float32
  slot 2 "b" float32
  slot 3 "factor" float32[]
  slot 4 "last" float32[2]
  slot 5 "states" float32[?,2]
  slot 6 "bs" float32[?,2]
  inputs(0, 1, 2, 3)
  4, 5, 6 = Scan(0, 1, 2, 3) with {{num_scan_inputs=2{}}} name "walk" captures 1 block body {{
    slot 0 "state" float32[2]
    slot 1 "a" float32[2]
    slot 2 "b" float32[2]
    slot 3 "factor" float32[]
    slot 4 "product" float32[2]
    slot 5 "sum" float32[2]
    slot 6 "next" float32[2]
    slot 7 "copy" float32[2]
    inputs(0, 1, 2, 3)
    4 = Mul(0, 3)
    5 = Add(4, 1) after(0)
    6 = Add(5, 2) after(1)
    7 = Identity(2)
    outputs(6, 6, 7)
  }}
  outputs(4, 5, 6)
}}
)",
                     attributes);
}

NamedValues run(const std::string& text, const Tensor& a, const Tensor& b) {
  return Session(Program::from_text(text), {.threads = 1})
      .run({{"start", floats({1, 2})}, {"a", a}, {"b", b}, {"factor", Tensor::scalar(2.0f)}});
}

const Tensor kRows = Tensor::of<float>({3, 2}, {1, 2, 3, 4, 5, 6});
const Tensor kColumns = Tensor::of<float>({2, 3}, {10, 20, 30, 40, 50, 60});

TEST(Scan, CarriesStatesAndStacksResults) {
  const NamedValues outputs = run(program(), kRows, kRows);
  // 1 -> 2 + 2 = 4 -> 8 + 6 = 14 -> 28 + 10 = 38; 2 -> 8 -> 24 -> 60.
  EXPECT_THAT(elements<float>(outputs, "last"), ElementsAre(38, 60));
  EXPECT_EQ(outputs[1].second.tensor().shape(), Shape({3, 2}));
  EXPECT_THAT(elements<float>(outputs, "states"), ElementsAre(4, 8, 14, 24, 38, 60));
  EXPECT_THAT(elements<float>(outputs, "bs"), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(Scan, WalksAnyAxisInAnyDirection) {
  const NamedValues outputs =
      run(program(", scan_input_axes=[0, -1], scan_input_directions=[1, 0], scan_output_axes=[1, 0], "
                  "scan_output_directions=[0, 1]"),
          kRows, kColumns);
  // a: (5,6), (3,4), (1,2); b: (10,40), (20,50), (30,60).
  // 1 -> 2 + 15 = 17 -> 34 + 23 = 57 -> 114 + 31 = 145; 2 -> 4 + 46 = 50 -> 154 -> 370.
  EXPECT_THAT(elements<float>(outputs, "last"), ElementsAre(145, 370));
  EXPECT_EQ(outputs[1].second.tensor().shape(), Shape({2, 3}));
  EXPECT_THAT(elements<float>(outputs, "states"), ElementsAre(17, 57, 145, 50, 154, 370));
  EXPECT_EQ(outputs[2].second.tensor().shape(), Shape({3, 2}));
  EXPECT_THAT(elements<float>(outputs, "bs"), ElementsAre(30, 60, 20, 50, 10, 40));
}

TEST(Scan, OfNothingPassesItsStatesOn) {
  const Tensor none = Tensor::allocate(ElementType::kFloat32, {0, 2});
  const NamedValues outputs = run(program(), none, none);
  EXPECT_THAT(elements<float>(outputs, "last"), ElementsAre(1, 2));
  EXPECT_EQ(outputs[1].second.tensor().shape(), Shape({0, 2}));
  EXPECT_EQ(run(program(", scan_output_axes=[1, 0]"), none, none)[1].second.tensor().shape().rank(), 2);
}

TEST(Scan, RefusesWhatDoesNotFit) {
  const auto verdict = [](const std::string& attributes, const Tensor& a, const Tensor& b) {
    return reason_of([&] { run(program(attributes), a, b); });
  };
  EXPECT_EQ(verdict("", kRows, kColumns), "op.shape");  // 3 and 2 iterations
  EXPECT_EQ(verdict("", kRows, Tensor::scalar(1.0f)), "op.axis");
  EXPECT_EQ(verdict(", scan_input_axes=[0, 2]", kRows, kRows), "op.axis");
  EXPECT_EQ(verdict(", scan_output_axes=[0, 2]", kRows, kRows), "op.axis");
  EXPECT_EQ(verdict(", scan_output_axes=[0, -9223372036854775807]", kRows, kRows), "op.axis");
  EXPECT_EQ(verdict(", scan_input_axes=[0]", kRows, kRows), "op.attribute");
  EXPECT_EQ(verdict(", scan_output_directions=[0, 0, 0]", kRows, kRows), "op.attribute");
}

TEST(Scan, ThatFailsLeavesTheSessionUsable) {
  Session session(Program::from_text(program()), {.threads = 2});
  const auto inputs = [](const Tensor& a) {
    return NamedValues{{"start", floats({1, 2})}, {"a", a}, {"b", kRows}, {"factor", Tensor::scalar(2.0f)}};
  };
  try {
    session.run(inputs(Tensor::allocate(ElementType::kFloat32, {3, 5})));
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.context(), ElementsAre("in Add ''", "in iteration 0", "in Scan 'walk'"));
  }
  for (int i = 0; i < 12; ++i) EXPECT_THAT(elements<float>(session.run(inputs(kRows)), "last"), ElementsAre(38, 60));
}

// Each row is summed by a Scan inside; strings and captures go along.
TEST(Scan, Nests) {
  constexpr std::string_view kNested = R"(program 1
output "sums"
output "words"
main {
  slot 0 "x" float32[2,3]
  slot 1 "zero" float32[]
  slot 2 "names" string[2]
  slot 3 "sums" float32[2]
  slot 4 "words" string[2]
  inputs(0, 1, 2)
  3, 4 = Scan(0, 2, 1) with {num_scan_inputs=2} captures 1 block body {
    slot 0 "row" float32[3]
    slot 1 "name" string[]
    slot 2 "zero" float32[]
    slot 3 "sum" float32[]
    slot 4 "word" string[]
    inputs(0, 1, 2)
    3 = Scan(2, 0) with {num_scan_inputs=1} block body {
      slot 0 "sum" float32[]
      slot 1 "item" float32[]
      slot 2 "next" float32[]
      inputs(0, 1)
      2 = Add(0, 1)
      outputs(2)
    }
    4 = Identity(1)
    outputs(3, 4)
  }
  outputs(3, 4)
}
)";
  Session session(Program::from_text(kNested), {.threads = 1});
  const NamedValues outputs = session.run({{"x", Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, 6})},
                                           {"zero", Tensor::scalar(0.0f)},
                                           {"names", Tensor::of<std::string>({2}, {"a", "b"})}});
  EXPECT_THAT(elements<float>(outputs, "sums"), ElementsAre(6, 15));
  EXPECT_THAT(elements<std::string>(outputs, "words"), ElementsAre("a", "b"));
}

TEST(Scan, TakesNoMoreMemoryForMoreIterations) {
  const auto pool_bytes = [](std::int64_t count) {
    constexpr std::string_view kSum = R"(program 1
output "last"
main {
  slot 0 "start" float32[1000]
  slot 1 "a" float32[?,?]
  slot 2 "last" float32[1000]
  inputs(0, 1)
  2 = Scan(0, 1) with {num_scan_inputs=1, scan_input_axes=[1]} block body {
    slot 0 "state" float32[1000]
    slot 1 "item" float32[?]
    slot 2 "next" float32[1000]
    inputs(0, 1)
    2 = Add(0, 1)
    outputs(2)
  }
  outputs(2)
}
)";
    Tensor start = Tensor::allocate(ElementType::kFloat32, {1000});
    Tensor a = Tensor::allocate(ElementType::kFloat32, {1000, count});
    std::ranges::fill(start.values<float>(), 1.0f);
    std::ranges::fill(a.values<float>(), 1.0f);
    Session session(Program::from_text(kSum), {.threads = 1});
    const NamedValues inputs = {{"start", start}, {"a", a}};
    EXPECT_EQ(elements<float>(session.run(inputs), "last")[999], 1.0f + static_cast<float>(count));
    return session.profile(inputs, 1).memory().pool_bytes;
  };
  EXPECT_EQ(pool_bytes(8), pool_bytes(400));
}

}  // namespace
}  // namespace lanner
