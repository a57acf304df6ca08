#include "backends/onednn/rows.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "backends/backend_testing.h"
#include "backends/onednn/builder.h"

namespace lanner::backends::onednn {
namespace {

using testing::BlockWriter;
using testing::build;
using testing::CountingAllocator;
using testing::random_tensor;
using testing::run;

tensor::ValueType open_rows(std::vector<std::int64_t> rest) {
  tensor::ValueType type = tensor::ValueType::tensor(ElementType::kFloat32, Shape{});
  type.dims.push_back({});
  for (const std::int64_t size : rest) type.dims.push_back({size, {}});
  return type;
}

// The two hidden layers and the two results of a box head.
BlockWriter box_head(const char* precision = "f32") {
  BlockWriter writer;
  const auto weights = [&](std::int64_t outputs, std::int64_t inputs) {
    return writer.constant(random_tensor({outputs, inputs}, static_cast<unsigned>(outputs)));
  };
  const auto layer = [&](program::SlotIndex x, std::int64_t inputs, std::int64_t outputs) {
    return writer.add("Gemm", {x, weights(outputs, inputs), writer.constant(random_tensor({outputs}, 9))},
                      {{"transB", std::int64_t{1}}, {"precision", std::string(precision)}});
  };
  const auto x = writer.input(open_rows({147}));
  const auto hidden = writer.add("Relu", {layer(writer.add("Relu", {layer(x, 147, 64)}), 64, 64)});
  const auto logits = layer(hidden, 64, 7);
  writer.block.slots[logits].type = open_rows({7});
  writer.output(writer.add("Softmax", {logits}, {{"axis", std::int64_t{1}}}));
  writer.output(layer(hidden, 64, 28));
  return writer;
}

// The same with what follows each product in it, and a residual.
BlockWriter fused_head(const char* precision = "f32") {
  BlockWriter writer;
  const auto layer = [&](program::SlotIndex x, std::int64_t inputs, std::int64_t outputs, const char* activation,
                         program::SlotIndex residual) {
    const auto weights = writer.constant(random_tensor({inputs, outputs}, static_cast<unsigned>(outputs)));
    return writer.add("FusedMatMul", {x, weights, writer.constant(random_tensor({outputs}, 9)), residual},
                      {{"activation", std::string(activation)}, {"precision", std::string(precision)}});
  };
  const auto x = writer.input(open_rows({147}));
  const auto hidden = layer(x, 147, 64, "Gelu", program::kNoSlot);
  const auto sum = layer(hidden, 64, 64, "Swish", hidden);
  writer.output(layer(sum, 64, 7, "Sigmoid", program::kNoSlot));
  const auto last = layer(sum, 64, 147, "Relu", x);
  writer.block.instructions.back().attributes.set("residual_last", std::int64_t{1});
  writer.output(last);
  return writer;
}

// Convolutions over regions, as mask heads have.
BlockWriter mask_head(const char* precision = "f32") {
  BlockWriter writer;
  program::SlotIndex x = writer.input(open_rows({16, 7, 7}));
  for (unsigned i = 0; i < 2; ++i) {
    x = writer.add("FusedConv",
                   {x, writer.constant(random_tensor({16, 16, 3, 3}, i)), writer.constant(random_tensor({16}, 5))},
                   {{"pads", std::vector<std::int64_t>{1, 1, 1, 1}},
                    {"activation", std::string("Relu")},
                    {"precision", std::string(precision)}});
  }
  writer.output(writer.add("ConvTranspose", {x, writer.constant(random_tensor({16, 16, 2, 2}, 7))},
                           {{"strides", std::vector<std::int64_t>{2, 2}}}));
  return writer;
}

TEST(Rows, HeadsAreRowWise) {
  for (const BlockWriter& writer : {box_head(), fused_head(), mask_head()})
    EXPECT_TRUE(is_row_wise(writer.block, writer.constants));
}

TEST(Rows, WhatMixesRowsOrMayIsNot) {
  const std::map<std::string, void (*)(BlockWriter&, program::SlotIndex)> bodies = {
      {"softmax over the rows",
       [](BlockWriter& w, program::SlotIndex x) {
         w.output(w.add("Softmax", {x}, {{"axis", std::int64_t{-2}}}));
       }},
      {"a softmax of a value of unknown rank",
       [](BlockWriter& w, program::SlotIndex x) { w.output(w.add("Softmax", {w.add("Relu", {x})})); }},
      {"rows joined",
       [](BlockWriter& w, program::SlotIndex x) {
         w.output(w.add("Concat", {x, x}, {{"axis", std::int64_t{0}}}));
       }},
      {"a transposed left side",
       [](BlockWriter& w, program::SlotIndex x) {
         w.output(w.add("Gemm", {x, w.constant(random_tensor({5, 4}, 1))}, {{"transA", std::int64_t{1}}}));
       }},
      {"a residual for each row",
       [](BlockWriter& w, program::SlotIndex x) {
         w.output(w.add("FusedMatMul", {x, w.constant(random_tensor({4, 4}, 1)), program::kNoSlot,
                                        w.constant(random_tensor({5, 4}, 1))}));
       }},
      {"rows on the right side",
       [](BlockWriter& w, program::SlotIndex x) {
         w.output(w.add("MatMul", {w.constant(random_tensor({3, 5}, 1)), x}));
       }},
      {"a constant for each row",
       [](BlockWriter& w, program::SlotIndex x) {
         w.output(w.add("Add", {x, w.constant(random_tensor({5, 4}, 1))}));
       }},
      {"a constant of higher rank",
       [](BlockWriter& w, program::SlotIndex x) {
         w.output(w.add("Add", {x, w.constant(random_tensor({1, 1, 4}, 1))}));
       }},
      {"rows joined by a reshape",
       [](BlockWriter& w, program::SlotIndex x) {
         w.output(w.add("Reshape", {x, w.constant(Tensor::of<std::int64_t>({2}, {-1, 2}))}));
       }},
      {"rows in the columns",
       [](BlockWriter& w, program::SlotIndex x) {
         w.output(w.add("Transpose", {x}, {{"perm", std::vector<std::int64_t>{1, 0}}}));
       }},
      {"a transpose of everything", [](BlockWriter& w, program::SlotIndex x) { w.output(w.add("Transpose", {x})); }},
      {"an operator that nobody has looked at",
       [](BlockWriter& w, program::SlotIndex x) { w.output(w.add("CumSum", {x})); }},
      {"all rows in one",
       [](BlockWriter& w, program::SlotIndex x) {
         w.output(w.add("Reshape", {x, w.constant(Tensor::of<std::int64_t>({2}, {1, -1}))}));
       }},
      {"a constant as an output",
       [](BlockWriter& w, program::SlotIndex) { w.output(w.constant(random_tensor({4}, 1))); }},
  };
  for (const auto& [name, write] : bodies) {
    BlockWriter writer;
    write(writer, writer.input(open_rows({4})));
    EXPECT_FALSE(is_row_wise(writer.block, writer.constants)) << name;
  }
  BlockWriter moved;
  const auto pixels =
      moved.add("Transpose", {moved.input(open_rows({4, 2, 3}))}, {{"perm", std::vector<std::int64_t>{0, 2, 3, 1}}});
  moved.block.slots[pixels].type = open_rows({2, 3, 4});
  moved.output(moved.add("Reshape", {pixels, moved.constant(Tensor::of<std::int64_t>({2}, {-1, 24}))}));
  moved.output(moved.add("Reshape", {pixels, moved.constant(Tensor::of<std::int64_t>({3}, {0, -1, 4}))}));
  EXPECT_TRUE(is_row_wise(moved.block, moved.constants)) << "what moves within each row";
  for (const std::vector<std::int64_t>& shape : {std::vector<std::int64_t>{0, 2, -1}, {-1, 4, 1}, {-1, 2, 2}}) {
    BlockWriter writer;
    const auto turned =
        writer.add("Transpose", {writer.input(open_rows({2, 2}))}, {{"perm", std::vector<std::int64_t>{0, 2, 1}}});
    writer.block.slots[turned].type = open_rows({2, 2});
    writer.output(writer.add("Reshape", {turned, writer.constant(Tensor::of<std::int64_t>({3}, shape))}));
    EXPECT_TRUE(is_row_wise(writer.block, writer.constants)) << shape[0] << ", " << shape[1];
  }
  BlockWriter fixed;
  fixed.output(fixed.add("Relu", {fixed.input(Shape{5, 4})}));
  EXPECT_FALSE(is_row_wise(fixed.block, fixed.constants)) << "a number of rows that is known";
}

Tensor first_rows(const Tensor& tensor, std::int64_t rows) {
  Shape shape = tensor.shape();
  shape[0] = rows;
  Tensor result = Tensor::allocate(ElementType::kFloat32, shape);
  std::memcpy(result.raw_data(), tensor.raw_data(), result.byte_count());
  return result;
}

// The same bits; with AVX2, where no plan serves fewer rows and oneDNN sums in an order that depends on their number,
// nearly the same.
void expect_same_bits(const Tensor& expected, const Tensor& actual) {
  ASSERT_EQ(expected.shape(), actual.shape());
  if (has_avx512()) {
    EXPECT_EQ(std::memcmp(expected.raw_data(), actual.raw_data(), expected.byte_count()), 0);
    return;
  }
  for (std::int64_t i = 0; i < expected.element_count(); ++i) {
    ASSERT_NEAR(expected.data<float>()[i], actual.data<float>()[i], 1e-4);
  }
}

TEST(Rows, APlanForMoreRowsGivesTheSameBits) {
  for (const BlockWriter& writer :
       {box_head(), fused_head(), mask_head(), box_head("bf16"), fused_head("bf16"), mask_head("bf16")}) {
    const auto count = static_cast<int>(writer.block.outputs.size());
    const Labels labels(writer.block);
    Shape shape{100};
    for (const auto& dim : std::span(writer.block.slots[writer.block.inputs[0]].type.dims).subspan(1)) {
      shape.push_back(dim.size);
    }
    const Tensor input = random_tensor(shape, 3);
    const auto larger =
        Builder(writer.block, writer.constants, labels, {.threads = 2, .any_rows = true}).build({{shape}});
    const std::vector<Tensor> all = run(*build("onednn", writer, 2), {input}, count, 2);
    class Padded final : public CompiledSubgraph {
     public:
      explicit Padded(const Plan& plan) : plan_(plan) {}
      void run(kernels::KernelContext& context, profile::Recorder* recorder) const override {
        run_with_fewer_rows(plan_, 100, context, recorder);
      }

     private:
      const Plan& plan_;
    };
    for (const std::int64_t rows : {1, 2, 7, 8, 33, 99}) {
      const Tensor few = first_rows(input, rows);
      const std::vector<Tensor> padded = run(Padded(*larger), {few}, count, 2);
      const std::vector<Tensor> exact = run(*build("onednn", writer, 2), {few}, count, 2);
      for (std::size_t i = 0; i < padded.size(); ++i) {
        expect_same_bits(first_rows(all[i], rows), padded[i]);
        expect_same_bits(exact[i], padded[i]);
      }
    }
  }
}

// A program file's types may be wrong: the result is an error then, or that of the operators.
TEST(Rows, WrongTypesAreNoHarm) {
  BlockWriter writer;
  const auto x = writer.input(open_rows({2, 2}));
  const auto flat = writer.add("Reshape", {x, writer.constant(Tensor::of<std::int64_t>({1}, {-1}))});
  writer.block.slots[flat].type = open_rows({4});
  writer.output(writer.add("Reshape", {flat, writer.constant(Tensor::of<std::int64_t>({3}, {-1, 2, 2}))}));
  const auto subgraph = build("onednn", writer);
  for (const std::int64_t rows : {3, 9, 5}) {
    const Tensor input = random_tensor({rows, 2, 2}, 1);
    EXPECT_EQ(run(*subgraph, {input}, 1)[0].shape(), input.shape());
  }
  EXPECT_EQ(run(*subgraph, {random_tensor({4}, 1)}, 1)[0].shape(), Shape({1, 2, 2}));
}

TEST(Rows, AnyOrderOfSizesGivesTheSameBitsAndMemoryStaysFlat) {
  const BlockWriter writer = box_head();
  const Tensor input = random_tensor({300, 147}, 4);
  const auto subgraph = build("onednn", writer, 2);
  const std::vector<Tensor> all = run(*build("onednn", writer, 2), {input}, 2, 2);
  std::mt19937 random(1);
  std::size_t most = 0;
  for (int i = 0; i < 600; ++i) {
    const auto rows = static_cast<std::int64_t>(random() % 301);
    CountingAllocator allocator;
    const std::vector<Tensor> outputs = run(*subgraph, {first_rows(input, rows)}, 2, 2, nullptr, allocator);
    for (std::size_t k = 0; k < 2; ++k) expect_same_bits(first_rows(all[k], rows), outputs[k]);
    if (i < 300) {
      most = std::max(most, allocator.bytes);
    } else {
      EXPECT_LE(allocator.bytes, most);
    }
  }
}

}  // namespace
}  // namespace lanner::backends::onednn
