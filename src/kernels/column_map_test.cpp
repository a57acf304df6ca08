#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/column_loops.h"
#include "kernels/column_program.h"
#include "kernels/head_testing.h"
#include "kernels/kernel_testing.h"
#include "tensor/text.h"

namespace lanner::kernels {
namespace {

using testing::attributes;
using testing::elements;
using testing::for_each_instruction_set;
using testing::Random;
using testing::reason_of;
using Strings = std::vector<std::string>;
using Floats = std::vector<float>;

tensor::Attributes program(Strings layouts, Strings steps, Strings results) {
  return attributes({{"layouts", std::move(layouts)}, {"steps", std::move(steps)}, {"results", std::move(results)}});
}

Tensor tensor_of(const Shape& shape, const Floats& values) {
  return Tensor::of<float>(shape, std::span<const float>(values));
}

Tensor run_map(const tensor::Attributes& attributes, std::vector<Tensor> inputs) {
  return testing::run("ColumnMap", std::move(inputs), attributes);
}

TEST(ColumnMap, DecodesBoxes) {
  // Centre and size to corners, in rows.
  const auto corners =
      program({"crc", "cr"}, {"Mul x0.2 0.5", "Sub x0.0 t0", "Add x0.0 t0", "AtMost t2 x1.0"}, {"r 2 = t1 t3"});
  const Tensor boxes = tensor_of({1, 3, 4}, {1, 0, 2, 0, 5, 0, 4, 0, 9, 0, 6, 0});
  const Tensor limits = tensor_of({1, 3}, {10, 6, 20});
  for_each_instruction_set(column_loops_of_cpu(), [&] {
    const Tensor result = run_map(corners, {boxes, limits});
    EXPECT_EQ(result.shape(), (Shape{3, 2}));
    EXPECT_EQ(elements<float>(result), (Floats{0, 2, 3, 6, 6, 12}));
  });
}

TEST(ColumnMap, PutsColumnsWhereTheResultHasThem) {
  const Tensor rows = tensor_of({2, 3}, {1, 2, 3, 4, 5, 6});
  const Strings none;
  // Columns before, behind and around the rows; columns of an input twice; numbers.
  const auto outer = run_map(program({"rc"}, none, {"3 r = x0.0 x0.1 x0.2"}), {rows});
  EXPECT_EQ(outer.shape(), (Shape{3, 2}));
  EXPECT_EQ(elements<float>(outer), (Floats{1, 4, 2, 5, 3, 6}));
  const auto both = run_map(program({"rc"}, none, {"2 r 2 = x0.0 x0.2 x0.0 7"}), {rows});
  EXPECT_EQ(both.shape(), (Shape{2, 2, 2}));
  EXPECT_EQ(elements<float>(both), (Floats{1, 3, 4, 6, 1, 7, 4, 7}));
  const auto cut = run_map(program({"rc"}, none, {"1r r 1 = x0.1"}), {rows});
  EXPECT_EQ(cut.shape(), (Shape{1, 2, 1}));
  EXPECT_EQ(elements<float>(cut), (Floats{2, 5}));
  const auto square = run_map(program({"crrc"}, none, {"2r 3r = x0.0"}), {rows.reshaped({1, 2, 3, 1})});
  EXPECT_EQ(square.shape(), (Shape{2, 3}));
  EXPECT_EQ(elements<float>(square), (Floats{1, 2, 3, 4, 5, 6}));
}

TEST(ColumnMap, AnInputWithoutRowsIsTheSameForAll) {
  const auto scaled = program({"rc", "c"}, {"Mul x0.0 x1.1", "Sub x1.0 x0.1"}, {"r 2 = t0 t1"});
  const Tensor result = run_map(scaled, {tensor_of({2, 2}, {1, 2, 3, 4}), tensor_of({2}, {10, 100})});
  EXPECT_EQ(elements<float>(result), (Floats{100, 8, 300, 6}));
}

TEST(ColumnMap, HasSeveralOutputsAndMayHaveNoRows) {
  const auto two = program({"r"}, {"Neg x0.0"}, {"r = t0", "r 2 = t0 x0.0"});
  for (const std::int64_t rows : {0, 5}) {
    const std::vector<Tensor> inputs{tensor_of({rows}, Floats(static_cast<std::size_t>(rows), 3))};
    const auto outputs = run_operator("ColumnMap", two, inputs, 2);
    EXPECT_EQ(outputs[0].tensor().shape(), (Shape{rows}));
    EXPECT_EQ(outputs[1].tensor().shape(), (Shape{rows, 2}));
  }
}

TEST(ColumnMap, RejectsWhatIsNoProgram) {
  const Tensor rows = tensor_of({2, 3}, {1, 2, 3, 4, 5, 6});
  const auto reason = [&](const tensor::Attributes& attributes) {
    return reason_of([&] { run_map(attributes, {rows}); });
  };
  const Strings copy{"r = x0.0"};
  EXPECT_EQ(reason(program({"rc"}, {}, copy)), "");
  for (const char* layout : {"rcr", "rx", "cc", "rrrrrrrrr"}) {
    EXPECT_EQ(reason(program({layout}, {}, copy)), "op.attribute") << layout;
  }
  EXPECT_EQ(reason(program({}, {}, copy)), "op.attribute");
  for (const char* step :
       {"", "Frob x0.0", "Add x0.0", "Exp x0.0 x0.1", "Exp t0", "Exp x1.0", "Exp x0", "Exp x0.", "Exp x0.-1", "Exp x",
        "Exp t", "Exp 1", "Add 1 2", "Exp 1e", "Exp x0.99999999999", "Exp y0.0"}) {
    EXPECT_EQ(reason(program({"rc"}, {step}, copy)), "op.attribute") << step;
  }
  for (const char* result : {"", "r", "= x0.0", "2 = x0.0 x0.1", "r 2 = x0.0", "r = x0.0 x0.1", "r 2 r = x0.0 x0.1",
                             "r r = x0.0", "q = x0.0", "-1 r = x0.0", "r = t0", "r 65 = x0.0",
                             "4611686018427387904 r 4 = x0.0", "1 1 1 1 1 1 1 1 r = x0.0"}) {
    EXPECT_EQ(reason(program({"rc"}, {}, {result})), "op.attribute") << result;
  }
  EXPECT_EQ(reason(program({"rc"}, {}, {"r = x0.0", "r = x0.0"})), "op.attribute");
}

TEST(ColumnMap, RejectsInputsThatDoNotFit) {
  const Tensor rows = tensor_of({2, 3}, {1, 2, 3, 4, 5, 6});
  const auto reason = [&](Strings layouts, std::vector<Tensor> inputs, std::string result) {
    return reason_of([&] { run_map(program(std::move(layouts), {}, {std::move(result)}), std::move(inputs)); });
  };
  EXPECT_EQ(reason({"rc"}, {rows}, "r = x0.3"), "op.shape");
  EXPECT_EQ(reason({"crc"}, {rows}, "r = x0.0"), "op.rank");
  EXPECT_EQ(reason({"rc", "r"}, {rows, tensor_of({3}, {1, 2, 3})}, "r = x0.0"), "op.shape");
  EXPECT_EQ(reason({"rc", "c"}, {rows, tensor_of({0}, {})}, "r = x1.0"), "op.shape");
  EXPECT_EQ(reason({"rc"}, {Tensor::of<double>({1, 1}, {1.0})}, "r = x0.0"), "op.type");
  EXPECT_EQ(reason({"rc"}, {rows}, "3r = x0.0"), "op.shape");
  EXPECT_EQ(reason({"rc"}, {rows}, "r 3r = x0.0"), "op.shape");
  EXPECT_EQ(reason({"rc"}, {rows}, "r 0r = x0.0"), "op.shape");
  EXPECT_EQ(reason({"rc"}, {rows}, "4611686018427387904r 4r = x0.0"), "op.shape");
}

TEST(ColumnMap, RejectsAProgramThatNeedsTooMuchAtOnce) {
  // Sums of pairs, all of them needed at the end.
  const auto chain = [](int length) {
    Strings steps{"Neg x0.0"};
    for (int i = 1; i < length; ++i) steps.push_back(fmt::format("Add t{} {}", i - 1, i));
    for (int i = 1; i < length; ++i) steps.push_back(fmt::format("Add t{} t{}", steps.size() - 1, length - 1 - i));
    return program({"r"}, steps, {fmt::format("r = t{}", steps.size() - 1)});
  };
  const Tensor rows = tensor_of({3}, {1, 2, 3});
  Floats expected;
  for (const float x : {1.0f, 2.0f, 3.0f}) {
    Floats values{-x};
    for (int i = 1; i < 200; ++i) values.push_back(values.back() + static_cast<float>(i));
    expected.push_back(std::accumulate(values.rbegin() + 1, values.rend(), values.back()));
  }
  EXPECT_EQ(elements<float>(run_map(chain(200), {rows})), expected);
  EXPECT_EQ(reason_of([&] { run_map(chain(600), {rows}); }), "op.attribute");
}

// Programs drawn from a seed, and what they compute by the operators' own kernels.
class RandomProgram {
 public:
  explicit RandomProgram(std::uint64_t seed, std::int64_t rows) : random_(seed), row_count_(rows) {
    const std::int64_t inputs = 1 + random_.below(4);
    for (std::int64_t i = 0; i < inputs; ++i) add_input(i == 0 || !random_.one_in(4));
    const std::int64_t steps = random_.below(30);
    for (std::int64_t i = 0; i < steps; ++i) add_step();
    const std::int64_t results = 1 + random_.below(3);
    for (std::int64_t i = 0; i < results; ++i) add_result();
  }

  void check() {
    const std::vector<Value> actual =
        run_operator("ColumnMap", column_attributes(program_), inputs_, static_cast<int>(expected_.size()), 2);
    for (std::size_t k = 0; k < expected_.size(); ++k) {
      const Tensor& result = actual[k].tensor();
      ASSERT_EQ(result.shape(), expected_[k].shape());
      for (std::size_t i = 0; i < result.values<float>().size(); ++i) {
        const float a = result.values<float>()[i];
        const float b = expected_[k].values<float>()[i];
        if (std::isnan(a) && std::isnan(b)) continue;
        ASSERT_EQ(std::bit_cast<std::uint32_t>(a), std::bit_cast<std::uint32_t>(b))
            << "output " << k << " element " << i << ": " << a << " instead of " << b << " in "
            << tensor::attributes_text(column_attributes(program_), 100);
      }
    }
  }

 private:
  struct Known {
    ColumnOperand operand;
    Tensor column;  // [row_count] or a scalar
  };

  float any_float() {
    constexpr float kOdd[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1e-40f, 3e38f, -1.0f, 88.9f, -104.5f};
    if (random_.one_in(12)) return kOdd[random_.below(10)];
    return (random_.unit() - 0.5f) * (random_.one_in(4) ? 1000.0f : 4.0f);
  }

  void add_input(bool has_rows) {
    std::vector<std::int64_t> dims;
    std::string layout;
    std::int64_t columns = 1;
    const auto add_columns = [&] {
      for (std::int64_t i = random_.below(3); i > 0; --i) {
        constexpr std::int64_t kSizes[] = {1, 2, 3, 4};
        dims.push_back(kSizes[random_.below(4)]);
        columns *= dims.back();
        layout += 'c';
      }
    };
    add_columns();
    const std::int64_t outer = columns;
    if (has_rows) {
      layout += 'r';
      dims.push_back(row_count_);
      if (row_count_ % 2 == 0 && random_.one_in(3)) {
        dims.back() = 2;
        dims.push_back(row_count_ / 2);
        layout += 'r';
      }
      add_columns();
    }
    const auto number = static_cast<std::uint32_t>(inputs_.size());
    Tensor input = Tensor::allocate(ElementType::kFloat32, Shape(std::span<const std::int64_t>(dims)));
    for (float& value : input.values<float>()) value = any_float();
    const std::int64_t inner = columns / outer;
    for (std::int64_t c = 0; c < columns; ++c) {
      Tensor column = Tensor::allocate(ElementType::kFloat32, has_rows ? Shape{row_count_} : Shape{});
      for (std::int64_t r = 0; r < column.element_count(); ++r) {
        const std::int64_t rows = has_rows ? row_count_ : 1;
        const std::int64_t from = has_rows ? (c / inner * rows + r) * inner + c % inner : c;
        column.data<float>()[r] = input.data<float>()[from];
      }
      (has_rows ? known_ : repeated_).push_back({InputColumn{number, static_cast<std::uint32_t>(c)}, column});
    }
    inputs_.push_back(std::move(input));
    program_.layouts.push_back(std::move(layout));
  }

  Known draw(std::vector<Known>& from) {
    return from[static_cast<std::size_t>(random_.below(static_cast<std::int64_t>(from.size())))];
  }

  Known draw_any() {
    if (random_.one_in(4)) {
      const float number = any_float();
      return {number, Tensor::scalar<float>(number)};
    }
    return !repeated_.empty() && random_.one_in(4) ? draw(repeated_) : draw(known_);
  }

  void add_step() {
    const auto op = static_cast<ColumnOp>(random_.below(kColumnOpCount));
    Known a = draw(known_);
    const std::vector<ColumnOperand> one{a.operand};
    if (operand_count(op) == 1) {
      const Tensor column = testing::run(column_op_name(op), {a.column});
      return add_known({op, one}, column);
    }
    Known b = draw_any();
    if (op == ColumnOp::kAtLeast || op == ColumnOp::kAtMost) {
      // By Clip, whose limits are numbers.
      const auto* number = std::get_if<float>(&b.operand);
      if (number == nullptr || std::isnan(*number)) return;
      const Tensor limit = Tensor::scalar<float>(*number);
      const auto inputs = op == ColumnOp::kAtLeast ? std::vector<Tensor>{a.column, limit}
                                                   : std::vector<Tensor>{a.column, Tensor(), limit};
      return add_known({op, {a.operand, b.operand}}, testing::run("Clip", inputs));
    }
    if (random_.one_in(2)) std::swap(a, b);
    add_known({op, {a.operand, b.operand}}, testing::run(column_op_name(op), {a.column, b.column}));
  }

  void add_known(ColumnStep step, const Tensor& column) {
    known_.push_back({StepResult{static_cast<std::uint32_t>(program_.steps.size())}, column});
    program_.steps.push_back(std::move(step));
  }

  void add_result() {
    ColumnResult result;
    std::vector<Known> columns;
    std::int64_t count = 1;
    const std::int64_t outer = 1 + random_.below(3);
    const std::int64_t inner = 1 + random_.below(5);
    result.axes = {{outer, false}, {ColumnResult::kOpen, true}, {inner, false}};
    count = outer * inner;
    for (std::int64_t i = 0; i < count; ++i) columns.push_back(draw_any());
    Tensor expected = Tensor::allocate(ElementType::kFloat32, {outer, row_count_, inner});
    for (std::int64_t i = 0; i < expected.element_count(); ++i) {
      const std::int64_t row = i / inner % row_count_;
      const Tensor& column = columns[static_cast<std::size_t>(i / inner / row_count_ * inner + i % inner)].column;
      expected.data<float>()[i] = column.data<float>()[column.rank() == 0 ? 0 : row];
    }
    for (const Known& column : columns) result.columns.push_back(column.operand);
    expected_.push_back(std::move(expected));
    program_.results.push_back(std::move(result));
  }

  Random random_;
  std::int64_t row_count_;
  std::vector<Tensor> inputs_;
  std::vector<Known> known_;
  std::vector<Known> repeated_;
  std::vector<Tensor> expected_;
  ColumnProgram program_;
};

TEST(ColumnMap, ComputesWhatTheOperatorsCompute) {
  constexpr std::int64_t kRows[] = {0, 1, 2, 15, 16, 17, 100, 255, 256, 257, 512, 1000};
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    RandomProgram random(seed, kRows[seed % 12]);
    for_each_instruction_set(column_loops_of_cpu(), [&] { random.check(); });
    ASSERT_FALSE(::testing::Test::HasFailure()) << "seed " << seed;
  }
}

TEST(ColumnMap, GivesTheSameWithSeveralThreads) {
  const auto decode = program({"rc"}, {"Exp x0.0", "Sigmoid x0.1", "Mul t0 t1", "Exp t2"}, {"r 2 = t2 t3"});
  Random random(3);
  Tensor rows = Tensor::allocate(ElementType::kFloat32, {200'001, 2});
  for (float& value : rows.values<float>()) value = random.unit();
  const Tensor one = testing::run("ColumnMap", {rows}, decode, 1);
  const Tensor four = testing::run("ColumnMap", {rows}, decode, 4);
  EXPECT_EQ(elements<float>(one), elements<float>(four));
}

TEST(ColumnProgram, TextRoundTrips) {
  const auto text = program({"crc", "", "rr"}, {"Div x0.3 0.1", "AtLeast t0 -inf", "Add t1 x1.0", "Max t2 -0"},
                            {"1 80r r 2 = t3 x2.0", "r = t2"});
  EXPECT_EQ(column_attributes(read_column_program(text, 3, 2)), text);
}

}  // namespace
}  // namespace lanner::kernels
