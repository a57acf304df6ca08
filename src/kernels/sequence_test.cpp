#include <fmt/ranges.h>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::ElementsAre;

// Runs an operator on any values; `nullptr` is an absent input.
Value run_values(std::string_view op, std::vector<const Value*> inputs, const tensor::Attributes& attributes = {}) {
  class Heap final : public OutputMemory {
    Tensor allocate(int, ElementType type, const Shape& shape) override { return Tensor::allocate(type, shape); }
  } memory;
  Value result;
  std::vector<Value*> outputs{&result};
  KernelContext context(inputs, outputs, memory, heap_allocator(), 1);
  find_operator(op)->make({attributes, static_cast<int>(inputs.size()), 1})->run(context);
  return result;
}

// The first elements of a sequence's tensors.
std::vector<I> firsts(const Value& value) {
  std::vector<I> result;
  for (const Tensor& tensor : value.sequence()) result.push_back(tensor.data<I>()[0]);
  return result;
}

const Value kOne = vec<I>({1, 10});
const Value kTwo = vec<I>({2, 20});
const Value kThree = vec<I>({3});

Value pair() {
  return run_values("SequenceConstruct", {&kOne, &kTwo});
}

TEST(Sequences, AreMadeGrownAndShortened) {
  EXPECT_THAT(firsts(pair()), ElementsAre(1, 2));
  EXPECT_TRUE(run_values("SequenceEmpty", {}).sequence().empty());
  const Value sequence = pair();
  const auto at = [](I index) { return Value(Tensor::scalar<I>(index)); };
  const auto inserted = [&](I index) {
    const Value place = at(index);
    return firsts(run_values("SequenceInsert", {&sequence, &kThree, &place}));
  };
  EXPECT_THAT(firsts(run_values("SequenceInsert", {&sequence, &kThree})), ElementsAre(1, 2, 3));
  EXPECT_THAT(inserted(0), ElementsAre(3, 1, 2));
  EXPECT_THAT(inserted(2), ElementsAre(1, 2, 3));
  EXPECT_THAT(inserted(-1), ElementsAre(1, 3, 2));
  EXPECT_THAT(inserted(-2), ElementsAre(3, 1, 2));
  for (const I index : {I{3}, I{-3}, INT64_MIN, INT64_MAX}) EXPECT_EQ(reason_of([&] { inserted(index); }), "op.index");
  const auto erased = [&](I index) {
    const Value place = at(index);
    return firsts(run_values("SequenceErase", {&sequence, &place}));
  };
  EXPECT_THAT(firsts(run_values("SequenceErase", {&sequence})), ElementsAre(1));
  EXPECT_THAT(erased(0), ElementsAre(2));
  EXPECT_THAT(erased(-2), ElementsAre(2));
  EXPECT_EQ(reason_of([&] { erased(2); }), "op.index");
}

TEST(Sequences, AreReadByPosition) {
  const Value sequence = pair();
  const Value last = Tensor::scalar<std::int32_t>(-1);
  EXPECT_THAT(elements<I>(run_values("SequenceAt", {&sequence, &last}).tensor()), ElementsAre(2, 20));
  EXPECT_THAT(elements<I>(run_values("SequenceLength", {&sequence}).tensor()), ElementsAre(2));
  const Value two = Tensor::scalar<I>(2);
  EXPECT_EQ(reason_of([&] { run_values("SequenceAt", {&sequence, &two}); }), "op.index");
  const Value empty = Sequence();
  EXPECT_EQ(reason_of([&] { run_values("SequenceAt", {&empty, &two}); }), "op.index");
  EXPECT_EQ(reason_of([&] { run_values("SequenceErase", {&empty}); }), "op.index");
  EXPECT_EQ(reason_of([&] { run_values("SequenceLength", {&kOne}); }), "op.input");
}

TEST(Sequences, OwnTheirTensors) {
  I memory[] = {1, 2};
  const Value borrowed = Tensor::wrap(ElementType::kInt64, {2}, memory);
  const Value sequence = run_values("SequenceConstruct", {&borrowed});
  const Value grown = run_values("SequenceInsert", {&sequence, &borrowed});
  memory[0] = 7;
  EXPECT_THAT(firsts(grown), ElementsAre(1, 1));
}

TEST(Sequences, HoldOneElementType) {
  const Value other = vec<float>({1});
  EXPECT_EQ(reason_of([&] { run_values("SequenceConstruct", {&kOne, &other}); }), "op.type");
  const Value sequence = pair();
  EXPECT_EQ(reason_of([&] { run_values("SequenceInsert", {&sequence, &other}); }), "op.type");
}

TEST(ConcatFromSequence, JoinsAlongAnAxisOrANewOne) {
  const Value sequence = pair();
  const auto joined = [&](const Value& given, I axis, I is_new) {
    return run_values("ConcatFromSequence", {&given}, attributes({{"axis", axis}, {"new_axis", is_new}})).tensor();
  };
  EXPECT_THAT(elements<I>(joined(sequence, 0, 0)), ElementsAre(1, 10, 2, 20));
  EXPECT_THAT(elements<I>(joined(sequence, 0, 1)), ElementsAre(1, 10, 2, 20));
  EXPECT_EQ(joined(sequence, 0, 1).shape(), Shape({2, 2}));
  EXPECT_THAT(elements<I>(joined(sequence, -1, 1)), ElementsAre(1, 2, 10, 20));
  const Value uneven = run_values("SequenceConstruct", {&kOne, &kThree});
  EXPECT_THAT(elements<I>(joined(uneven, 0, 0)), ElementsAre(1, 10, 3));
  EXPECT_EQ(reason_of([&] { joined(uneven, 0, 1); }), "op.shape");
  EXPECT_EQ(reason_of([&] { joined(sequence, 1, 0); }), "op.axis");
  EXPECT_EQ(reason_of([&] { joined(Sequence(), 0, 0); }), "op.value");
}

TEST(SplitToSequence, CutsEvenlyByListAndByOne) {
  const Value data = Tensor::of<I>({2, 3}, {1, 2, 3, 4, 5, 6});
  const auto parts = [&](const Value* split, I axis, I keep_dims = 1) {
    std::vector<std::string> result;
    const Value sequence =
        run_values("SplitToSequence", {&data, split}, attributes({{"axis", axis}, {"keepdims", keep_dims}}));
    for (const Tensor& part : sequence.sequence()) {
      result.push_back(fmt::format("{}{}", part.shape().to_string(), fmt::join(elements<I>(part), " ")));
    }
    return result;
  };
  const Value two = Tensor::scalar<I>(2);
  const Value list = vec<I>({1, 0, 2});
  EXPECT_THAT(parts(&two, 1), ElementsAre("[2,2]1 2 4 5", "[2,1]3 6"));
  EXPECT_THAT(parts(&list, -1), ElementsAre("[2,1]1 4", "[2,0]", "[2,2]2 3 5 6"));
  EXPECT_THAT(parts(nullptr, 0), ElementsAre("[1,3]1 2 3", "[1,3]4 5 6"));
  EXPECT_THAT(parts(nullptr, 0, 0), ElementsAre("[3]1 2 3", "[3]4 5 6"));
  EXPECT_THAT(parts(&two, 0, 0), ElementsAre("[2,3]1 2 3 4 5 6"));  // with sizes keepdims counts for nothing
  const Value zero = Tensor::scalar<I>(0);
  EXPECT_EQ(reason_of([&] { parts(&zero, 0); }), "op.value");
  EXPECT_EQ(reason_of([&] { parts(&list, 0); }), "op.shape");
  // As many parts as a tensor without elements claims are not made.
  const Value empty = Tensor::allocate(ElementType::kInt64, {I{1} << 40, 0});
  EXPECT_EQ(reason_of([&] { run_values("SplitToSequence", {&empty}); }), "op.size");
  EXPECT_EQ(reason_of([&] { run_values("SplitToSequence", {&empty, &two}); }), "op.size");
  const Value none = Tensor::allocate(ElementType::kInt64, {0, 5});
  EXPECT_TRUE(run_values("SplitToSequence", {&none}).sequence().empty());
}

TEST(Optionals, MayBeEmpty) {
  const Value none;
  const auto has = [](std::vector<const Value*> inputs) {
    return *run_values("OptionalHasElement", std::move(inputs)).tensor().data<bool>();
  };
  EXPECT_TRUE(has({&kOne}));
  EXPECT_FALSE(has({&none}));
  EXPECT_FALSE(has({}));
  EXPECT_TRUE(run_values("Optional", {}).is_none());
  const Value full = run_values("Optional", {&kOne});
  EXPECT_THAT(elements<I>(run_values("OptionalGetElement", {&full}).tensor()), ElementsAre(1, 10));
  EXPECT_EQ(reason_of([&] { run_values("OptionalGetElement", {&none}); }), "op.value");
}

}  // namespace
}  // namespace lanner::kernels::testing
