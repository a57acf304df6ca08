// Sequences and optionals in sessions: as inputs and outputs, through blocks, and the memory of what they hold.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

std::vector<std::vector<float>> elements_of(const Value& value) {
  std::vector<std::vector<float>> result;
  for (const Tensor& tensor : value.sequence()) {
    const auto values = tensor.values<float>();
    result.emplace_back(values.begin(), values.end());
  }
  return result;
}

// Appends x * i to `given`, `trips` times; x * i lies in the body's arena.
constexpr std::string_view kAppend = R"(program 1
constant 0 bool[]{1}
output "all"
output "count"
main {
  slot 0 "trips" int64
  slot 1 "given" sequence(float32[?])
  slot 2 "x" float32[2]
  slot 3 "all" sequence(float32[?])
  slot 4 "count" int64[]
  inputs(0, 1, 2)
  3 = Loop(0, _, 1, 2) name "append" captures 1 block body {
    slot 0 "i" int64[]
    slot 1 "go" bool[]
    slot 2 "sequence" sequence(float32[?])
    slot 3 "x" float32[2]
    slot 4 "scale" float32[]
    slot 5 "item" float32[2]
    slot 6 "longer" sequence(float32[?])
    slot 7 "more" bool[]
    inputs(0, 1, 2, 3)
    const 7 0
    4 = Cast(0) with {to=1}
    5 = Mul(3, 4) after(0)
    6 = SequenceInsert(2, 5) after(1)
    outputs(7, 6)
  }
  4 = SequenceLength(3) after(0)
  outputs(3, 4)
}
)";

TEST(Sequences, AreCarriedThroughLoops) {
  Session session(Program::from_text(kAppend), {.threads = 1});
  for (int repeat = 0; repeat < 5; ++repeat) {  // sizes are learned meanwhile
    const NamedValues outputs = session.run(
        {{"trips", Tensor::scalar<std::int64_t>(3)}, {"given", Sequence{floats({7})}}, {"x", floats({1, -2})}});
    EXPECT_THAT(elements_of(outputs[0].second),
                ElementsAre(ElementsAre(7), ElementsAre(0, 0), ElementsAre(1, -2), ElementsAre(2, -4)));
    EXPECT_THAT(elements<std::int64_t>(outputs, "count"), ElementsAre(4));
  }
  const NamedValues none =
      session.run({{"trips", Tensor::scalar<std::int64_t>(0)}, {"given", Sequence()}, {"x", floats({1, -2})}});
  EXPECT_TRUE(none[0].second.sequence().empty());
}

TEST(Sequences, ThatLeaveOwnTheirTensors) {
  Session session(Program::from_text(kAppend), {.threads = 1});
  const Sequence given = {floats({7}), floats({8})};
  float elsewhere = 9;
  Sequence borrowed = given;
  borrowed.push_back(Tensor::wrap(ElementType::kFloat32, {1}, &elsewhere));
  const auto run = [&](std::int64_t trips) {
    return session.run({{"trips", Tensor::scalar(trips)}, {"given", borrowed}, {"x", floats({3, 3})}});
  };
  const NamedValues first = run(2);
  const NamedValues second = run(2);
  const Sequence& kept = first[0].second.sequence();
  ASSERT_EQ(kept.size(), 5u);
  for (std::size_t i = 0; i < kept.size(); ++i) {
    EXPECT_EQ(kept[i].owner().use_count(), 1);
    EXPECT_NE(kept[i].raw_data(), second[0].second.sequence()[i].raw_data());
    if (i < borrowed.size()) {
      EXPECT_NE(kept[i].raw_data(), borrowed[i].raw_data());
    }
  }
  elsewhere = 0;
  EXPECT_THAT(elements_of(first[0].second),
              ElementsAre(ElementsAre(7), ElementsAre(8), ElementsAre(9), ElementsAre(0, 0), ElementsAre(3, 3)));
}

TEST(Sequences, AreCheckedAsInputs) {
  Session session(Program::from_text(kAppend), {.threads = 1});
  const auto verdict = [&](const Value& given) {
    return reason_of([&] {
      session.run({{"trips", Tensor::scalar<std::int64_t>(1)}, {"given", given}, {"x", floats({1, 2})}});
    });
  };
  EXPECT_EQ(verdict(Sequence{floats({1})}), "");
  EXPECT_EQ(verdict(floats({1})), "input.type");
  EXPECT_EQ(verdict(Value()), "input.type");
  EXPECT_EQ(verdict(Sequence{Tensor()}), "input.type");
  EXPECT_EQ(verdict(Sequence{floats({1}), Tensor::scalar<float>(1)}), "input.rank");
  EXPECT_EQ(verdict(Sequence{Tensor::of<std::int64_t>({1}, {1})}), "input.type");
}

// The element of the optional, or x + x from another block's arena; and both as they came.
constexpr std::string_view kOptional = R"(program 1
output "y"
output "same"
output "some"
main {
  slot 0 "maybe" optional(float32[2])
  slot 1 "x" float32[2]
  slot 2 "given" bool[]
  slot 3 "y" float32[2]
  slot 4 "same" optional(float32[2])
  slot 5 "some" optional(float32[2])
  slot 6 "double" float32[2]
  inputs(0, 1)
  2 = OptionalHasElement(0)
  3 = If(2, 0, 1) name "choice" after(0) captures 2 block then_branch {
    slot 0 "maybe" optional(float32[2])
    slot 1 "x" float32[2]
    slot 2 "y" float32[2]
    inputs(0, 1)
    2 = OptionalGetElement(0)
    outputs(2)
  } block else_branch {
    slot 0 "maybe" optional(float32[2])
    slot 1 "x" float32[2]
    slot 2 "y" float32[2]
    inputs(0, 1)
    2 = Add(1, 1)
    outputs(2)
  }
  4 = Identity(0)
  6 = Add(1, 1)
  5 = Optional(6) after(3)
  outputs(3, 4, 5)
}
)";

TEST(Optionals, AreNoneOrTheirElement) {
  const Program program = Program::from_text(kOptional);
  EXPECT_EQ(program.inputs()[0].type, "optional(float32[2])");
  EXPECT_FALSE(program.inputs()[0].is_tensor);
  Session session(program, {.threads = 1});
  const NamedValues none = session.run({{"maybe", Value()}, {"x", floats({1, 2})}});
  EXPECT_THAT(elements<float>(none, "y"), ElementsAre(2, 4));
  EXPECT_TRUE(none[1].second.is_none());
  EXPECT_THAT(elements<float>(none, "some"), ElementsAre(2, 4));
  const NamedValues some = session.run({{"maybe", floats({5, 6})}, {"x", floats({1, 2})}});
  EXPECT_THAT(elements<float>(some, "y"), ElementsAre(5, 6));
  EXPECT_THAT(elements<float>(some, "same"), ElementsAre(5, 6));
  EXPECT_EQ(some[1].second.tensor().owner().use_count(), 1);
  EXPECT_EQ(reason_of([&] { session.run({{"maybe", Sequence()}, {"x", floats({1, 2})}}); }), "input.type");
  EXPECT_EQ(reason_of([&] { session.run({{"maybe", floats({1})}, {"x", floats({1, 2})}}); }), "input.shape");
}

// What a program claims about a value is not what it is.
TEST(Optionals, AndSequencesInOtherPlacesAreErrors) {
  constexpr std::string_view kWrong = R"(program 1
output "y"
main {
  slot 0 "x" sequence(float32[2])
  slot 1 "y" float32[2]
  inputs(0)
  1 = Relu(0)
  outputs(1)
}
)";
  const auto verdict = [&](std::string_view from, std::string_view to) {
    std::string text(kWrong);
    text.replace(text.find(from), from.size(), to);
    return reason_of([&] { Session(Program::from_text(text), {.threads = 1}).run({{"x", Sequence{floats({1, 2})}}}); });
  };
  EXPECT_EQ(verdict("Relu(0)", "Relu(0)"), "op.input");
  EXPECT_EQ(verdict("Relu(0)", "Shape(0)"), "op.input");
  EXPECT_EQ(verdict("Relu(0)", "Concat(0, 0) with {axis=0}"), "op.input");
  EXPECT_EQ(verdict("Relu(0)", "Reshape(0, 0)"), "op.input");
  EXPECT_EQ(verdict("Relu(0)", "Reshape()"), "op.input");
  EXPECT_EQ(verdict("1 = Relu(0)", "1 = Identity(0)"), "");
  EXPECT_EQ(verdict("Relu(0)", "ScatterND()"), "op.input");
}

}  // namespace
}  // namespace lanner
